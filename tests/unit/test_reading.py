"""Test files are read before anything is deployed, and a test that never ends is named."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.assertions.protocol import BEGIN, END, Reading, append
from harness.assertions.runner import Asserted, Workers, run
from harness.errors import ProcessError
from harness.model import BROKEN_TEST_CODE, Origin, Outcome, Stage
from harness.verdict.decide import of_stage
from harness.verdict.facts import StageFacts

WELL = """
import pytest
@pytest.fixture
def page(app): return app.http_get()
@pytest.mark.parametrize("word", ["a", "b"])
def test_all(app, facts, state, ledger, backup, witnesses, page, request, tmp_path, word): pass
class TestMore:
    def test_more(self, own): pass
"""
FILES = {
    "tests/made/conftest.py": "import pytest\n@pytest.fixture\ndef own(): raise SystemExit\n",
    "tests/made/test_well.py": WELL,
    "tests/made/test_fixture.py": "def test_it(app, databse): pass\ndef test_other(app): pass\n",
    "tests/made/test_syntax.py": "def test_it(:\n",
    "theirs/test_import.py": "import no_such_module\n",
}


def reading(place: Path, files: Mapping[str, str]) -> Reading:
    """Write these files below a place, and return the order to read those that hold tests."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    named = [name for name in files if Path(name).name != "conftest.py"]
    return Reading(
        files=tuple(
            (str(place / name), Origin.REPO_LOCAL if "theirs" in name else Origin.OVERLAY)
            for name in named
        ),
        root=str(place / "tests"),
        results=str(place / "results"),
    )


def read(place: Path, files: Mapping[str, str]) -> Asserted:
    """Let a real child read these files."""
    with Workers(place, {"PATH": os.environ["PATH"]}) as workers:
        return workers.read(reading(place, files), timeout=60)


def test_files_that_are_well_are_not_spoken_of(tmp_path: Path) -> None:
    """The fixtures of the harness, of pytest and of a conftest.py are known; no test is run."""
    well = {name: FILES[name] for name in ("tests/made/conftest.py", "tests/made/test_well.py")}
    got = read(tmp_path, well)
    assert (got.results, got.unfinished) == ((), "")


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """A file that cannot be imported, a slip of the pen, a fixture that does not exist."""
    got = read(tmp_path, FILES)
    said = {result.nodeid: result.message for result in got.results}
    assert said == {
        "made/test_syntax.py": f"{BROKEN_TEST_CODE}: SyntaxError: invalid syntax",
        "repo-local/test_import.py": f"{BROKEN_TEST_CODE}: ModuleNotFoundError: No module named "
        "'no_such_module'",
        "made/test_fixture.py::test_it": f"{BROKEN_TEST_CODE}: fixture 'databse' not found",
    }
    assert {result.outcome for result in got.results} == {Outcome.ERROR}
    word = of_stage(StageFacts(stage=Stage.INSTALL, assertions=got.results))
    assert (word.outcome, word.kind) == (Outcome.ERROR, "TestCodeError")
    assert word.reason.startswith(f"{BROKEN_TEST_CODE}: made/test_syntax.py: SyntaxError")


@pytest.mark.parametrize(
    ("conftest", "test", "said"),
    [
        ("def f(:\n", "", "ended with code 4 before it was done: SyntaxError: invalid syntax"),
        ("import pytest\npytest.exit('x', returncode=0)\n", "", "_pytest.outcomes.Exit: x"),
        ("", "import sys\nsys.exit(0)\n", "code 3 before it was done, at made/test_it.py"),
        ("", "import os\nos._exit(0)\n", "code 0 before it was done, at made/test_it.py"),
        ("", "raise KeyboardInterrupt\n", "code 2 before it was done, at made/test_it.py"),
    ],
)
def test_reading_that_ends_early_is_told(
    tmp_path: Path, conftest: str, test: str, said: str
) -> None:
    """Else the app is deployed before the stage stumbles over the same file."""
    files = {"tests/made/conftest.py": conftest, "tests/made/test_it.py": test}
    assert said in read(tmp_path, files).unfinished


@pytest.mark.parametrize("begun", [["a::test_a", "b::test_b"], []])
def test_a_test_that_never_ends_is_named(tmp_path: Path, begun: list[str]) -> None:
    """Else somebody has to guess among all of them; without one, the time alone is told."""
    wanted = reading(tmp_path, {})
    for name in begun:
        append(tmp_path / "results", {"event": BEGIN, "nodeid": name})
    got = run(Stuck(), wanted, timeout=7)  # type: ignore[arg-type]  # strict where it is used
    at = "b::test_b did not end within 7 s and was stopped" if begun else "still running"
    assert got.unfinished == at
    append(tmp_path / "results", END)
    assert "test_b" not in run(Stuck(), wanted, timeout=7).unfinished  # type: ignore[arg-type]  # same


class Stuck:
    """A child that has to be stopped."""

    def finish(self, line: bytes, *, timeout: float) -> Any:  # noqa: ANN401  never returns
        """Be stopped."""
        assert Reading.load(line.decode()) is not None
        assert timeout == 7
        raise ProcessError("still running", code=None)
