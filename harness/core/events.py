"""What a run does, as typed events: one JSON object per line of `events.jsonl`.

Programs read this file: the fleet, and the tests that act in the middle of a run. The lines of the
terminal and of `run.log` are made from the same events, are for people, and may be reworded. Under
one version no kind is added and no field changes its meaning; fields may be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import ClassVar, Self

from harness.core.model import Outcome, RunWarning, Stage, StageResult, WarningCode

VERSION = "cc-ci/events/1"


class EventKind(StrEnum):
    """The kinds of events."""

    BEGIN = "begin"
    STEP = "step"
    STAGE = "stage"
    LOCK = "lock"
    IMAGE = "image"
    WARNING = "warning"
    NOTE = "note"
    STOPPING = "stopping"
    KEPT = "kept"
    END = "end"


class Step(StrEnum):
    """The steps of a run, in the order in which they first come."""

    ENGINE = "engine"
    CLONE = "clone"
    LINT = "lint"
    IMAGE = "image"
    READING = "reading"
    SETTLED = "settled"
    SEED = "seed"
    OP = "op"
    WAIT = "wait"
    INSTALL_STEPS = "install-steps"
    BASE_REMOVED = "base-removed"
    RESTART = "restart"
    PAGE = "page"
    ASSERTIONS = "assertions"
    PICTURE = "picture"
    LOGS = "logs"
    KEEP = "keep"
    TEARDOWN = "teardown"


class LockState(StrEnum):
    """What a run does with a lock."""

    WAITING = "waiting"  # again every 30 seconds
    HELD = "held"


class Provided(StrEnum):
    """How an engine comes by an image."""

    PULLED = "pulled"
    BUILT = "built"  # as a stand-in
    COPYING = "copying"  # to another node


_TEXTS = {
    Step.ENGINE: "looking for an engine",
    Step.CLONE: "cloning",
    Step.LINT: "lint",
    Step.IMAGE: "image",
    Step.READING: "reading the test files",
    Step.SETTLED: "looking whether the app has settled",
    Step.SEED: "seed hook",
    Step.OP: "op",
    Step.WAIT: "waiting until settled",
    Step.INSTALL_STEPS: "install steps",
    Step.BASE_REMOVED: "removing the base, which cannot be installed:",
    Step.RESTART: "restarting the services",
    Step.PAGE: "the usual page does not exist, but that of the health check does:",
    Step.ASSERTIONS: "assertions",
    Step.PICTURE: "a picture of the page",
    Step.LOGS: "collecting logs",
    Step.KEEP: "keeping the app",
    Step.TEARDOWN: "teardown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One event; `str()` of it is its text for people."""

    kind: ClassVar[EventKind]

    def entry(self) -> Mapping[str, object]:
        """Return the object that is recorded; fields that are empty are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in values.items() if value not in (None, "")}
        return {"event": self.kind, **given}

    def masked(self, mask: Callable[[str], str]) -> Self:
        """Return the event with every text in it masked."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        texts = {name: mask(value) for name, value in values.items() if type(value) is str}
        return replace(self, **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegan(RunEvent):
    """A run begins; the first event."""

    kind = EventKind.BEGIN
    run: str
    recipe: str
    directory: str  # where it writes its files
    version: str = VERSION  # of all events of the run

    def __str__(self) -> str:
        return f"run  {self.directory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing(RunEvent):
    """What a run begins to do.

    Args:
        step: the kind of step.
        stage: the stage that it belongs to, if it belongs to one.
        about: what it is done to: the image, the source, or the op that is waited for.
    """

    kind = EventKind.STEP
    step: Step
    stage: Stage | None = None
    about: str = ""

    def __str__(self) -> str:
        text = _TEXTS[self.step]
        names_it = self.step in (Step.CLONE, Step.IMAGE, Step.PAGE, Step.BASE_REMOVED)
        where = self.stage if names_it else self.about or self.stage
        text = f"{text} {self.about}" if names_it else text
        return f"{where}: {text}" if where else text


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(RunEvent):
    """A stage is over."""

    kind = EventKind.STAGE
    stage: Stage
    outcome: Outcome
    op_seconds: float  # of its seed hook, op and wait
    assert_seconds: float
    passed: int  # assertions, of so many in total
    total: int
    reason: str = ""  # why it did not pass, in one line

    def __str__(self) -> str:
        times = f"op {self.op_seconds:.1f} s, assertions {self.assert_seconds:.1f} s"
        return f"{self.stage}: {self.outcome}  {f'({self.reason})' if self.reason else times}"

    @classmethod
    def of(cls, result: StageResult) -> StageEnded:
        """Return the event of a stage's result."""
        return cls(
            stage=result.stage,
            outcome=result.outcome,
            op_seconds=result.op_seconds,
            assert_seconds=result.assert_seconds,
            passed=sum(one.outcome is Outcome.PASSED for one in result.assertions),
            total=len(result.assertions),
            reason=result.reason.partition("\n")[0],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEvent(RunEvent):
    """A run waits for a lock, or holds one that it waited for or that reaches a whole Swarm."""

    kind = EventKind.LOCK
    lock: str
    state: LockState
    swarm: bool = False  # whether all hosts of the Swarm see it
    holder: str = ""  # while the run waits

    def __str__(self) -> str:
        of_what = f"the lock '{self.lock}'{' of the Swarm' if self.swarm else ''}"
        if self.state is LockState.WAITING:
            return f"waiting for {of_what}, held by {self.holder}"
        return f"this run holds {of_what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEvent(RunEvent):
    """An image was made available."""

    kind = EventKind.IMAGE
    image: str
    how: Provided
    node: str = ""  # to which it is copied
    seconds: float | None = None  # that it took to build

    def __str__(self) -> str:
        if self.how is Provided.PULLED:
            return f"pulled {self.image}"
        if self.how is Provided.COPYING:
            return f"copying {self.image} to node {self.node}"
        return f"{self.image}: the stand-in is there, after {self.seconds or 0.0:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningEvent(RunEvent):
    """A run warns; the fields are those of `harness.core.model.RunWarning`."""

    kind = EventKind.WARNING
    code: WarningCode
    text: str
    next: str = ""
    stage: Stage | None = None

    def __str__(self) -> str:
        return f"warning  {self.text}"

    @classmethod
    def of(cls, warning: RunWarning) -> WarningEvent:
        """Return the event of a warning."""
        return cls(code=warning.code, text=warning.text, next=warning.next, stage=warning.stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEvent(RunEvent):
    """A text that is only for people."""

    kind = EventKind.NOTE
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(RunEvent):
    """A signal arrived, and the run stops; `doing` is what it does before it ends."""

    kind = EventKind.STOPPING
    signal: str
    doing: str

    def __str__(self) -> str:
        return f"{self.signal}: stopping; {self.doing} (once more to leave at once)"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKept(RunEvent):
    """The app was kept."""

    kind = EventKind.KEPT
    engine: str  # its endpoint
    look: str  # the command that lists the containers
    remove: str  # the command that removes the app

    def __str__(self) -> str:
        return f"kept  export DOCKER_HOST={self.engine}\nkept  {self.look}\nkept  {self.remove}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """The run is over; the last event. `results.json`, if there is one, has been written."""

    kind = EventKind.END
    outcome: Outcome
    exit_code: int
    stage: str = ""  # that decided
    cause: str = ""  # why it did not pass, in one line

    def __str__(self) -> str:
        where = f" in {self.stage}" if self.stage else ""
        return f"end  {self.outcome}{where}{f': {self.cause}' if self.cause else ''}"


KINDS: Mapping[EventKind, type[RunEvent]] = {one.kind: one for one in (
    RunBegan, Doing, StageEnded, LockEvent, ImageEvent, WarningEvent, NoteEvent, Stopping, AppKept,
    RunEnded,
)}  # fmt: skip


class EventLine(str):
    """The text of an event that carries the event, for what tells people and a record alike."""

    __slots__ = ("event",)
    event: RunEvent

    def __new__(cls, event: RunEvent) -> Self:
        """Return the text of the event."""
        line = super().__new__(cls, str(event))
        line.event = event
        return line
