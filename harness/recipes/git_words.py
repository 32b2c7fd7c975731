"""What git's words mean: the error of ours that belongs to a failed git command. Calls nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.core.errors import DiskFullError, InvalidRecipeError, SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """What git's words mean."""

    words: re.Pattern[str]
    cause: str
    hint: str


# Not the server's own shortage, which stands behind `remote: `.
_TOO_LARGE = re.compile(r"file too large|^fatal: out of memory", re.IGNORECASE | re.MULTILINE)


def _problem(words: str, *, cause: str, hint: str) -> _Problem:
    return _Problem(words=re.compile(words, re.IGNORECASE), cause=cause, hint=hint)


_PROBLEMS = (
    _problem(
        r"host key verification failed|remote host identification has changed",
        cause="the host's ssh key is not known here, or has changed",
        hint="connect to it once by hand with ssh, check its key, and try again",
    ),
    _problem(
        r"authentication failed|could not read (username|password)|terminal prompts disabled"
        r"|permission denied ?[(,]|error: 40[13]|access denied",
        cause="it needs a login, or it does not exist: forges answer the same to both",
        hint="check the address; for a private one use ssh with a key, or put a login in ~/.netrc",
    ),
    _problem(
        r"could not resolve|couldn't resolve|failed to connect|connection (refused|timed out|reset)"
        r"|couldn't connect|network is unreachable|no route to host|operation timed out"
        r"|name or service not known|temporary failure in name resolution"
        r"|proxy connect|connect tunnel failed",
        cause="the host cannot be reached from this machine",
        hint="check the network and https_proxy, or clone it elsewhere and give the path",
    ),
    _problem(
        r"certificate|ssl[ _]|gnutls",
        cause="the host's certificate is not trusted here",
        hint="name the certificate authority's file in GIT_SSL_CAINFO",
    ),
    _problem(
        r"permission denied",
        cause="a file of it may not be read by this user",
        hint="run as its owner, or make a clone of your own and give that path",
    ),
    _problem(
        r"dubious ownership",
        cause="it belongs to another user, and git refuses to read it",
        hint="run as its owner, or make a clone of your own and give that path",
    ),
    _problem(
        r"promisor remote|lazy fetching disabled",
        cause="it is a partial clone (--filter), so files of it lie elsewhere",
        hint="make it whole (git fetch --refetch --no-filter), or give the address of its origin",
    ),
    _problem(
        r"not found|does not exist|error: 404",
        cause="there is no such repository",
        hint="check the address, or the line in recipes.txt",
    ),
    _problem(
        r"not appear to be a git repository|not a git repository|is this a git repository",
        cause="that is not a git repository",
        hint="check the address, or the line in recipes.txt",
    ),
    _problem(
        r"transport '.*' not allowed",
        cause="that kind of address is not cloned here",
        hint="use http(s)://, ssh://, git://, file:// or a path",
    ),
)


def explain(what: str, stderr: str, *, local: Path | None = None) -> NoReturn:
    """Say why git failed, in its own last words and in ours.

    Raises:
        DiskFullError: there is no room left.
        InvalidRecipeError: it is larger than a clone may be.
        SourceError: anything else.
    """
    refuse_full_disk(stderr)
    _refuse_too_large(what, stderr)
    detail = "\n".join(stderr.strip().splitlines()[-5:])
    # For a directory that is there, git says that the repository does not exist.
    if local is not None and "dubious ownership" not in stderr and not _is_repository(local):
        parent = next((place for place in local.absolute().parents if _is_repository(place)), None)
        raise SourceError(
            what,
            cause=f"{local} is not a git repository",
            hint=f"its repository begins at {parent}; give that path"
            if parent
            else "a recipe is tested as its commits: git init, git add and git commit it first",
            detail=detail,
        )
    said = re.sub(r"'[^']*'", "''", stderr)  # an address may hold any of these words
    for problem in _PROBLEMS:
        if problem.words.search(said):
            raise SourceError(what, cause=problem.cause, hint=problem.hint, detail=detail)
    raise SourceError(what, hint="try that git command by hand", detail=detail)


def _refuse_too_large(what: str, stderr: str) -> None:
    """Raise when git was not allowed to write as large a file, or to take as much memory.

    Raises:
        InvalidRecipeError: that is so.
    """
    if _TOO_LARGE.search(stderr):
        raise InvalidRecipeError(
            f"{what}: the recipe's repository is larger than the limit of a clone",
            cause="it holds what is no part of a recipe, such as data or programs",
            hint="git filter-repo takes large files out of its history; docs/security.md has the "
            "limits",
        )


def _is_repository(path: Path) -> bool:
    return path.is_file() or (path / ".git").exists() or (path / "objects").is_dir()


def refuse_full_disk(stderr: str) -> None:
    """Raise when git failed for want of room.

    Raises:
        DiskFullError: it did.
    """
    if re.search(r"no space left on device|disk quota exceeded", stderr, re.IGNORECASE):
        raise DiskFullError(
            "git ran out of disk space",
            hint="free some room, or set CCCI_CACHE to a directory on a larger disk",
            detail=stderr,
        )
