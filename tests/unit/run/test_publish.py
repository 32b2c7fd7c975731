"""Writing a run down: all files with one word, results.json last, or none that says otherwise."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.model import Outcome, Stage
from harness.report.results import RESULTS_FILE, RunResult
from harness.report.summary import SUMMARY_FILE
from harness.run.publish import FILES, publish
from harness.verdict.facts import RunFacts
from tests.unit.report.test_leaks import FACTS, RUN, guard
from tests.unit.verdict.test_verdict import stage

Refuse = Callable[[Callable[[str, int], bool]], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """A function that lets writing fail: for which file, and for how many bytes."""

    def refuse(fails: Callable[[str, int], bool]) -> None:
        def fsync(number: int) -> None:
            path = Path(f"/proc/self/fd/{number}").readlink()
            if fails(path.name.removesuffix(".partial"), os.fstat(number).st_size):
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)

    return refuse


def published(directory: Path, result: RunResult = RUN, facts: RunFacts = FACTS) -> RunResult:
    """Publish a run."""
    return publish(result, facts, directory, guard(), {})[0]


def names(directory: Path) -> set[str]:
    """Return the names of the files that are there."""
    return {path.name for path in directory.iterdir()}


def word(directory: Path) -> tuple[str, int]:
    """Return the word and the exit code in results.json."""
    verdict = json.loads((directory / RESULTS_FILE).read_text())["verdict"]
    return verdict["outcome"], verdict["exit_code"]


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED, Outcome.ERROR])
def test_every_file_says_the_same_word(tmp_path: Path, outcome: Outcome) -> None:
    """And nothing half-written is left."""
    facts = RunFacts(stages=(stage(Stage.INSTALL, outcome),))
    got = published(tmp_path, facts=facts)
    assert names(tmp_path) == set(FILES)
    assert word(tmp_path) == (outcome, got.verdict.exit_code)
    assert f"**{outcome}**" in (tmp_path / SUMMARY_FILE).read_text()
    assert f'class="word {outcome}"' in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_written_turns_a_pass_into_an_error(
    tmp_path: Path, refuse: Refuse, name: str
) -> None:
    """Whichever it is: the others are removed, and results.json has the true word."""
    tries: list[str] = []

    def once(file: str, _size: int) -> bool:
        tries.append(file)
        return file == name and tries.count(name) == 1

    refuse(once)
    got = published(tmp_path)
    assert (got.verdict.outcome, got.verdict.exit_code) == (Outcome.ERROR, 3)
    assert "the results could not be written" in got.verdict.cause
    assert names(tmp_path) == {RESULTS_FILE}
    assert word(tmp_path) == ("error", 3)


def test_a_short_one_is_tried_where_a_long_one_has_no_room(tmp_path: Path, refuse: Refuse) -> None:
    """Its word matters more than what a stage printed."""
    long = replace(RUN, diagnosis=("x" * 100_000,))
    refuse(lambda _, size: size > 20_000)
    published(tmp_path, long)
    assert word(tmp_path) == ("error", 3)


def test_without_any_room_there_is_no_results_json(tmp_path: Path, refuse: Refuse) -> None:
    """A missing one says nothing; one of an earlier attempt would say passed."""
    (tmp_path / RESULTS_FILE).write_text('{"verdict": {"outcome": "passed"}}')
    refuse(lambda *_: True)
    got = published(tmp_path)
    assert got.verdict.exit_code == 3
    assert names(tmp_path) == set()


def test_a_run_that_failed_has_failed_even_if_it_cannot_be_written(
    tmp_path: Path, refuse: Refuse
) -> None:
    """The recipe is wrong, whatever the disk is."""
    refuse(lambda name, _: name == "report.html")
    got = published(tmp_path, facts=RunFacts(stages=(stage(Stage.INSTALL, Outcome.FAILED),)))
    assert (got.verdict.outcome, got.verdict.exit_code) == (Outcome.FAILED, 1)
    assert "besides, the results could not be written" in got.verdict.cause
    assert word(tmp_path) == ("failed", 1)


def test_results_are_put_in_place_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is, the other files are as well, with the same word."""
    moved: list[str] = []
    replace_ = Path.replace

    def noted(self: Path, target: Path) -> Path:
        moved.append(Path(target).name)
        return replace_(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    published(tmp_path)
    assert moved == list(FILES)
    assert moved[-1] == RESULTS_FILE


def test_a_directory_that_was_removed_is_an_error_of_the_test_bed(tmp_path: Path) -> None:
    """Not a fault of the harness to be reported."""
    got = published(tmp_path / "gone")
    assert (got.verdict.outcome, got.verdict.kind) == (Outcome.ERROR, "TestBedError")
    assert "No such file or directory" in got.verdict.cause
