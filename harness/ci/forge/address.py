"""A pull request's address: which forge, which repository, which number, and where the API is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, unquote, urlsplit

from harness.core.errors import UsageError


class Kind(StrEnum):
    """The dialects; Forgejo speaks Gitea's."""

    GITEA = "gitea"
    GITHUB = "github"
    GITLAB = "gitlab"

    @classmethod
    def named(cls, name: str) -> Kind:
        """Return the dialect of a forge's name."""
        return cls("gitea" if name == "forgejo" else name)


# Hosts that a repository's own address does not betray, as a pull request's does by its shape.
HOSTS = {
    "github.com": Kind.GITHUB,
    "gitlab.com": Kind.GITLAB,
    "codeberg.org": Kind.GITEA,
    "git.coopcloud.tech": Kind.GITEA,
}
AUTO = "auto"
API_PATHS = {Kind.GITEA: "/api/v1", Kind.GITHUB: "/api/v3", Kind.GITLAB: "/api/v4"}
EXAMPLE = "https://git.example.org/recipes/my-app/pulls/12"

_PULL = re.compile(
    r"(?P<project>(?:/[^/]+){2,}?)/(?:-/)?(?P<word>pulls?|merge_requests)/(?P<number>[1-9]\d{0,8})(?:/.*)?"
)
_WORDS = {"pull": Kind.GITHUB, "pulls": Kind.GITEA, "merge_requests": Kind.GITLAB}
_SEGMENT = re.compile(r"[\w.+~-]+")
_SCP = re.compile(r"(?:[\w.-]+@)(?P<host>[\w.-]+):(?P<path>(?!//)\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a pull request is.

    Attributes:
        kind: the dialect of its forge.
        api: the API's address, without a slash at its end.
        project: the repository's path on the forge: `owner/name`, for GitLab any number of groups.
        number: the pull request's.
        clone_url: the repository that it is meant for, for git; empty when only a source was given.
    """

    kind: Kind
    api: str
    project: str
    number: int
    clone_url: str = ""

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.project}{'!' if self.kind is Kind.GITLAB else '#'}{self.number}"


def is_url(text: str) -> bool:
    """Return whether a pull request was given by its address, and not by its number."""
    return "://" in text


def parse(url: str, *, forge: str = AUTO, api: str = "") -> Address:
    """Read the address of a pull request's page.

    Args:
        url: as a browser shows it; what comes after the number is ignored.
        forge: the dialect, or `auto`: by the words in the path, which differ.
        api: the API's address, or empty: where that dialect's has it.

    Raises:
        UsageError: it is no such address.
    """
    parts = _split(url)
    found = _PULL.fullmatch(parts.path.rstrip("/"))
    if not found:
        raise _no_pull_request(url)
    kind = _WORDS[found["word"]] if forge == AUTO else Kind.named(forge)
    segments = _segments(found["project"], url)
    base, project = _divide(segments, kind, api)
    return Address(
        kind=kind,
        api=api.rstrip("/") or _api(kind, parts, base),
        project="/".join(project),
        number=int(found["number"]),
        clone_url=f"{parts.scheme}://{_netloc(parts)}/{'/'.join(segments)}.git",
    )


def of_source(source: str, number: int, *, forge: str = AUTO, api: str = "") -> Address | None:
    """Return the address of a numbered pull request of a repository that git can clone.

    None when no API is known for it: a path, or a host of which nothing was said.

    Raises:
        UsageError: the API's address that was given is none.
    """
    scp = _SCP.fullmatch(source)
    text = f"ssh://{scp['host']}/{scp['path']}" if scp else source
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return None
    kind = HOSTS.get(host) if forge == AUTO else Kind.named(forge)
    path = parts.path.rstrip("/").removesuffix(".git")
    segments = [unquote(part) for part in path.split("/") if part]
    if parts.scheme not in ("http", "https", "ssh") or not host or kind is None:
        return None
    if len(segments) < 2 or not all(map(_is_segment, segments)):  # noqa: PLR2004  owner and name
        return None
    if parts.scheme == "ssh":  # its port and login are ssh's, the API is beside the web pages
        parts = urlsplit(f"https://{host}")
    base, project = _divide(segments, kind, api)
    return Address(
        kind=kind,
        api=api.rstrip("/") or _api(kind, parts, base),
        project="/".join(project),
        number=number,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError as error:
        raise _no_pull_request(url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _no_pull_request(url)
    if parts.username or parts.password:
        raise UsageError(
            "the pull request's address has a login in it",
            cause="it would be in the process list, in logs and in the command to repeat the run",
            hint="leave it out, and put the token into a file: --token-file FILE",
        )
    return parts


def _no_pull_request(url: str) -> UsageError:
    shown = re.sub(r"//[^/@]*@", "//", url)
    return UsageError(
        f"'{shown}' is no address of a pull request",
        hint=f"give it as the browser shows it, as {EXAMPLE}, or its number",
    )


def _is_segment(text: str) -> bool:
    return bool(_SEGMENT.fullmatch(text)) and text not in (".", "..")


def _segments(path: str, url: str) -> list[str]:
    segments = [unquote(part) for part in path.split("/") if part]
    if not all(map(_is_segment, segments)):
        raise _no_pull_request(url)
    return segments


def _divide(segments: list[str], kind: Kind, api: str) -> tuple[str, list[str]]:
    """Return the path below which the forge lives on its host, and the project's own path."""
    if kind is not Kind.GITLAB:
        return "".join(f"/{part}" for part in segments[:-2]), segments[-2:]
    # Groups may lie in groups, so only the API's address tells where the forge begins.
    base = [
        part
        for part in urlsplit(api.rstrip("/")).path.removesuffix(API_PATHS[kind]).split("/")
        if part
    ]
    if base and segments[: len(base)] == base and len(segments) >= len(base) + 2:
        return "/" + "/".join(base), segments[len(base) :]
    return "", segments


def _netloc(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" if parts.port else f"{host}"


def _api(kind: Kind, parts: SplitResult, base: str) -> str:
    if kind is Kind.GITHUB and parts.hostname == "github.com":
        return "https://api.github.com"
    return f"{parts.scheme}://{_netloc(parts)}{base}{API_PATHS[kind]}"
