"""The append-only record of every op that a run performed: one JSON object per line.

An op is recorded when it begins and again when it ends, so that a run that died shows where.
The assertions compare counts from here; nothing is ever rewritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.core import event_log


class Op(StrEnum):
    """The acts that change a deployment."""

    DEPLOY = "deploy"  # a stack that was not there before
    REDEPLOY = "redeploy"  # the same stack, in place
    RESTART = "restart"  # of all services, before the backup
    BACKUP = "backup"
    RESTORE = "restore"
    UNDEPLOY = "undeploy"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in that file; several processes may append to it and read it."""

    path: Path

    def begin(self, op: Op, **facts: object) -> None:
        """Record that an op begins."""
        self._append({"op": op, "event": "begin", **facts})

    def end(self, op: Op, **facts: object) -> None:
        """Record that an op ended, with what came of it."""
        self._append({"op": op, "event": "end", **facts})

    def note(self, text: str) -> None:
        """Record something that is not an op: a retry, an adaptation."""
        self._append({"event": "note", "text": text})

    def entries(self) -> tuple[Mapping[str, object], ...]:
        """Return everything recorded so far, oldest first."""
        return event_log.entries(self.path)

    def counts(self) -> Mapping[str, int]:
        """Return how many ops of each kind were begun, by the kind's word; none is 0."""
        begun = Counter(e.get("op") for e in self.entries() if e["event"] == "begin")
        return {str(op): begun[str(op)] for op in Op}

    def count(self, op: Op) -> int:
        """Return how many ops of that kind were begun."""
        return self.counts()[str(op)]

    def _append(self, entry: Mapping[str, object]) -> None:
        event_log.append(self.path, entry)
