"""What a repository on this machine, given as a source, says of itself: it is only read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.core.errors import SourceError
from harness.recipes.catalogue import is_remote
from harness.recipes.git import Git

_BROKEN_REF = re.compile(r"broken ref|missing object|dangling|bad (?:object|ref)", re.IGNORECASE)


def refuse_unreadable_refs(git: Git, path: Path) -> None:
    """Refuse a path with refs that git cannot read: a clone leaves them out without a word.

    Raises:
        SourceError: it has some.
    """
    form = "--format=%(refname) %(objecttype)"
    done = git.run("for-each-ref", form, "refs/tags/", "refs/heads/", cwd=_inside(path))
    broken = [line for line in done.stderr.splitlines() if _BROKEN_REF.search(line)]
    if broken:
        raise SourceError(
            f"{path} has refs that git cannot read, so a release may be missing",
            cause="an interrupted fetch, or a file of .git that was damaged or lost",
            hint=f"git -C {path} fsck; then git fetch --tags --force, or make a new clone",
            detail="\n".join(broken),
        )


def upstream(git: Git, path: Path) -> str | None:
    """Return the address that a path's repository was cloned from, or empty.

    None means that it is bare and was cloned from nowhere, and so an origin itself.
    """
    bare = git.run("rev-parse", "--is-bare-repository", cwd=_inside(path))
    done = git.run("config", "--get", "remote.origin.url", cwd=_inside(path))
    address = done.stdout.strip()
    if done.code != 0 or not address or address.startswith("-"):
        return None if bare.stdout.strip() == "true" else ""
    return address if is_remote(address) else str((_inside(path) / address).resolve())


def _inside(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _without_filters(git: Git, path: Path) -> Git:
    """Return a git that starts no filter of a path's own: looking at a file must run nothing."""
    listed = git.run("config", "-z", "--name-only", "--get-regexp", "^filter[.]", cwd=_inside(path))
    keys = [
        f"{driver}.{key}"
        for driver in sorted(
            {name.rpartition(".")[0] for name in listed.stdout.split("\0") if name}
        )
        for key in ("clean", "process", "required")
    ]
    empty = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(keys)}
    empty |= {f"GIT_CONFIG_VALUE_{number}": "" for number in range(len(keys))}
    return replace(git, env={**git.env, **empty, "GIT_CONFIG_COUNT": str(len(keys))})


def uncommitted(git: Git, path: Path) -> str:
    """Return that a path has changes which are not tested, or empty."""
    # Neither a filter that its configuration names nor a submodule's configuration has a say.
    options = ("--porcelain", "--ignore-submodules=dirty")
    done = _without_filters(git, path).run("status", *options, cwd=_inside(path))
    if "dubious ownership" in done.stderr:
        return f"{path} belongs to another user, so whether it has uncommitted changes is not known"
    if done.code != 0 or not done.stdout.strip():
        return ""  # a bare repository fails here: it has no working tree to differ
    files = [line[3:] for line in done.stdout.splitlines()]
    named = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")  # noqa: PLR2004  enough to see
    return (
        f"{path} has uncommitted changes ({named}); they are NOT tested: only commits are."
        " Commit them to have them tested"
    )
