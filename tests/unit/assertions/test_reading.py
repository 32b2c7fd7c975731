"""Test files are read before anything is deployed, and a test that never ends is named."""

import os
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.assertions.protocol import BEGIN, END, Reading, append, unfinished
from harness.assertions.runner import Asserted, Workers, stopped_at
from harness.core.model import BROKEN_TEST_CODE, Origin, Outcome, Stage
from harness.core.waiting import Deadline, wait_for
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
        log=str(place / "log"),
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


HANGS = "import signal\ndef test_it(): pass\nsignal.pause()\n"
KILLS = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HANGS, "made/test_it.py did not end within 0 s and was stopped"),
        (KILLS, "ended with code -9 before it was done, at made/test_it.py"),
    ],
    ids=["hangs", "kills"],
)
def test_after_one_that_had_to_be_stopped_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """A file that never ends is named, and so is one that ends the process it was forked from."""
    wanted = reading(tmp_path / "a", {"tests/made/test_it.py": text})
    wait = select.select

    def once_begun(*of: Any) -> Any:  # noqa: ANN401  as select takes and gives them
        """Look whether there is an answer, as soon as there can be one."""
        wait_for(
            lambda: unfinished(Path(wanted.results)), what="the reading of the file",
            deadline=Deadline.after(60),
        )  # fmt: skip
        return wait(of[0], of[1], of[2], 0 if text is HANGS else 60)

    with Workers(tmp_path, {"PATH": os.environ["PATH"]}) as workers:
        with monkeypatch.context() as patch:
            patch.setattr("harness.core.proc.select.select", once_begun)
            first = workers.read(wanted, timeout=0)
        well = reading(tmp_path / "b", {"tests/made/test_well.py": "def test_it(): pass\n"})
        second = workers.read(well, timeout=60)
    assert said in first.unfinished
    assert (second.results, second.unfinished) == ((), "")


def test_a_time_that_is_up_is_told_without_a_test(tmp_path: Path) -> None:
    """Before the first test began, there is none to name; once all was done, nothing to tell."""
    assert stopped_at("", "still running", None, 7) == "still running"
    done = str(tmp_path / "results")
    append(Path(done), {"event": BEGIN, "nodeid": "b::test_b"})
    assert unfinished(Path(done)) == "b::test_b"
    append(Path(done), END)
    assert unfinished(Path(done)) == ""
