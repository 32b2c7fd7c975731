"""`plan`: what a run would do, said without an engine."""

import re
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.core.errors import EXIT_PASSED, EXIT_SOURCE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of its own, in which no engine can be asked for."""
    monkeypatch.delattr("harness.run.testbed.prepare")
    monkeypatch.delattr("harness.engine.engine.resolve")
    return {"HOME": str(tmp_path), "CCCI_CACHE": str(tmp_path / "cache")}


def test_the_plan_of_a_run_is_printed(
    here: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each stage with what it does, or why it is left out. RECIPE counts, as for a run."""
    assert main(["plan", "--stages", "upgrade"], {**here, "RECIPE": "radicale"}) == EXIT_PASSED
    lines = capsys.readouterr().out.splitlines()
    planned = [line.removeprefix("radicale: ").split() for line in lines]
    words = {first: " ".join(rest) for first, *rest in planned}
    assert words["head"].endswith("(default branch)")
    assert words["install"].startswith("deploy 1.1.0+3.1.8.3; ")
    assert words["upgrade"].startswith("redeploy the head in place; ")
    assert words["backup"].startswith("skipped: ")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"], "it makes no run"
    assert main(["plan", "radicale#1.1.0+3.1.8.3"], here) == EXIT_PASSED
    assert re.search(r"radicale: head +\w+ 1\.1\.0\+3\.1\.8\.3 ", capsys.readouterr().out)


def test_a_plan_that_cannot_be_made_ends_as_the_run_would(here: dict[str, str]) -> None:
    """With the exit code of its kind."""
    assert main(["plan", "radicale", "--ref", "nowhere"], here) == EXIT_SOURCE
    assert main(["plan", "radicale", "--version", "0.1.0+1"], here) == EXIT_SOURCE
