"""One suite for every platform and backup driver: the same recipes, verdicts and reasons.

The platform `swarm` with the driver `restic` is what the truth table is written for
(`tests/integration/test_truth.py`); here the other ways come to the same. What depends on who
deploys and who backs up is always run; `CONFORMANCE=all`, as `nox -s conformance` sets it, runs the
whole table each way.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from harness.recipes.catalogue import Catalogue
from tests.integration.conformance.conftest import NAME
from tests.integration.conftest import Harness
from tests.integration.programs import PROGRAMS, abra_on_path
from tests.integration.support import ROOT, Call
from tests.truth import cases, runner

AT_ONCE = 4  # runs mostly wait
# Rolled back, an old status, the same version, the head in the base's place, something over it, an
# update that is over: these look at what a deploy did. The rest begins when it is done.
OF_A_DEPLOY = {1, 2, 3, 4, 10, 11}
# What a driver does itself: hooks and their ends, files, what a restore leaves. Labels are read by
# the same assertions, whoever backs up.
OF_A_BACKUP = {
    *("empty-backup", "hook-fails-quietly", "hook-without-pipefail"),
    *("no-op-restore", "restore-only-adds", "restore-hook-missing-program"),
}
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

    @property
    def settings(self) -> Mapping[str, str]:
        """What makes a run go this way."""
        return {"CCCI_PLATFORM": self.platform, "CCCI_BACKUP_DRIVER": self.driver}

    def decides(self, case: cases.Case) -> bool:
        """Whether what the case comes to depends on this way."""
        by_platform = self.platform == "abra" and case.lie in OF_A_DEPLOY
        by_driver = self.platform == "swarm" and case.name in OF_A_BACKUP
        return EVERYTHING or by_platform or by_driver


USUAL = Way("swarm", "restic")
WAYS = (
    Way("swarm", "backupbot"),
    *(Way("abra", "backupbot", program) for program in PROGRAMS),
    *(Way("abra", "restic", program) for program in PROGRAMS if EVERYTHING),
)


@pytest.fixture(scope="module", name="environ")
def environ_fixture(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Way], Mapping[str, str]]:
    """What makes a run go a way; with abra on its PATH where that deploys."""

    def of(way: Way) -> Mapping[str, str]:
        if not way.program:
            return way.settings
        path = abra_on_path(way.program, tmp_path_factory.mktemp("abra") / "bin")
        return {**way.settings, "PATH": path}

    return functools.cache(of)


@pytest.fixture(scope="module", name="rows")
def rows_fixture(
    environ: Callable[[Way], Mapping[str, str]],
    client: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Way], Mapping[str, runner.Row]]:
    """What came of the lying recipes each way, once; some run at a time."""

    def of(way: Way) -> Mapping[str, runner.Row]:
        came = runner.run_all(
            [case for case in CASES if way.decides(case)],
            client=client,
            output=tmp_path_factory.mktemp("conformance"),
            jobs=AT_ONCE,
            finished=lambda _row: None,
            environ=environ(way),
        )
        return {row.case.name: row for row in came}

    return functools.cache(of)


@pytest.fixture(scope="module", name="go")
def go_fixture(
    environ: Callable[[Way], Mapping[str, str]],
    client: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Way], Mapping[str, Call]]:
    """What came of the samples each way, once; they run at the same time."""
    output = tmp_path_factory.mktemp("samples")

    def of(way: Way) -> Mapping[str, Call]:
        settings = environ(way)

        def run(sample: str) -> Call:
            return Harness(client, output / str(way) / sample)(sample, **settings)

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return dict(zip(SAMPLES, pool.map(run, SAMPLES), strict=True))

    return functools.cache(of)


@pytest.mark.parametrize(
    ("way", "case"),
    [(way, case) for way in WAYS for case in CASES if way.decides(case)],
    ids=lambda one: str(one) if isinstance(one, Way) else one.name,
)
def test_a_lie_is_seen_through_whoever_deploys_and_backs_up(
    case: cases.Case,
    way: Way,
    rows: Callable[[Way], Mapping[str, runner.Row]],
    record_property: Callable[[str, object], None],
) -> None:
    """Word, stage, exit code and reason are those of the truth table, and nothing is left."""
    row = rows(way)[case.name]
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


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_judged_alike(
    sample: str,
    way: Way,
    go: Callable[[Way], Mapping[str, Call]],
    record_property: Callable[[str, object], None],
) -> None:
    """Not just green twice: the same assertions were made, and each came to the same."""
    call, usual = go(way)[sample], go(USUAL)[sample]
    assert (call.code, usual.code) == (0, 0), call.text + usual.text
    record_property(NAME, (sample, str(way), call.results["verdict"]["outcome"]))
    assert call.results["platform"] == way.platform
    assert call.results["backup_driver"] == way.driver
    assert call.outcomes == usual.outcomes
    assert judged(call) == judged(usual)
