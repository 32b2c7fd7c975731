"""Files that others have written: only plain ones are read, and only up to a size."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read(path: Path, *, most: int) -> bytes:
    """Return the bytes of a file.

    Args:
        path: the file. It may lie in a directory that somebody else has filled.
        most: bytes that it may have.

    Raises:
        OSError: it is not there, cannot be read, or is a link.
        ValueError: it is a pipe, a device or the like, or too large.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{path} is not a plain file")
        found = stream.read(most + 1)
    if len(found) > most:
        raise ValueError(f"{path} is larger than {most} bytes")
    return found
