"""What tests leave behind when they are killed: removed by a watcher, or by the next suite.

A suite has one directory. All its temporary files lie there, all its processes have the directory's
name in their environment, and the suite holds a lock on it. A watcher in a session of its own
removes everything as soon as the suite is dead. If the watcher was killed too, the next suite
finds a directory without a holder and does the same.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.core import proc, scratch
from harness.core.settings import default_cache
from harness.core.waiting import Deadline, wait_for
from harness.engine import processes
from harness.engine.endpoint import Engine, probe
from harness.run import reaper

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ccci-tests-"
MARK = "CC_CI_SUITE"  # names the suite's directory in the environment of all that tests start
ENGINE = "engine"  # a file in the directory: the endpoint of the engine that the tests share
SCOPES = "scopes"  # a folder there: the caches of tests that must not meet their neighbours
GONE_SECONDS = 60.0
MEMORY = Path("/dev/shm")  # noqa: S108  a file system in memory: a directory there takes no disk


def directory() -> Path:
    """Return the directory of the suite that this process belongs to."""
    return Path(os.environ[MARK])


def in_memory(directory: Path) -> Path:
    """Return where small files of a suite lie; they are made and removed faster in memory."""
    return (MEMORY if os.access(MEMORY, os.W_OK) else directory) / directory.name


def own_cache() -> Path:
    """Return a cache for one test: what is deployed with its scope, no run of another one removes.

    If the suite is killed, the next one removes it.
    """
    cache = directory() / SCOPES / secrets.token_hex(4)
    cache.mkdir(parents=True)
    return cache


class Suite:
    """The directory of a suite, which this process holds."""

    def __init__(self, *, watched: bool) -> None:
        """Remove what dead suites left, and make a directory; `watched` starts a watcher."""
        sweep()
        self.directory, self._handle = scratch.make(PREFIX)
        self.directory.chmod(0o711)  # for programs of other users, such as browsers
        in_memory(self.directory).mkdir()
        self._watcher = _watcher(self.directory) if watched else None
        self._before = {name: os.environ.get(name) for name in (MARK, "TMPDIR")}
        os.environ[MARK] = os.environ["TMPDIR"] = tempfile.tempdir = str(self.directory)

    def end(self, *, keep: bool) -> None:
        """Remove everything of this suite; `keep` leaves its files to the next suite."""
        for name, value in self._before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        remove(self.directory, keep=keep)
        if self._watcher:
            self._watcher.communicate(b"ended")
        os.close(self._handle)


@contextmanager
def suite() -> Iterator[Suite]:
    """Hold a directory for the length of the block, and remove everything of it at the end."""
    held = Suite(watched=True)
    try:
        yield held
    finally:
        held.end(keep=False)


def sweep() -> None:
    """Remove everything of suites that are dead."""
    for directory in scratch.abandoned(PREFIX):
        remove(directory)


def remove(directory: Path, *, keep: bool = False) -> None:
    """End a suite's processes, and remove what it has mounted, deployed and written.

    Args:
        directory: the suite's.
        keep: whether the files stay. They do as well while the engine is away: only they say what
            of the suite is deployed there.
    """
    wait_for(
        lambda: kill(directory),
        what=f"the end of all processes of {directory}",
        deadline=Deadline.after(GONE_SECONDS),
        ready=lambda killed: not killed,
    )
    for mount in processes.mounts_below([directory]):
        proc.run(["umount", "--lazy", mount], timeout=20)
    if _reaped(directory) and not keep:
        shutil.rmtree(in_memory(directory), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def kill(directory: Path) -> set[int]:
    """Kill what runs of a suite, and return the process ids; zombies are none."""
    mark, own = f"{MARK}={directory}\0".encode(), os.getpid()
    marked = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes() + b"\0":
                marked.add(int(entry.name))
    marked |= {one.pid for one in processes.belonging_to([directory])}
    found = marked | processes.descendants(marked - {own})
    running = {pid for pid in found - {own} if processes.is_running(pid)}
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return running


def _reaped(directory: Path) -> bool:
    """Remove what the suite's dead runs have in the engine that the tests share, if it answers."""
    if not (directory / ENGINE).exists():
        return True
    engine = Engine(host=(directory / ENGINE).read_text(), origin="tests")
    caches = list((directory / SCOPES).glob("*"))
    if probe(engine):
        return not caches
    client = engine.client()
    for cache in (default_cache(os.environ), *caches):
        reaper.reap(client, cache=cache, say=print)
    client.close()
    return True


def _watcher(directory: Path) -> "subprocess.Popen[bytes]":
    """Start what removes everything of the suite when this process ends without a word."""
    return subprocess.Popen(  # noqa: S603  this file
        [sys.executable, "-m", __spec__.name, str(directory)],
        cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


if __name__ == "__main__":
    if not sys.stdin.read():
        for abandoned in scratch.abandoned(PREFIX):
            if str(abandoned) == sys.argv[1]:
                remove(abandoned)
