"""The files of events: one JSON object per line, with the time at which it was appended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.core.errors import HarnessError
from harness.core.events import KINDS, EventKind, RunEnded, RunEvent
from harness.core.proc import without_passwords

FILE = "events.jsonl"  # in a run's directory
COPY = "CC_CI_EVENTS"  # names a file that gets every event, too: a fleet follows its runs so


def load(entry: Any) -> RunEvent:  # noqa: ANN401  what `json` parsed
    """Return a recorded event; fields that are not known are left out.

    Raises:
        ValueError: it is of no known kind, or a field is missing or has another type.
    """
    kind = EventKind(entry.get("event", "") if isinstance(entry, dict) else "")
    return msgspec.convert(entry, KINDS[kind])


@dataclass(slots=True)
class EventReader:
    """Reads the events of a run, also while they are being recorded.

    Args:
        path: the file; it need not exist yet.
    """

    path: Path
    _read: int = 0

    def new(self) -> tuple[RunEvent, ...]:
        """Return the events recorded since the last call, oldest first.

        What is not an event is left out: a full disk can cut a line short.
        """
        whole = newline = b""
        with suppress(OSError), self.path.open("rb") as stream:
            stream.seek(self._read)
            whole, newline, _ = stream.read().rpartition(b"\n")  # a line may be half written
        self._read += len(whole) + len(newline)
        found = []
        for line in whole.splitlines():
            with suppress(ValueError):
                found.append(load(json.loads(line)))
        return tuple(found)


def read(path: Path) -> tuple[RunEvent, ...]:
    """Return all events recorded so far, oldest first."""
    return EventReader(path).new()


def records(directory: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files that get every event of the run in that directory."""
    copy = environ.get(COPY)
    return (directory / FILE, *([Path(copy)] if copy else []))


def record_error(error: HarnessError, environ: Mapping[str, str]) -> None:
    """Record for the fleet, if there is one, that its run ended by an error and has no results."""
    if copy := environ.get(COPY):
        cause = without_passwords(error.what)
        ended = RunEnded(outcome=error.outcome, exit_code=error.exit_code, cause=cause)
        with suppress(OSError):
            append(Path(copy), ended.entry())


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
