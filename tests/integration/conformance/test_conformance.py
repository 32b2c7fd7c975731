"""One suite for every platform and backup driver: the same recipes, verdicts and reasons.

The platform `swarm` with the driver `restic` is what the truth table is written for
(`tests/integration/test_truth.py`); here the other ways must get the same verdicts. Each way runs
the cases that its own code decides. `CONFORMANCE=all`, as `nox -s conformance` sets it, adds both
samples, and the whole table by the way that shares neither platform nor driver with the usual one.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.recipes.catalogue import Catalogue
from tests.integration.conformance.conftest import NAME
from tests.integration.conftest import Harness, Usual
from tests.integration.programs import PROGRAMS, abra_on_path
from tests.integration.support import ROOT, Call
from tests.truth import cases, runner

# What the platform does itself: how an update ends, and which files and version it deploys.
OF_A_DEPLOY = {"stale-status"}
# What the driver does itself: files, hooks and their ends, what a restore leaves.
OF_A_BACKUP = {"restore-only-adds"}
EVERYTHING = os.environ.get("CONFORMANCE") == "all"
CASES = cases.load()
CATALOGUE = Catalogue.load(ROOT / "recipes.txt")
SAMPLES = [name for name in CATALOGUE.names if CATALOGUE.get(name).sample]


@dataclass(frozen=True, slots=True)
class Way:
    """A platform with a backup driver, and the program that is called abra, if one is."""

    platform: str
    driver: str
    program: str = ""

    def __str__(self) -> str:
        """Return what it is called in a test's name."""
        return "-".join(word for word in (self.platform, self.driver, self.program) if word)

    def environ(self, folder: Path) -> Mapping[str, str]:
        """Return what makes a run go this way, with abra on its PATH where that deploys."""
        settings = {"CCCI_PLATFORM": self.platform, "CCCI_BACKUP_DRIVER": self.driver}
        if not self.program:
            return settings
        return {**settings, "PATH": abra_on_path(self.program, folder / "bin")}

    def decides(self, case: cases.Case) -> bool:
        """Whether this way is the one to run the case."""
        abra, bot = self.platform == "abra", self.driver == "backupbot"
        decided = (abra and case.name in OF_A_DEPLOY) or (not abra and case.name in OF_A_BACKUP)
        return decided or (EVERYTHING and abra and bot)

    def params(self, *values: object) -> Any:  # noqa: ANN401  pytest names no such type
        """Return parameters; runs that share the engine's only backup bot take turns."""
        marks = [pytest.mark.timeout(900)]  # a run may wait for the bot
        if self.driver == "backupbot" and not EVERYTHING:
            marks.append(pytest.mark.xdist_group("backup-bot"))
        words = (getattr(one, "name", str(one)) for one in values)
        return pytest.param(self, *values, marks=marks, id="-".join([str(self), *words]))


WAYS = (
    Way("swarm", "backupbot"),
    *(Way("abra", "backupbot", program) for program in PROGRAMS),
    *(Way("abra", "restic", program) for program in PROGRAMS if EVERYTHING),
)


@pytest.mark.parametrize(
    ("way", "case"), [way.params(case) for way in WAYS for case in CASES if way.decides(case)]
)
def test_a_broken_recipe_gets_the_same_verdict(
    case: cases.Case,
    way: Way,
    client: docker.DockerClient,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Word, stage, exit code and reason are those of the truth table, and nothing is left."""
    environ = way.environ(tmp_path)
    row = runner.run(case, client=client, output=tmp_path / case.name, environ=environ)
    record_property(NAME, (case.name, str(way), row.came.word))
    assert row.came.results["platform"] == way.platform
    assert row.ok, "\n".join([*row.problems, row.came.text])


def judged(call: Call) -> Sequence[tuple[str, str, str]]:
    """Return every assertion of a run and what came of it."""
    stages: Sequence[Mapping[str, Any]] = call.results["stages"]
    return [
        (stage["stage"], one["nodeid"], one["outcome"])
        for stage in stages
        for one in stage["assertions"]
    ]


@pytest.mark.skipif(
    not EVERYTHING, reason="`test_abra_platform.py` and `test_backup_bot.py` have such runs"
)
@pytest.mark.parametrize(("way", "sample"), [way.params(one) for way in WAYS for one in SAMPLES])
def test_a_sample_is_judged_alike(
    sample: str,
    way: Way,
    harness: Harness,
    usual: Usual,
    record_property: Callable[[str, object], None],
) -> None:
    """Both runs are green, make the same assertions, and each gets the same result."""
    call = harness(sample, **way.environ(harness.output.parent))
    assert call.code == 0, call.text
    record_property(NAME, (sample, str(way), call.results["verdict"]["outcome"]))
    assert call.results["platform"] == way.platform
    assert call.results["backup_driver"] == way.driver
    as_usual = usual(sample)
    assert call.outcomes == as_usual.outcomes
    assert judged(call) == judged(as_usual)
