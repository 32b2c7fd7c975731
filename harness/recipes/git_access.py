"""What git is given to reach a source, and what it is kept from: environment, logins, trust."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from harness.core.errors import SourceError
from harness.core.proc import without_passwords
from harness.recipes.catalogue import is_remote

_USER, _PASSWORD = "CCCI_GIT_USER", "CCCI_GIT_PASSWORD"
# A credential helper (gitcredentials(7)) that answers from the environment, which only this user
# can read. git asks it for the host of the address alone, so no redirect leads a login elsewhere.
# Of a name alone, the password may be in ~/.netrc, or come from GIT_ASKPASS.
_HELPER = (
    f"""!f() {{ test "$1" = get || return 0; printf 'username=%s\\n' "${_USER}"; """
    f"""test -z "${{{_PASSWORD}+x}}" || printf 'password=%s\\n' "${_PASSWORD}"; }}; f"""
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A source's address without its login, and how git gets that login all the same.

    Attributes:
        address: what is cloned, and what stands in the clone's configuration.
        options: words of the git command that make it ask for the login; no secret is in them.
        login: variables of git's environment that hold it.
    """

    address: str
    options: tuple[str, ...] = ()
    login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, source: str) -> Access:
        """Take a source's address apart.

        Raises:
            SourceError: the login cannot be one.
        """
        if not is_remote(source) or "://" not in source:
            return cls(address=source)
        url = urlsplit(source)
        user, password = unquote(url.username or ""), unquote(url.password or "")
        if re.search(r"[\x00-\x1f\x7f]", user + password):
            raise SourceError(  # a line break would answer git's next question, too
                f"the login in {without_passwords(source)} holds a control character",
                hint="check the address: %0A and the like have no place in a login",
            )
        if url.scheme not in ("http", "https"):  # ssh takes a name only, and the others nothing
            kept = f"{url.username}@" if url.scheme == "ssh" and url.username else ""
            return cls(address=_with(url, kept))
        if not user and not password:
            return cls(address=source)
        place = _with(url._replace(path="", query="", fragment=""), "")
        secret = {} if url.password is None else {_PASSWORD: password}
        return cls(
            address=_with(url, ""),
            options=("-c", f"credential.{place}.helper={_HELPER}"),
            login={_USER: user, **secret},
        )


def _with(url: SplitResult, login: str) -> str:
    return url._replace(netloc=login + url.netloc.rpartition("@")[2]).geturl()


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
