"""What restic says of files that it could not read, and whether they had only vanished.

An app goes on writing while it is backed up. restic ends with code 3 when a file that it had listed
was gone a moment later; its snapshot is whole all the same. See restic's manual, "Exit status
codes", and the messages of `restic backup --json`.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.model import RunWarning, Stage, WarningCode

INCOMPLETE = 3  # restic's exit code: there is a snapshot, and some files are not in it
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
SAID_GONE = ("no such file or directory", "not a directory", "does not exist, skipping")
SHOWN_FILES = 5  # that a message names
NO_FILE = ("Warning: at least one source file could not be read",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file that restic could not read: its path, why, and whether it had vanished."""

    path: str
    reason: str
    vanished: bool

    @classmethod
    def parse(cls, text: str) -> tuple[Unread, ...]:
        """Read what `restic backup --json` writes to its standard error."""
        return tuple(_each(text))


def _each(text: str) -> Iterator[Unread]:
    for line in text.split("\n"):
        if not line.strip() or line.startswith(NO_FILE):
            continue
        message = _json(line)
        if message.get("message_type") == "error":
            error = message.get("error") or {}
            reason = str(error.get("message") or _reason(error))
            gone = error.get("Err") in GONE or reason.endswith(SAID_GONE)
            yield Unread(path=str(message.get("item", "")), reason=reason, vanished=gone)
        elif not message:
            yield Unread(path="", reason=line.strip(), vanished=line.strip().endswith(SAID_GONE))


def _json(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: dict[str, Any]) -> str:
    """Return an error of Go's `os` package in words: its operation, its path, its number."""
    number = error.get("Err")
    said = errno.errorcode.get(number, str(number)) if isinstance(number, int) else str(error)
    return f"{error.get('Op') or error.get('Syscall') or 'reading'}: {said}"


def vanished_warnings(vanished: tuple[str, ...]) -> tuple[RunWarning, ...]:
    """Return the warning of files that vanished while they were backed up; none without any."""
    if not vanished:
        return ()
    shown = ", ".join(vanished[:SHOWN_FILES])
    return (
        RunWarning(
            code=WarningCode.FILES_VANISHED,
            text=f"{len(vanished)} file(s) vanished while they were backed up: {shown}"
            f"{' ...' if len(vanished) > SHOWN_FILES else ''}",
            next="leave out of the backup what the app keeps for a moment only: "
            "backupbot.backup.volumes.NAME.path names what is kept",
            stage=Stage.BACKUP,
        ),
    )
