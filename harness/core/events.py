"""What a run does, as typed events: one JSON object per line of `events.jsonl`.

The log is for people and may be reworded; programs read this file. Its text is derived from here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.core.model import Stage

FILE = "events.jsonl"  # in a run's directory


class Event(StrEnum):
    """The kinds of events."""

    STEP = "step"


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
class Doing:
    """What a run begins to do.

    Args:
        step: the kind of step.
        stage: the stage that it belongs to, if it belongs to one.
        about: what it is done to: the image, the source, or the op that is waited for.
    """

    step: Step
    stage: Stage | None = None
    about: str = ""

    def __str__(self) -> str:
        """Return it in words, for people."""
        text = _TEXTS[self.step]
        names_it = self.step in (Step.CLONE, Step.IMAGE, Step.PAGE, Step.BASE_REMOVED)
        where = self.stage if names_it else self.about or self.stage
        text = f"{text} {self.about}" if names_it else text
        return f"{where}: {text}" if where else text

    @classmethod
    def load(cls, entry: Mapping[str, Any]) -> Doing:
        """Return the step that an event tells of."""
        stage = entry.get("stage")
        return cls(
            step=Step(entry["step"]),
            stage=Stage(stage) if stage else None,
            about=entry.get("about", ""),
        )


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one run, in that file."""

    path: Path

    def begin(self, doing: Doing) -> None:
        """Record that a step begins."""
        known = {"stage": doing.stage, "about": doing.about}
        given = {name: value for name, value in known.items() if value}
        append(self.path, {"event": Event.STEP, "step": doing.step, **given})

    def steps(self) -> tuple[Doing, ...]:
        """Return the steps begun so far, oldest first."""
        return tuple(Doing.load(one) for one in entries(self.path) if one["event"] == Event.STEP)


def append(path: Path, entry: Mapping[str, object]) -> None:
    """Append one object with the present time; several processes may append to a file."""
    line = json.dumps({"at": datetime.now(UTC).isoformat(), **entry}) + "\n"
    # One write of one short line to a file opened for appending is not torn by another one's.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def entries(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Return everything appended so far, oldest first."""
    if not path.exists():
        return ()
    whole = path.read_text().rpartition("\n")[0]  # a line may be half written just now
    return tuple(json.loads(line) for line in whole.splitlines())
