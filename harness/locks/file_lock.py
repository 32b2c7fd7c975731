"""File locks with a holder that can be seen and a wait that ends.

Each lock is a file, held by one open file description until the block ends, so the kernel frees it
however the process dies. Only its holder ever deletes it: whoever waits for a file that is gone
opens the new one. Should somebody else delete it, the holder notices before it goes on. Beside the
file stands a note about the holder; the note is for people and decides nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import Timeout, UnixFileLock

from harness.core.errors import LockLostError, LockTimeoutError, TestBedError
from harness.core.events import EventLine, LockEvent, LockState
from harness.core.waiting import stretched

POLL_SECONDS = 0.1
REPEAT_NOTICE_SECONDS = 30.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lock while it is held: the name, its file, and which file that was when it was taken."""

    name: str
    path: Path
    identity: tuple[int, int]  # device and inode

    @property
    def ours(self) -> bool:
        """Whether the file that others look at is the one that we hold."""
        return _identity(self.path) == self.identity

    def check(self) -> None:
        """Make sure that the lock is ours still.

        Raises:
            LockLostError: its file was deleted or replaced, so that others can hold it as well.
        """
        if not self.ours:
            raise LockLostError(
                f"lost the lock '{self.name}': its file was deleted or replaced",
                cause=f"somebody cleaned up {self.path.parent}, so another run may be at work here",
                hint="never delete lock files; run again: it removes what this run left",
            )


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells this file from any other; zeroes where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_dev, facts.st_ino


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
    forget: bool = False,
) -> Iterator[Held]:
    """Hold the lock of that name for the length of the block.

    Args:
        directory: where the lock files live; made when it is missing.
        name: the lock's name, safe as a file name.
        purpose: what it is held for, shown to whoever waits.
        timeout: seconds to wait for it.
        say: is told who holds it, at first and then every 30 seconds.
        forget: delete the file at the end, for a name that never comes back.

    Raises:
        LockTimeoutError: it was not free in time.
        TestBedError: the lock file cannot be made or locked there.
    """
    lock = _open(directory, name)
    _acquire(lock, directory, name, timeout=stretched(timeout), say=say)
    note, path = holder_path(directory, name), lock_path(directory, name)
    held = Held(name=name, path=path, identity=_identity(path))
    try:
        holder = Holder(
            pid=os.getpid(), host=socket.gethostname(), purpose=purpose, since=time.time()
        )
        note.write_text(json.dumps(asdict(holder)))
        yield held
    finally:
        with suppress(OSError):
            if held.ours:  # else the note is that of whoever holds the other file
                note.unlink(missing_ok=True)
                if forget:
                    path.unlink()
        lock.release()


def forget_dead(directory: Path, pattern: str, *, never_again: Callable[[str], bool]) -> None:
    """Remove the notes that killed holders left, and the files of locks that nobody takes again.

    Args:
        directory: where the lock files live.
        pattern: which locks: a glob of their names.
        never_again: whether a name was made for one holder, and will not come back.
    """
    suffix = lock_path(Path(), "").name
    for path in sorted(directory.glob(f"{pattern}{suffix}")):
        name = path.name.removesuffix(suffix)
        over = never_again(name)
        if not over and not holder_path(directory, name).exists():
            continue
        lock = hold(
            directory, name, purpose="cleaning up", timeout=0, say=lambda _: None, forget=over
        )
        with suppress(LockTimeoutError, TestBedError), lock:  # not free, or not ours to take
            pass


def is_free(directory: Path, name: str) -> bool:
    """Return whether nobody holds the lock right now. A lock that was never made is free."""
    path = lock_path(directory, name)
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unlockable(directory, name, error) from error
    finally:
        os.close(file)
    return True


def place_of(directory: Path) -> str:
    """Return what tells a directory of locks from every other one, on any host: 12 hex digits.

    Whoever holds a lock in it knows that whatever says "held by somebody of this place" is out of
    date: the kernel frees a lock only when its holder is gone.

    Raises:
        TestBedError: the directory cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        facts = directory.stat()
    except OSError as error:
        raise _unwritable(directory, error) from error
    text = f"{boot_id()}\0{facts.st_dev}\0{facts.st_ino}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def boot_id() -> str:
    """Return what names this host since it was started; the host's name where there is no such."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return socket.gethostname()


def _unwritable(directory: Path, error: OSError) -> TestBedError:
    return TestBedError(
        f"the lock directory {directory} cannot be written: {error.strerror}",
        cause="it belongs to another user, or the disk is full or read-only",
        hint="set CCCI_CACHE to a directory of your own",
    )


def _unlockable(directory: Path, name: str, error: OSError) -> TestBedError:
    return TestBedError(
        f"the lock '{name}' in {directory} cannot be taken: {error.strerror}",
        cause="the file system there has no file locks",
        hint="set CCCI_CACHE to a directory on a local disk",
    )


def _open(directory: Path, name: str) -> UnixFileLock:
    path = lock_path(directory, name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        # Giving back what is not held asks the file system and disturbs nobody. Without it,
        # filelock would fall back to a file's mere existence where there are no locks.
        fcntl.flock(file, fcntl.LOCK_UN)
    except OSError as error:
        raise _unlockable(directory, name, error) from error
    finally:
        os.close(file)
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
            say(EventLine(LockEvent(lock=name, state=LockState.WAITING, holder=who)))
            patience = min(max(0.0, give_up - time.monotonic()), REPEAT_NOTICE_SECONDS)
        except OSError as error:
            raise _unlockable(directory, name, error) from error
        else:
            if patience:
                say(EventLine(LockEvent(lock=name, state=LockState.HELD)))
            return
