"""What is asked of any forge about one pull request, and the words that it is answered in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from harness.core.errors import ForgeError

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class State(StrEnum):
    """What a commit's status can be set to; each dialect has its own words for them."""

    SUCCESS = "success"
    FAILURE = "failure"  # the recipe is wrong
    ERROR = "error"  # the test bed is wrong, or nothing was asserted
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull or merge request as it stood when the forge was asked.

    Attributes:
        number: its number in the repository that it is meant for.
        head: the commit that it ends in: 40 or 64 hex digits.
        base: the commit that it is compared with, or empty where the forge does not know yet.
        base_ref: the branch that it is meant for.
        head_repository: where the head comes from, or empty when that was deleted.
        fork: whether that is another repository than the one that it is meant for.
    """

    number: int
    head: str
    base: str
    base_ref: str
    head_repository: str
    fork: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One comment below a pull request. `author` is the name that its author logs in with."""

    id: int
    author: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status to set: one for each commit and `context`, the last one counts."""

    state: State
    context: str
    description: str
    details: str = ""  # a URL


class Forge(Protocol):
    """One pull request of one forge. Everything raises `ForgeError`."""

    description_limit: ClassVar[int]  # characters of a status' description
    comment_limit: ClassVar[int]  # bytes of a comment, as UTF-8

    def pull_request(self) -> PullRequest:
        """Return the pull request as it stands now."""

    def login(self) -> str:
        """Return the name of the token's owner."""

    def comments(self) -> Iterator[Comment]:
        """Return all comments below the pull request, the oldest first."""

    def create_comment(self, body: str) -> None:
        """Add a comment. Not tried again by itself: the first try may have made it."""

    def update_comment(self, comment: Comment, body: str) -> None:
        """Replace a comment's text."""

    def set_status(self, commit: str, status: Status) -> None:
        """Set a commit's status."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object of a forge, read with a message for whatever is not as documented."""

    content: Any
    what: str

    def part(self, *names: str) -> Answer:
        """Return what lies below those names; empty where a name of them is null or missing."""
        found = self.content
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return Answer(found, self.what)

    def text(self, *names: str) -> str:
        """Return a text, or empty where it is null or missing."""
        found = self.part(*names).content
        return found if isinstance(found, str) else ""

    def name(self, *names: str) -> str:
        """Return a text that is not empty.

        Raises:
            ForgeError: there is none.
        """
        found = self.text(*names)
        if not found:
            raise self._odd(".".join(names))
        return found

    def number(self, *names: str) -> int:
        """Return a whole number.

        Raises:
            ForgeError: there is none.
        """
        found = self.part(*names).content
        if not isinstance(found, int):
            raise self._odd(".".join(names))
        return found

    def sha(self, *names: str, needed: bool = True) -> str:
        """Return a commit's full name, or empty where it is not `needed` and not there.

        Raises:
            ForgeError: it is no commit's name.
        """
        found = self.text(*names)
        if not found and not needed:
            return ""
        if not _SHA.fullmatch(found):
            raise self._odd(".".join(names))
        return found

    def _odd(self, name: str) -> ForgeError:
        return ForgeError(
            f"the forge's answer about {self.what} has no usable '{name}'",
            cause="it speaks another API than the one that it was asked in",
            hint="say which with --forge and --forge-api",
        )
