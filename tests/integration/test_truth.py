"""Every lying recipe ends in the right word, for the right reason: `nox -s truth`, one by one."""

from collections.abc import Mapping

import docker
import pytest

from tests.truth import cases, runner

AT_ONCE = 4  # runs mostly wait


@pytest.fixture(scope="module", name="rows")
def rows_fixture(
    request: pytest.FixtureRequest,
    client: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, runner.Row]:
    """What came of the recipes that are asked about, some of which run at the same time."""
    asked = [
        case
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
        if isinstance(case := item.callspec.params["case"], cases.Case)
    ]
    output = tmp_path_factory.mktemp("truth")
    came = runner.run_all(
        asked, client=client, output=output, jobs=AT_ONCE, finished=lambda _row: None
    )
    return {row.case.name: row for row in came}


@pytest.mark.parametrize("case", cases.load(), ids=lambda case: case.name)
def test_the_harness_tells_the_truth(case: cases.Case, rows: Mapping[str, runner.Row]) -> None:
    """Its word, its stage, its exit code and its reason, and nothing is left in the engine."""
    row = rows[case.name]
    assert row.ok, "\n".join([*row.problems, row.came.text])
