"""What runs on this machine, read from /proc: engines, their helpers, and what stays mounted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_BEGUN = 19  # the start time's place among the fields that follow a process's name
_PROGRAMS = ("dockerd", "containerd", "containerd-shim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process: its id and its command line."""

    pid: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Return the name of the program, without its directory."""
        return self.argv[0].rpartition("/")[2]

    def option(self, *names: str) -> str:
        """Return the value of the first of these options that was given, or ""."""
        for name, value in zip(self.argv, (*self.argv[1:], ""), strict=True):
            for wanted in names:
                if name == wanted:
                    return value
                if name.startswith(f"{wanted}="):
                    return name.partition("=")[2]
        return ""

    def names(self, directories: Iterable[Path]) -> bool:
        """Return whether an argument is one of these directories, or lies below one."""
        words = {word.rpartition("=")[2] for word in self.argv[1:]}
        return any(
            word == str(one) or word.startswith(f"{one}/") for word in words for one in directories
        )


def engines(*, proc: Path = PROC) -> list[Process]:
    """Return all engines of this machine and their helpers. One that is a zombie is gone."""
    found = {
        process.pid: process
        for process in _all(proc)
        if process.program in _PROGRAMS or process.program.startswith("containerd-shim-")
    }
    return [one for one in found.values() if not _is_passing(one, found, proc)]


def _is_passing(process: Process, others: Mapping[int, Process], proc: Path) -> bool:
    # Between fork and exec, what an engine is about to run still has the engine's command line.
    # It is gone a moment later, and is neither the engine nor a second one.
    if not _stat(process.pid, proc):
        return True
    parent = others.get(_parent(process.pid, proc))
    return parent is not None and parent.argv == process.argv


def belonging_to(directories: Iterable[Path], *, proc: Path = PROC) -> list[Process]:
    """Return the engines and helpers whose command line names one of these directories."""
    wanted = tuple(directories)
    return [process for process in engines(proc=proc) if process.names(wanted)]


def rivals(directories: Iterable[Path], *, proc: Path = PROC) -> list[Process]:
    """Return the dockerd processes of others that share this process's network namespace."""
    wanted = tuple(directories)
    return [
        process
        for process in engines(proc=proc)
        if process.program == "dockerd"
        and not process.names(wanted)
        and _shares_network(process.pid, proc)
    ]


def descendants(pids: Iterable[int], *, proc: Path = PROC) -> set[int]:
    """Return the ids of all processes below these."""
    children: dict[int, list[int]] = {}
    for entry in _entries(proc):
        children.setdefault(_parent(int(entry.name), proc), []).append(int(entry.name))
    found: set[int] = set()
    todo = list(pids)
    while todo:
        below = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(below)
        todo += below
    return found


def is_running(pid: int, *, proc: Path = PROC) -> bool:
    """Return whether the process runs; a child of ours that ended is reaped on the way."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    state = _stat(pid, proc)[:1]
    return bool(state) and state[0] not in {"Z", "X", "x"}


def begun(pid: int, *, proc: Path = PROC) -> str:
    """Return when a process began, in ticks since the machine's start; "" for one that is gone.

    Ids are used again after a while; an id together with this is not.
    """
    fields = _stat(pid, proc)
    return fields[_BEGUN] if len(fields) > _BEGUN else ""


def mounts_below(directories: Iterable[Path], *, proc: Path = PROC) -> list[str]:
    """Return the mount points at or below these directories, the deepest first."""
    wanted = [str(one) for one in directories]
    points = [
        # Blanks and backslashes are written as octal numbers: proc_pid_mountinfo(5).
        os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
        for line in (proc / "self" / "mountinfo").read_bytes().splitlines()
    ]
    below = [p for p in points if any(p == one or p.startswith(f"{one}/") for one in wanted)]
    return sorted(below, key=lambda point: point.count("/"))[::-1]


def _all(proc: Path) -> Iterator[Process]:
    for entry in _entries(proc):
        # A process may end between the listing and the look.
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="surrogateescape")
            if words:
                yield Process(pid=int(entry.name), argv=tuple(words.rstrip("\0").split("\0")))


def _parent(pid: int, proc: Path) -> int:
    after = _stat(pid, proc)
    return int(after[1]) if len(after) > 1 else 0


def _stat(pid: int, proc: Path) -> list[str]:
    # What follows the name, which stands in parentheses and may hold blanks and more of those.
    try:
        return (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _entries(proc: Path) -> Iterator[Path]:
    return (entry for entry in proc.iterdir() if entry.name.isdecimal())


def _shares_network(pid: int, proc: Path) -> bool:
    try:
        theirs = (proc / str(pid) / "ns" / "net").stat()
        return os.path.samestat(theirs, (proc / "self" / "ns" / "net").stat())
    except OSError:
        return True  # what may not be looked at is taken to be here: the careful answer
