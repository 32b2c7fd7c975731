"""What a compose health check asks for, where it asks by HTTP. Pure: nothing is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_OWN = r"(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]|\$\{?HOSTNAME\}?|\$\(hostname[^)]*\))"
_END = r"[^\s\"'`;|<>()\\]"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?:[^\s/@\"']*@)?{_OWN}(?::(?P<port>\d{{1,5}}))?"
    rf"(?P<path>/{_END}*)?(?![\w.:$-])",
    re.IGNORECASE,
)
# curl and wget take an address without a scheme for HTTP.
_BARE = re.compile(
    rf"(?:^|\s|['\"]){_OWN}(?::(?P<port>\d{{1,5}}))?(?P<path>/{_END}*)?(?=$|[\s'\";|&)])",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"(?:^|[\s/;&|(])(?:curl|wget)(?=\s)")
_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The page that a health check asks its own container for.

    `port` is None where the address names none.
    """

    scheme: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, test: Sequence[str]) -> Check | None:
        """Return what a test asks for; None when it asks for no page of its own container.

        Args:
            test: the words of `healthcheck.test`, with `CMD` or `CMD-SHELL` in front.
        """
        kind, *words = test or ("",)
        if kind not in ("CMD", "CMD-SHELL"):
            return None
        line = " ".join(words)[:_LONGEST]
        if "--unix-socket" in line:
            return None
        client = _CLIENT.search(f" {line}")
        match = _URL.search(line) or (client and _BARE.search(line, max(0, client.end() - 1)))
        if not match:
            return None
        scheme = match.groupdict().get("scheme") or "http"
        path = match["path"] or "/"
        if kind == "CMD-SHELL" or (words and words[0].endswith("sh")):
            path = path.partition("&&")[0] or "/"
        return cls(
            scheme=scheme.lower(),
            port=int(match["port"]) if match["port"] else None,
            path=path.partition("#")[0],
        )
