"""The parts of a long test run: how each ended, how long it took, and a record of all."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

SCHEMA = "cc-ci/parts/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that ended: its name, its exit code, its seconds, and how to run it again."""

    name: str
    code: int
    seconds: float
    command: str = ""

    @property
    def result(self) -> str:
        """The word for how it ended."""
        return "failed" if self.code else "passed"


def timed(name: str, call: Callable[[], int], *, command: str = "") -> Part:
    """Call a part, which returns an exit code, and take its time."""
    began = time.monotonic()
    code = call()
    return Part(name=name, code=code, seconds=time.monotonic() - began, command=command)


def table(parts: Sequence[Part]) -> str:
    """Return a table of the parts, with the command for each that failed."""
    width = max(len("part"), *(len(part.name) for part in parts))
    lines = [f"{'part':{width}}  result   seconds"]
    lines += [f"{p.name:{width}}  {p.result}  {p.seconds:8.1f}" for p in parts]
    again = [f"{p.name} failed; next: {p.command}" for p in parts if p.code and p.command]
    return "\n".join([*lines, *again])


def write(path: Path, parts: Sequence[Part], *, revision: str) -> None:
    """Write the record of the parts that ended so far, as JSON."""
    record = {
        "schema": SCHEMA,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision,
        "result": "failed" if any(part.code for part in parts) else "passed",
        "parts": [{**asdict(part), "result": part.result} for part in parts],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
