"""Each broken recipe gets the right verdict, for the right reason: `nox -s truth`, one by one.

Cases marked `nightly` are left to `nox -s nightly`, which runs the whole table.
"""

from pathlib import Path

import docker
import pytest

from tests.truth import cases, runner

CASES = [case for case in cases.load() if not case.nightly]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_harness_tells_the_truth(
    case: cases.Case, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Its word, its stage, its exit code and its reason; and nothing is left in the engine."""
    row = runner.run(case, client=client, output=tmp_path / case.name)
    assert row.ok, "\n".join([*row.problems, row.came.text])
