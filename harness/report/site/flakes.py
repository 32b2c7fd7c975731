"""Which runs were flakes, and whose: the same commit, asked the same, and another verdict.

A tag may lead to another image tomorrow: two runs that deployed different digests are not alike.
Only runs that came to a verdict are compared (*passed*, *failed*, *error*), and only where at least
two runs are alike. In such a group the most frequent verdict is what is so, a tie goes to the worse
one; every other run is a flake, and the red one of the two verdicts says whose it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.core.model import Outcome
from harness.report.site.index import Indexed

COMPARED = (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR)
HARNESS_KINDS = ("InternalError", "LookOnlyError")


class Owner(StrEnum):
    """Who has to look at a flake."""

    RECIPE = "recipe"
    HARNESS = "harness"
    TEST_BED = "test bed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flakes:
    """The flakes of a recipe: how many of how many compared runs, and whose."""

    compared: int = 0
    owners: Mapping[Owner, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many runs were flakes."""
        return sum(self.owners.values())


def owner(run: Indexed) -> Owner:
    """Return whose fault a red run is: *failed* is the recipe's, an *error* by its kind."""
    if run.outcome is Outcome.FAILED:
        return Owner.RECIPE
    return Owner.HARNESS if run.kind in HARNESS_KINDS else Owner.TEST_BED


def flakes(runs: Sequence[Indexed]) -> Flakes:
    """Return the flakes among the runs of a recipe."""
    groups: dict[str, list[Indexed]] = defaultdict(list)
    for run in runs:
        if run.same and run.outcome in COMPARED:
            groups[run.same].append(run)
    parts = (part for group in groups.values() for part in _of_same_images(group))
    alike = [part for part in parts if len(part) > 1]
    owners: Counter[Owner] = Counter()
    for group in alike:
        owners.update(_in(group))
    return Flakes(compared=sum(len(group) for group in alike), owners=dict(owners))


def _of_same_images(group: Sequence[Indexed]) -> list[list[Indexed]]:
    """Return runs that were asked the same, apart by the images that they deployed.

    A run that ended early knows only some digests: it belongs to the newest part that it does not
    contradict.
    """
    parts: list[tuple[dict[str, str], list[Indexed]]] = []
    for run in sorted(group, key=lambda one: (one.started, one.run)):
        for known, part in reversed(parts):
            if all(known.get(image, digest) == digest for image, digest in run.images.items()):
                known.update(run.images)
                part.append(run)
                break
        else:
            parts.append((dict(run.images), [run]))
    return [part for _, part in parts]


def _in(group: Sequence[Indexed]) -> Counter[Owner]:
    verdicts = Counter((run.outcome, run.stage) for run in group)
    usual = max(verdicts, key=lambda one: (verdicts[one], one[0] is not Outcome.PASSED, one))
    red = next((run for run in group if (run.outcome, run.stage) == usual), group[0])
    return Counter(
        owner(run if run.outcome is not Outcome.PASSED else red)
        for run in group
        if (run.outcome, run.stage) != usual
    )
