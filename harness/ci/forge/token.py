"""The token of a forge, from a file: never from the command line, never shown."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import UsageError

LONGEST = 4096  # bytes; a longer file is no token


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret, and the only host that may see it; empty for whichever is asked."""

    value: str = field(repr=False)
    host: str = ""


def load(path: Path, say: Callable[[str], None]) -> Token:
    """Read a file with a token in it, or with a host, a blank and the token.

    Args:
        path: the file, or a pipe.
        say: is told when others may read the file.

    Raises:
        UsageError: it cannot be read, others may write to it, or it holds no token.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST + 1)
            mode = Path(f"/proc/self/fd/{file.fileno()}").stat().st_mode
    except OSError as error:
        raise UsageError(
            f"the token's file {path} cannot be read: {error.strerror}",
            hint="check --token-file (CCCI_TOKEN_FILE in the environment)",
        ) from error
    _check(path, mode, say)
    return _parse(path, text)


def _check(path: Path, mode: int, say: Callable[[str], None]) -> None:
    if not stat.S_ISREG(mode):
        return  # a pipe's ends are known
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"the token's file {path} can be changed by others",
            hint=f"make it yours alone, and get a new token: chmod 600 {path}",
        )
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"warning: the token's file {path} can be read by others; chmod 600 {path}")


def _parse(path: Path, text: bytes) -> Token:
    # The content is never quoted in a message: it may be the token, wrongly written.
    words = text.decode("latin-1").split()
    host, value = ("", *words) if len(words) == 1 else (*words, "")[:2] if words else ("", "")
    good = re.fullmatch(r"[\x21-\x7e]{8,}", value) and re.fullmatch(r"[\w.:-]*", host)
    if not good or len(words) not in (1, 2) or len(text) > LONGEST:
        raise UsageError(
            f"the file {path} holds no token",
            cause="one line is expected: the token, or a host's name, a blank and the token",
        )
    return Token(value=value, host=host.lower())
