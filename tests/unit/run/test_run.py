"""The names of a run, its ends, and the exit codes of the program."""

import json
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.__main__ import main
from harness.core import event_log
from harness.core.errors import (
    AbortedError,
    EngineError,
    HarnessError,
    LockTimeoutError,
    SourceError,
    UsageError,
)
from harness.core.events import RunBegan, RunEnded
from harness.core.model import Outcome, Stage
from harness.core.settings import Settings
from harness.engine import engine as engines
from harness.locks import file_lock as locks
from harness.recipes.catalogue import Entry
from harness.recipes.compose import LONGEST_NAME
from harness.run import reaper, stack_locks, testbed
from harness.run.names import target_for
from harness.run.one import run_one
from harness.swarm.states import NAMESPACE_LABEL
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import FakeEngine, Thing, one_of_each

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MADE = Entry(name="made", source="/src/made", line=3)


def target(name: str = "made", **settings: Any) -> Any:  # noqa: ANN401  a target, any setting
    """Return the names of a run."""
    return target_for(
        Entry(name=name, source="/s"), Settings(**settings), token="0a1b2c3d", now=NOW  # noqa: S106
    )  # fmt: skip


def test_a_run_has_names_of_its_own() -> None:
    """Two runs of one recipe in one second differ; a person still sees which recipe it is."""
    got = target()
    assert (got.recipe, got.domain, got.stack) == (
        "made",
        "made-0a1b2c3d.test",
        "made-0a1b2c3d_test",
    )
    assert got.run == "made-20260102T030405-0a1b2c3d"
    assert got.random
    assert got.scope == reaper.scope(Settings().cache)


@pytest.mark.parametrize(
    "name", ["matrix-synapse-with-a-very-long-name", "a.b_c-d.e", "abcdefghi-jk", "x" * 90]
)
def test_a_long_name_leaves_room_for_the_names_of_secrets(name: str) -> None:
    """Swarm refuses more than 64 characters, for no fault of the recipe's."""
    got = target(name)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?-0a1b2c3d\.test", got.domain)
    assert len(f"{got.stack}_{'s' * 34}_v1") <= LONGEST_NAME
    assert got.run.startswith(f"{name}-")


@pytest.mark.parametrize("domain", ["a", "app.example.test", "a-b.c", "0" * 42])
def test_a_domain_that_was_asked_for_is_taken(domain: str) -> None:
    """As it is; its stack's name may come back, so its lock is never deleted."""
    got = target(domain=domain)
    assert got.domain == domain
    assert not got.random


