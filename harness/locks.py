"""File locks with a holder that can be seen and a wait that ends.

Each lock is a file that is never deleted, held by one open file description until the block ends,
so the kernel frees it however the process dies. Beside it stands a note about the holder; the note
is for people and decides nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import Timeout, UnixFileLock

from harness.errors import LockTimeoutError, TestBedError

POLL_SECONDS = 0.1
REPEAT_NOTICE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock: the process, its host, what for, and since when (seconds since 1970)."""

    pid: int
    host: str
    purpose: str
    since: float

    def __str__(self) -> str:
        """Return the holder as the terminal shows it."""
        age = max(0, int(time.time() - self.since))
        return f"process {self.pid} on {self.host}, for {age} s, {self.purpose}"

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Return the holder that the note names, or None when there is no readable note."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def lock_path(directory: Path, name: str) -> Path:
    """Return where the lock of that name lies."""
    return directory / f"{name}.lock"


def holder_path(directory: Path, name: str) -> Path:
    """Return where the note about the lock's holder lies."""
    return directory / f"{name}.holder.json"


@contextmanager
def hold(
    directory: Path,
    name: str,
    *,
    purpose: str,
    timeout: float,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Hold the lock of that name for the length of the block.

    Args:
        directory: where the lock files live; made when it is missing.
        name: the lock's name, safe as a file name.
        purpose: what it is held for, shown to whoever waits.
        timeout: seconds to wait for it.
        say: is told who holds it, at first and then every 30 seconds.

    Raises:
        LockTimeoutError: it was not free in time.
        TestBedError: the lock file cannot be made or locked there.
    """
    lock = _open(directory, name)
    _acquire(lock, directory, name, timeout=timeout, say=say)
    note = holder_path(directory, name)
    try:
        holder = Holder(
            pid=os.getpid(), host=socket.gethostname(), purpose=purpose, since=time.time()
        )
        note.write_text(json.dumps(asdict(holder)))
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def forget(directory: Path, name: str) -> None:
    """Delete a lock that nobody will ever take again, because its name holds a random part.

    Any other lock's file stays for ever: deleting it would let two processes hold two locks of one
    name.
    """
    lock_path(directory, name).unlink(missing_ok=True)
    holder_path(directory, name).unlink(missing_ok=True)


def is_free(directory: Path, name: str) -> bool:
    """Return whether nobody holds the lock right now. A lock that was never made is free."""
    if not lock_path(directory, name).exists():
        return True
    lock = _open(directory, name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True


def _open(directory: Path, name: str) -> UnixFileLock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = lock_path(directory, name)
        path.touch()
    except OSError as error:
        raise TestBedError(
            f"the lock directory {directory} cannot be written: {error.strerror}",
            cause="it belongs to another user, or the disk is full or read-only",
            hint="set CCCI_CACHE to a directory of your own",
        ) from error
    return UnixFileLock(path, is_singleton=False)


def _acquire(
    lock: UnixFileLock,
    directory: Path,
    name: str,
    *,
    timeout: float,
    say: Callable[[str], None],
) -> None:
    give_up = time.monotonic() + timeout
    patience = 0.0  # the first try returns at once, so that whoever waits is told so right away
    while True:
        try:
            lock.acquire(timeout=patience, poll_interval=POLL_SECONDS)
        except Timeout as error:
            holder = Holder.read(holder_path(directory, name))
            who = str(holder) if holder else "a process that left no note"
            if time.monotonic() >= give_up:
                raise LockTimeoutError(
                    f"the lock '{name}' was not free within {timeout:g} s",
                    cause=f"it is held by {who}",
                    hint="wait for that run to end, or allow more time with --lock-timeout SECONDS",
                ) from error
            say(f"waiting for the lock '{name}', held by {who}")
            patience = min(max(0.0, give_up - time.monotonic()), REPEAT_NOTICE_SECONDS)
        except OSError as error:
            raise TestBedError(
                f"the lock '{name}' in {directory} cannot be taken: {error.strerror}",
                cause="the file system there has no file locks",
                hint="set CCCI_CACHE to a directory on a local disk",
            ) from error
        else:
            return
