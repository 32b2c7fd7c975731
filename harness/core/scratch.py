"""Directories for as long as something goes on; those of processes that were killed are found.

Each is held by a lock on the directory itself, which the kernel drops with its holder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def directory(prefix: str) -> Iterator[Path]:
    """Yield a new directory that only this user can enter, and remove it in the end.

    What killed processes left under the same prefix is removed first.

    Args:
        prefix: begins its name, and says what it is for.
    """
    sweep(prefix)
    path, handle = make(prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(prefix: str) -> None:
    """Remove the directories of that prefix that no living process holds."""
    for path in abandoned(prefix):
        shutil.rmtree(path, ignore_errors=True)


def abandoned(prefix: str) -> Iterator[Path]:
    """Yield each directory of that prefix that no living process holds, held until the next one."""
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with _locked(path) as ours:
            if ours:
                yield path


def make(prefix: str) -> tuple[Path, int]:
    """Return a new directory, and the handle whose lock says that its maker lives."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists():  # else somebody swept it between the two calls
            return path, handle
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Yield whether this is our user's and nobody holds it; nobody does until the block's end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone meanwhile, or another user's
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield os.fstat(handle).st_uid == os.geteuid()
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