@pytest.mark.parametrize(
    "domain",
    ["A.test", "0" * 43, "-a", "a-", ".a", "a.", "a b", "a_b", "\u00e4.test", "a/../b", "a\n"],
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    """Before anything is touched: it becomes the names of files, stacks and hosts."""
    with pytest.raises(UsageError, match="invalid test domain") as caught:
        target(domain=domain)
    assert "--domain" in caught.value.hint


def test_a_stack_that_is_there_already_is_not_ours() -> None:
    """Whoever made it, it is neither deployed over nor removed; other stacks do not matter."""
    theirs = {NAMESPACE_LABEL: "made-0a1b2c3d_test"}
    other = one_of_each("other", {NAMESPACE_LABEL: "made"})
    bed: Any = SimpleNamespace(client=FakeEngine(things=other).client, nodes=None)
    stack_locks.refuse_foreign_stack(bed, target())
    engine = FakeEngine(things=[*other, Thing(kind="volume", name="kept", labels=theirs)])
    bed.client = engine.client
    with pytest.raises(UsageError, match=r"already a stack .*: volume kept"):
        stack_locks.refuse_foreign_stack(bed, target())
    assert engine.removed == []


def end_of_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    **asked: Any,  # noqa: ANN401  any setting
) -> Callable[[], dict[str, Any]]:
    """Return a function that runs a recipe until that happens, and returns its results.json."""

    def prepare(*_: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(testbed, "prepare", prepare)

    def run() -> dict[str, Any]:
        settings = Settings(output=tmp_path / "runs", cache=tmp_path / "cache", **asked)
        environ = {event_log.COPY: str(tmp_path / "copy")}
        with (tmp_path / "shown").open("w") as stream:
            made = run_one(MADE, settings, environ, Console(file=stream, width=100))
        directory = tmp_path / "runs" / made.run
        assert (directory / "junit.xml").exists()
        events = event_log.read(directory / event_log.FILE)
        assert event_log.read(tmp_path / "copy") == events
        assert events[0] == RunBegan(run=made.run, recipe="made", directory=str(directory))
        assert isinstance(events[-1], RunEnded)
        assert (events[-1].outcome, events[-1].exit_code) == (
            made.verdict.outcome, made.verdict.exit_code
        )  # fmt: skip
        content: dict[str, Any] = json.loads((directory / "results.json").read_text())
        assert content["verdict"]["exit_code"] == made.verdict.exit_code
        return content

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_results_are_written_changes_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The run is over: an exit code of its own would contradict what is in the file."""

    def render(_result: object) -> str:
        signal.raise_signal(number)
        return "summary"

    monkeypatch.setattr("harness.report.summary.render", render)
    content = end_of_a_run(tmp_path, monkeypatch, EngineError("no engine"))()
    assert (content["verdict"]["outcome"], content["verdict"]["exit_code"]) == ("error", 3)
    assert "the results are being written" in (tmp_path / "shown").read_text()


def test_the_stages_of_a_recipes_line_are_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stages=` in recipes.txt asks for less, as --stages does: neither may be merged on."""
    monkeypatch.setattr("tests.unit.run.test_run.MADE", replace(MADE, stages=(Stage.INSTALL,)))
    content = end_of_a_run(tmp_path, monkeypatch, EngineError("no engine"))()
    assert content["asked"] == ["install"]
    missing = {one["stage"]: one["why"] for one in content["verdict"]["not_shown"]}
    assert missing["upgrade"] == "not asked for"
    assert missing["install"] == "not reached"


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (EngineError("no engine"), "error", 3),
        (SourceError("no such ref"), "error", 6),
        (LockTimeoutError("held"), "error", 5),
        (AbortedError("SIGINT"), "aborted", 130),
        (KeyError("a fault of ours"), "error", 3),
    ],
)
def test_every_end_of_a_run_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str, code: int
) -> None:
    """With its own word and exit code, and what was said: also what nobody foresaw."""
    content = end_of_a_run(tmp_path, monkeypatch, error)()
    verdict = content["verdict"]
    assert (verdict["outcome"], verdict["exit_code"]) == (outcome, code)
    assert str(error.args[0]) in verdict["cause"]
    assert (content["stages"], content["teardown"]) == ([], None)
    assert f"made: {outcome}" in (tmp_path / "shown").read_text()


def test_the_password_of_a_source_is_in_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever said it: an error's message, the settings, the command that repeats the run."""
    source = "https://me:s3cret-pass@x.test/r.git"
    error = SourceError(f"{source} cannot be cloned", detail="s3cret-pass was refused")
    origins = {"src": "--src"}
    end_of_a_run(tmp_path, monkeypatch, error, src=source, origins=origins)()
    reports = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"shown", "results.json", "junit.xml", "run.log"} <= {path.name for path in reports}
    for path in reports:
        assert "s3cret-pass" not in path.read_text(), path.name
        without = {"run.log", "events.jsonl", "copy"}
        assert path.name in without or "****@x.test" in path.read_text()


