"""What a run took beside what the recipe's last green run took: pure, but for finding that run.

Numbers of one run are noise as much as news, so something has jumped only when it has grown both by
a factor and by an amount.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.image_names import parsed
from harness.core.measured import Jump, Measure, Resources
from harness.core.model import Outcome
from harness.report import results
from harness.verdict.facts import Growth

MOST_READ = 50  # results of one recipe that are looked through for a green one
MIB = 1024.0**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How far something may grow: past both, it is a jump."""

    factor: float
    amount: float  # bytes, or seconds


LIMITS: Mapping[Measure, Limit] = {
    Measure.MEMORY: Limit(factor=1.5, amount=32 * MIB),
    Measure.IMAGE: Limit(factor=1.25, amount=50 * MIB),
    Measure.VOLUME: Limit(factor=2.0, amount=10 * MIB),
    Measure.HEALTHY: Limit(factor=2.0, amount=10.0),
}


def last_green(output: Path, recipe: str, *, before: str) -> results.RunResult | None:
    """Return the newest green run of that recipe that took notes of what it took.

    Args:
        output: where runs make their directories.
        recipe: the recipe's name.
        before: the run that is going on, which does not count.
    """
    names = sorted((path.name for path in output.glob(f"{recipe}-*")), reverse=True)
    for name in [name for name in names if name < before][:MOST_READ]:
        with suppress(OSError, ValueError):
            run = results.read(output / name)
            if run and run.recipe == recipe and run.resources and _green(run):
                return run
    return None


def _green(run: results.RunResult) -> bool:
    return run.verdict.outcome is Outcome.PASSED


def compared(
    now: Resources, then: results.RunResult | None, *, most: Mapping[str, float]
) -> Resources:
    """Return what a run took, with what has jumped since the last green run.

    Args:
        now: what it took.
        then: the last green run, or None.
        most: the factor past which the recipe's meta asks for a failure, by measure.
    """
    if then is None or then.resources is None:
        return now
    jumps = tuple(_jumps(now, then.resources, most))
    return replace(now, compared_with=then.run, jumps=jumps)


def _jumps(now: Resources, then: Resources, most: Mapping[str, float]) -> Iterator[Jump]:
    earlier = dict(_values(then))
    # What both took of it in some stage says more than what was left of it in the end.
    staged = {(m, subject) for (m, stage, subject), _ in _values(now) if stage} & {
        (m, subject) for m, stage, subject in earlier if stage
    }
    for (measure, stage, subject), value in _values(now):
        before = earlier.get((measure, stage, subject))
        if not stage and (measure, subject) in staged:
            continue
        if before is None or value - before <= LIMITS[measure].amount:
            continue
        factor = most.get(measure, float("inf"))
        if value > before * min(LIMITS[measure].factor, factor):
            yield Jump(
                measure=measure, subject=subject, stage=stage, before=before, now=value,
                fails=value > before * factor,
            )  # fmt: skip


def _values(taken: Resources) -> Iterator[tuple[tuple[Measure, str, str], float]]:
    """Yield every number with what it is the number of. Moments are not compared with peaks."""
    for stage in taken.stages:
        if stage.healthy_seconds is not None:
            yield (Measure.HEALTHY, stage.stage, ""), stage.healthy_seconds
        for service, taken_bytes in stage.memory.items() if stage.exact else ():
            yield (Measure.MEMORY, stage.stage, service), taken_bytes
        for volume, taken_bytes in stage.volumes.items():
            yield (Measure.VOLUME, stage.stage, volume), taken_bytes
    # An image's name has its version in it; what is compared is the image, whatever its version.
    for image, taken_bytes in _by_repository(taken.images).items():
        yield (Measure.IMAGE, "", image), taken_bytes
    for volume, taken_bytes in taken.volumes.items():
        yield (Measure.VOLUME, "", volume), taken_bytes


def _by_repository(images: Mapping[str, int]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for image, taken in images.items():
        repository = parsed(image).repository
        found[repository] = max(found.get(repository, 0), taken)
    return found


def growth(taken: Resources | None) -> Growth | None:
    """Return what grew by more than the recipe's meta allows, or None."""
    jumps = tuple(str(jump) for jump in (taken.jumps if taken else ()) if jump.fails)
    return Growth(jumps=jumps, compared_with=taken.compared_with) if taken and jumps else None
