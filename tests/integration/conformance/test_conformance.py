"""One suite for every platform: the same recipes, the same verdicts, for the same reasons.

The platform `swarm` is what the truth table is written for (`tests/integration/test_truth.py`);
here the others come to the same. What depends on who deploys is always run; `CONFORMANCE=all`, as
`nox -s conformance` sets it, runs the whole table.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import docker
import pytest

from harness.recipes.catalogue import Catalogue
from tests.integration.conftest import Harness
from tests.integration.programs import PROGRAMS, abra_on_path
from tests.integration.support import ROOT, Call
from tests.truth import cases, runner

AT_ONCE = 2
# Rolled back, an old status, the same version, the head in the base's place, something over it, an
# update that is over: these look at what a deploy did. The rest begins when it is done.
OF_A_DEPLOY = {1, 2, 3, 4, 10, 11}
EVERYTHING = os.environ.get("CONFORMANCE") == "all"
CASES = tuple(case for case in cases.load() if EVERYTHING or case.lie in OF_A_DEPLOY)
CATALOGUE = Catalogue.load(ROOT / "recipes.txt")
SAMPLES = [name for name in CATALOGUE.names if CATALOGUE.get(name).sample]


@pytest.fixture(scope="module", name="path", params=PROGRAMS)
def path_fixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with an abra on it."""
    return abra_on_path(request.param, tmp_path_factory.mktemp("abra") / "bin")


@pytest.fixture(scope="module", name="rows")
def rows_fixture(
    path: str, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, runner.Row]:
    """What came of the lying recipes, which run two at a time."""
    came = runner.run_all(
        CASES,
        client=client,
        output=tmp_path_factory.mktemp("conformance"),
        jobs=AT_ONCE,
        finished=lambda _row: None,
        environ={"CCCI_PLATFORM": "abra", "PATH": path},
    )
    return {row.case.name: row for row in came}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_lie_is_seen_through_whoever_deploys(
    case: cases.Case, rows: Mapping[str, runner.Row]
) -> None:
    """Word, stage, exit code and reason are those of the truth table, and nothing is left."""
    row = rows[case.name]
    assert row.came.results["platform"] == "abra"
    assert row.ok, "\n".join([*row.problems, row.came.text])


def judged(call: Call) -> Sequence[tuple[str, str, str]]:
    """Return every assertion of a run and what came of it."""
    stages: Sequence[Mapping[str, Any]] = call.results["stages"]
    return [
        (stage["stage"], one["nodeid"], one["outcome"])
        for stage in stages
        for one in stage["assertions"]
    ]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_judged_alike(sample: str, harness: Harness, path: str) -> None:
    """Not just green twice: the same assertions were made, and each came to the same."""
    abra = harness(sample, "--platform", "abra", PATH=path)
    own = harness(sample, "--platform", "swarm")
    assert (abra.code, own.code) == (0, 0), abra.text + own.text
    assert abra.outcomes == own.outcomes
    assert judged(abra) == judged(own)