def test_a_call_that_is_wrong_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no run: no directory, and the error is the caller's to show."""
    with pytest.raises(UsageError):
        end_of_a_run(tmp_path, monkeypatch, UsageError("no such setting"))()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of its own; no settings file is in reach."""
    monkeypatch.chdir(tmp_path)
    return {"HOME": str(tmp_path), "CCCI_CACHE": str(tmp_path / "cache")}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run", "no recipe is named"),
        ("run custom-htm", "custom-html"),
        ("run custom-html --stage install", "--stages"),
        ("run custom-html --stages instal", "install"),
        ("run custom-html --engine mine", "external"),
        ("run custom-html --keep=yes", "--keep"),
        ("run custom-html --ref", "--ref"),
        ("engine begin", "start"),
        ("engine status --what", "--what"),
        ("reap --all", "--all"),
    ],
)
def test_a_wrong_call_is_2_and_says_what_was_meant(
    here: dict[str, str], capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """On standard error, without a traceback."""
    assert main(line.split(), here) == 2
    got = capsys.readouterr().err
    assert got.startswith("cc-ci: ")
    assert said in got


def test_an_unknown_setting_in_the_environment_is_2(
    here: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped one would be ignored, and the run be another one than was asked for."""
    assert main(["run", "custom-html"], {**here, "CCCI_KEPT": "1"}) == 2
    assert "CCCI_KEEP" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LockTimeoutError("l"), 5),
        (SourceError("s"), 6),
        (HarnessError("h"), 3),
        (KeyError("a fault of ours"), 3),
        (OSError(28, "No space left on device"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_becomes_its_exit_code(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """Here and nowhere else."""

    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr("harness.run.one.run_one", run)
    copy = Path(here["HOME"], "copy")
    assert main(["run", "custom-html"], {**here, event_log.COPY: str(copy)}) == code
    if isinstance(error, Exception):
        (ended,) = event_log.read(copy)
        assert isinstance(ended, RunEnded)
        assert (ended.outcome, ended.exit_code) == (Outcome.ERROR, code)


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((0, 4), 4), ((3, 1), 3), ((1, 3), 1), ((6, 0), 6)]
)
def test_of_several_recipes_the_first_that_did_not_pass_decides(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], expected: int
) -> None:
    """And all of them are run, in the order of the call."""
    ran: list[str] = []

    def run(entry: Entry, *_: object) -> Any:  # noqa: ANN401  a result
        ran.append(entry.name)
        return SimpleNamespace(verdict=SimpleNamespace(exit_code=codes[len(ran) - 1]))

    monkeypatch.setattr("harness.run.one.run_one", run)
    assert main(["run", "radicale", "custom-html"], here) == expected
    assert ran == ["radicale", "custom-html"]


def test_whoever_stops_one_recipe_does_not_want_the_next(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the whole call, with the code that says so."""
    ran: list[str] = []

    def run(entry: Entry, *_: object) -> Any:  # noqa: ANN401  a result
        ran.append(entry.name)
        return SimpleNamespace(verdict=SimpleNamespace(exit_code=130))

    monkeypatch.setattr("harness.run.one.run_one", run)
    assert main(["run", "radicale", "custom-html"], here) == 130
    assert ran == ["radicale"]


@pytest.mark.parametrize("action", ["stop", "purge"])
def test_an_engine_in_use_is_not_stopped(
    here: dict[str, str], capsys: pytest.CaptureFixture[str], action: str
) -> None:
    """It would turn somebody's verdict into an error; the message says whose."""
    directory = Path(here["CCCI_CACHE"]) / "locks"
    with locks.hold(directory, reaper.stack_lock("s-alive"), purpose="p", timeout=0, say=print):
        assert main(["engine", action], here) == 2
    assert "1 run(s): s-alive" in capsys.readouterr().err


def test_reaping_says_what_is_left(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 when nothing is, or all of it could be removed; 3 when something could not."""
    stop_the_clock(monkeypatch)
    cache = Path(here["CCCI_CACHE"])
    labels = {"ccci.run": "dead", "ccci.stack": "s", "ccci.scope": reaper.scope(cache)}
    engine = FakeEngine()
    found = SimpleNamespace(client=lambda: engine.client)
    monkeypatch.setattr(engines, "resolve", lambda **_: found)
    assert main(["reap"], here) == 0
    assert "nothing is left over" in capsys.readouterr().out
    engine.things = one_of_each("dead", labels)
    assert main(["reap", "--dry-run"], here) == 0
    assert "would remove" in capsys.readouterr().out
    assert engine.removed == []
    engine.refusals["dead-network"] = 10**9
    assert main(["reap"], here) == 3
    assert "could not remove network dead-network" in capsys.readouterr().out
    engine.refusals.clear()
    reaper.Keep(run="dead", until=10.0**12).write(cache)
    assert main(["reap"], here) == 0
    assert engine.things != []
    assert main(["reap", "dead"], here) == 0
    assert engine.things == []
