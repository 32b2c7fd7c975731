"""The events of a run: what is written is read again, whatever else stands in the file."""

import json
from pathlib import Path

import pytest

from harness.core import event_log
from harness.core.errors import SourceError
from harness.core.event_log import COPY, EventReader, append, load, read, record_error
from harness.core.events import (
    KINDS,
    VERSION,
    AppKept,
    Doing,
    EventKind,
    EventLine,
    ImageEvent,
    LockEvent,
    LockState,
    NoteEvent,
    Provided,
    RunBegan,
    RunEnded,
    RunEvent,
    StageEnded,
    Step,
    Stopping,
    WarningEvent,
)
from harness.core.ledger import Op
from harness.core.model import AssertionResult, Origin, Outcome, Stage, StageResult, WarningCode

EVENTS: tuple[RunEvent, ...] = (
    RunBegan(run="r", recipe="made", directory="/runs/r"),
    Doing(step=Step.WAIT, about=Op.DEPLOY),
    Doing(step=Step.OP, stage=Stage.INSTALL),
    StageEnded(
        stage=Stage.INSTALL, outcome=Outcome.PASSED, op_seconds=1.5, assert_seconds=0.0, passed=0,
        total=0,
    ),
    LockEvent(lock="x", state=LockState.WAITING, swarm=True, holder="somebody"),
    ImageEvent(image="nginx:1", how=Provided.BUILT, seconds=2.0),
    WarningEvent(code=WarningCode.NO_PAGE, text="no page", stage=Stage.INSTALL),
    NoteEvent(text="said\nmore"),
    Stopping(signal="SIGINT", doing="the app is being removed"),
    AppKept(engine="unix:///e", look="docker ps", remove="nox -s reap -- r"),
    RunEnded(outcome=Outcome.FAILED, exit_code=1, stage="install", cause="why"),
)  # fmt: skip


def recorded(path: Path, *events: RunEvent) -> Path:
    """Return a file with these events."""
    for event in events:
        append(path, event.entry())
    return path


def test_every_kind_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With the types of its fields; each line has its kind and its time."""
    path = recorded(tmp_path / "e", *EVENTS)
    assert read(path) == EVENTS
    assert {type(event) for event in EVENTS} == set(KINDS.values())
    assert set(KINDS) == set(EventKind)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == [event.kind for event in EVENTS]
    assert all(line["at"].endswith("+00:00") for line in lines)
    assert lines[0]["version"] == VERSION
    assert "stage" not in lines[1]  # what is empty is left out, a number is not
    assert lines[3]["passed"] == 0


def test_a_reader_returns_each_event_once(tmp_path: Path) -> None:
    """Half a line is read when it is whole; a file that is missing has none yet."""
    reader = EventReader(tmp_path / "e")
    assert reader.new() == ()
    recorded(reader.path, EVENTS[0])
    whole = json.dumps({"event": "note", "text": "late"}) + "\n"
    with reader.path.open("a") as stream:
        stream.write(whole[:9])
    assert reader.new() == EVENTS[:1]
    assert reader.new() == ()
    with reader.path.open("a") as stream:
        stream.write(whole[9:])
    assert reader.new() == (NoteEvent(text="late"),)
    reader.path.unlink()
    assert reader.new() == ()


@pytest.mark.parametrize(
    "line",
    ['{"at": "2026', "", "null", "[]", "{}", '{"event": "rumour"}', '{"event": "note"}', "\xff",
     '{"event": "step", "step": "dance"}',
     '{"event": "end", "outcome": "passed", "exit_code": "x"}',
     '{"event": "step", "step": "op", "stage": 7}'],
)  # fmt: skip
def test_what_is_not_an_event_is_passed_over(tmp_path: Path, line: str) -> None:
    """A full disk cuts a line short, which must not end the fleet."""
    path = recorded(tmp_path / "e", EVENTS[0])
    with path.open("a", encoding="latin-1") as stream:
        stream.write(f"{line}\n")
    assert read(recorded(path, EVENTS[1])) == EVENTS[:2]
    if line.startswith('{"event"'):
        with pytest.raises(ValueError, match=r"not a valid|Expected|Invalid|missing required"):
            load(json.loads(line))


def test_a_field_of_a_later_harness_is_left_out() -> None:
    """Fields may be added under one version."""
    assert load({"event": "note", "at": "now", "text": "t", "mood": "good"}) == NoteEvent(text="t")


def test_a_line_carries_its_event() -> None:
    """What is told through a function that takes text is an event for the record all the same."""
    for event in EVENTS:
        line = EventLine(event)
        assert (line, line.event) == (str(event), event)


def test_a_stage_counts_its_assertions() -> None:
    """And tells the first line of its reason."""
    made = [
        AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=outcome, seconds=0)
        for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)
    ]
    result = StageResult(
        stage=Stage.BACKUP, outcome=Outcome.FAILED, reason="t: broke\nmore", assertions=tuple(made)
    )
    ended = StageEnded.of(result)
    assert (ended.passed, ended.total, ended.reason) == (1, 3, "t: broke")
    assert str(ended) == "backup: failed  (t: broke)"


def test_an_error_without_a_run_is_recorded_for_the_fleet_alone(tmp_path: Path) -> None:
    """With its exit code and without a login; a fleet's directory that is gone changes nothing."""
    error = SourceError("https://me:s3cret-pass@x.test/r.git cannot be cloned")
    record_error(error, {})
    record_error(error, {COPY: str(tmp_path / "gone" / "e")})
    record_error(error, {COPY: str(tmp_path / "e")})
    (ended,) = read(tmp_path / "e")
    assert isinstance(ended, RunEnded)
    assert (ended.outcome, ended.exit_code) == (Outcome.ERROR, 6)
    assert "x.test/r.git cannot be cloned" in ended.cause
    assert "s3cret-pass" not in ended.cause
    assert event_log.records(tmp_path, {COPY: "/fleet/e"}) == (
        tmp_path / "events.jsonl", Path("/fleet/e"),
    )  # fmt: skip
