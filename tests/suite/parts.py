"""The parts of a long test run: how each ended, how long it took, and a record of all."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

SCHEMA = "cc-ci/parts/1"


class Result(StrEnum):
    """How a part can end."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # every test of it was: it showed nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that ended: its seconds, a note on what it showed, and how to run it again."""

    name: str
    result: Result
    seconds: float
    note: str = ""
    command: str = ""


def timed(name: str, call: Callable[[], int]) -> Part:
    """Call a part, which returns an exit code, and take its time."""
    began = time.monotonic()
    code = call()
    result = Result.FAILED if code else Result.PASSED
    return Part(name=name, result=result, seconds=time.monotonic() - began)


def failed(parts: Sequence[Part]) -> bool:
    """Return whether one of the parts failed."""
    return any(part.result is Result.FAILED for part in parts)


def table(parts: Sequence[Part]) -> str:
    """Return a table of the parts, with the command for each that failed."""
    width = max(len("part"), *(len(part.name) for part in parts))
    lines = [f"{'part':{width}}  result   seconds"]
    lines += [f"{p.name:{width}}  {p.result:7}  {p.seconds:7.1f}  {p.note}".rstrip() for p in parts]
    lines += [
        f"{part.name} failed; next: {part.command}"
        for part in parts
        if part.result is Result.FAILED and part.command
    ]
    return "\n".join(lines)


def write(path: Path, parts: Sequence[Part], *, revision: str) -> None:
    """Write the record of the parts that have ended so far, as JSON."""
    record = {
        "schema": SCHEMA,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision,
        "result": Result.FAILED if failed(parts) else Result.PASSED,
        "parts": [asdict(part) for part in parts],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
