"""How much memory and disk programs can still get here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class _Files:
    """What a version of control groups calls a limit, the use, and the part that can be dropped."""

    limit: str
    used: str
    droppable: str


_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Files("memory.max", "memory.current", "inactive_file")


def free_at(path: Path) -> int:
    """Return the bytes that are free where a path lies, which has to be there."""
    return shutil.disk_usage(path).free


def free_bytes(path: Path, measure: Callable[[Path], int] = free_at) -> int | None:
    """Return the room where a path lies or will lie, or None when that cannot be known."""
    for place in (path, *path.absolute().parents):
        with suppress(OSError):  # it is not there yet, or may not be looked into
            return measure(place)
    return None


def free_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes that programs can get without swapping; None where nobody says.

    A container, or a service, may be allowed less than the machine has: the least of all counts.
    """
    rooms = [*_machine(proc / "meminfo"), *_groups(proc / "self/cgroup", cgroup)]
    return min(rooms, default=None)


def _machine(meminfo: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _groups(own: Path, cgroup: Path) -> Iterator[int]:
    """Yield the room of each group that this process is in, the inner ones first."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                base, files = cgroup / "memory", _V1
            elif not controllers:
                base, files = cgroup, _V2
            else:
                continue
            inner = base / path.lstrip("/")
            for group in (inner, *inner.parents):
                if group.is_relative_to(base):
                    yield from _room(group, files)


def _room(group: Path, files: _Files) -> Iterator[int]:
    # A root has no such files; and who has no limit has "max", or a number that is out of reach.
    with suppress(OSError, ValueError):
        limit, used = (int((group / name).read_text()) for name in (files.limit, files.used))
        rows = (row.split() for row in (group / "memory.stat").read_text().splitlines())
        droppable = sum(int(value) for name, value in rows if name == files.droppable)
        yield max(0, limit - used + droppable)
