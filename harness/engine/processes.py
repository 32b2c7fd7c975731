"""What runs on this machine, read from /proc: engines, their helpers, and what stays mounted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

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


def engines() -> list[Process]:
    """Return all engines of this machine and their helpers. One that is a zombie is gone."""
    found = {
        one.pid: Process(pid=one.pid, argv=tuple(one.info["cmdline"]))
        for one in psutil.process_iter(["cmdline"])
        if one.info["cmdline"]
    }
    return [
        one
        for one in found.values()
        if (one.program in _PROGRAMS or one.program.startswith("containerd-shim-"))
        and not _is_passing(one, found)
    ]


def _is_passing(process: Process, others: Mapping[int, Process]) -> bool:
    # Between fork and exec, what an engine is about to run still has the engine's command line.
    # It is gone a moment later, and is neither the engine nor a second one.
    try:
        parent = others.get(psutil.Process(process.pid).ppid())
    except psutil.Error:
        return True
    return parent is not None and parent.argv == process.argv


def belonging_to(directories: Iterable[Path]) -> list[Process]:
    """Return the engines and helpers whose command line names one of these directories."""
    wanted = tuple(directories)
    return [process for process in engines() if process.names(wanted)]


def rivals(directories: Iterable[Path]) -> list[Process]:
    """Return the dockerd processes of others that share this process's network namespace."""
    wanted = tuple(directories)
    return [
        process
        for process in engines()
        if process.program == "dockerd"
        and not process.names(wanted)
        and _shares_network(process.pid)
    ]


def descendants(pids: Iterable[int]) -> set[int]:
    """Return the ids of all processes below these."""
    found: set[int] = set()
    for pid in pids:
        with suppress(psutil.Error):
            found.update(one.pid for one in psutil.Process(pid).children(recursive=True))
    return found


def is_running(pid: int) -> bool:
    """Return whether the process runs; a child of ours that ended is reaped on the way."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def mounts_below(directories: Iterable[Path]) -> list[str]:
    """Return the mount points at or below these directories, the deepest first."""
    wanted = [str(one) for one in directories]
    # Not psutil.disk_partitions, which believes /etc/mtab, and that may be an old file.
    points = [
        # Blanks and backslashes are written as octal numbers: proc_pid_mountinfo(5).
        os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
        for line in Path(psutil.PROCFS_PATH, "self/mountinfo").read_bytes().splitlines()
    ]
    below = [p for p in points if any(p == one or p.startswith(f"{one}/") for one in wanted)]
    return sorted(below, key=lambda point: point.count("/"))[::-1]


def _shares_network(pid: int) -> bool:
    proc = Path(psutil.PROCFS_PATH)
    try:
        return (proc / str(pid) / "ns/net").samefile(proc / "self/ns/net")
    except OSError:
        return True  # what may not be looked at is taken to be here: the careful answer
