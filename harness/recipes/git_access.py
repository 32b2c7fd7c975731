"""What git is given to reach a source, and what it is kept from: environment, passwords, trust."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.recipes.catalogue import is_remote

_KEPT_VARIABLES = ("GIT_SSL_", "GIT_HTTP_", "GIT_SSH", "GIT_ASKPASS", "GIT_PROXY_")


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for git: nothing that points it elsewhere, or lets it ask a person."""
    kept = {
        name: value
        for name, value in base.items()
        if name != "SSH_ASKPASS"
        and (not name.startswith("GIT_") or name.startswith(_KEPT_VARIABLES))
    }
    if "GIT_SSH" not in kept:
        kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",  # so that looking at a path's state leaves its index alone
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # above all not ext, which runs commands
        "LC_ALL": "C",
        "LANGUAGE": "C",
    }


def passwords(source: str) -> tuple[str, ...]:
    """Return what in a source's address must not be shown: its password, or its token."""
    if not is_remote(source) or "://" not in source:
        return ()
    url = urlsplit(source)
    # Over https a token may stand where the user's name does; over ssh that is only ever a name.
    user = url.username if url.scheme in ("http", "https") else None
    raw = [part for part in (user, url.password) if part]
    return tuple({*raw, *map(unquote, raw)})


def local_path(source: str) -> Path | None:
    """Return where on this machine the source lies, or None when it lies elsewhere."""
    if source.startswith("file://"):
        return Path(unquote(urlsplit(source).path))
    return None if is_remote(source) else Path(source)


def trust(local: Path | None) -> tuple[str, ...]:
    """Return the options that let git read a path of another user's, which it refuses by itself.

    The user named that path, and it is only read: its hooks and its configuration stay unused. git
    starts its reading half with a clean configuration, so that half has to be told as well.
    """
    if local is None or local.stat().st_uid == os.geteuid():
        return ()
    places = (local.absolute(), local.resolve())
    settings = {f"safe.directory={place}{git}" for place in places for git in ("", "/.git")}
    words = [word for setting in sorted(settings) for word in ("-c", setting)]
    return ("--upload-pack", shlex.join(["git", *words, "upload-pack"]))
