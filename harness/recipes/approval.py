"""The gate for code that a recipe's own repository ships: `tests/repo-local-approved.txt`.

Nobody's code runs by default. A line approves one recipe from one source with one hash of all that
it ships below `tests/`; a recipe's name alone is a weak line, which approves whatever that is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

from harness.core.errors import InternalError, UsageError
from harness.core.proc import scrub
from harness.recipes.catalogue import is_remote, is_sample
from harness.recipes.git_access import passwords
from harness.recipes.repo import Repo
from harness.recipes.shipped import FOLDER, LaidOut, Shipped, lay_out

FILE = "repo-local-approved.txt"

_FORM = "a line is 'RECIPE SOURCE sha256:HASH', as the plan prints it, or 'RECIPE' alone (weak)"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_SHOWN_DIGITS = 12  # of a hash, in a reason; the line to add has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One line of the file. A weak one has neither source nor digest.

    Attributes:
        recipe: the recipe's name.
        source: as it is compared, see `comparable`.
        digest: `sha256:` and 64 hex digits.
        line: its number, from 1.
    """

    recipe: str
    source: str
    digest: str
    line: int

    @property
    def weak(self) -> bool:
        """Whether it approves whatever the recipe ships."""
        return not self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """The lines of one file, in its order."""

    path: Path
    entries: tuple[Approval, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Approvals:
        """Read the file; without one, nobody is approved.

        Raises:
            UsageError: it cannot be read, or a line of it is wrong; the message names the line.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path=path)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the list of approvals {path} cannot be read: {error}",
                hint="it is a text file; without one, nobody is approved",
            ) from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> Approvals:
        """Read the text of a file that lies at `path`.

        Raises:
            UsageError: a line is wrong.
        """
        return cls(path=path, entries=tuple(line.approval() for line in _lines(text, path)))

    def of(self, recipe: str) -> tuple[Approval, ...]:
        """Return the lines for that recipe."""
        return tuple(entry for entry in self.entries if entry.recipe == recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What was decided about the code that one commit of a recipe ships.

    Attributes:
        open: whether it may run.
        weak: whether only a weak line opened it.
        reason: why it is closed; empty when it is open, or when nothing is shipped.
        line: what to add to the approvals to open it for just this code; empty when nothing can.
        digest: of the code that was decided about.
    """

    open: bool
    weak: bool = False
    reason: str = ""
    line: str = ""
    digest: str = ""

    def admit(self, shipped: Shipped, repo: Repo, destination: Path) -> LaidOut | None:
        """Lay the code out, when the gate is open for it: the only way for it to reach this disk.

        Args:
            shipped: the code that was decided about.
            repo: the clone that it was read from.
            destination: a directory of the run's own, which must not exist yet.

        Returns:
            Where it lies, or None when the gate is closed.

        Raises:
            InternalError: it was opened for something else.
            TestBedError: the clone was changed since the code was read.
            OSError: it cannot be written.
        """
        if not self.open:
            return None
        if shipped.digest != self.digest:
            raise InternalError(f"the gate was opened for {self.digest}, not for {shipped.digest}")
        return lay_out(shipped, repo, destination)


def decide(
    approvals: Approvals, *, recipe: str, source: str, enrolled_source: str, shipped: Shipped
) -> Gate:
    """Decide whether what a recipe's repository ships may run: no, unless a line says so.

    Args:
        approvals: the lines.
        recipe: the recipe's name.
        source: where it was really cloned from: a URL, a path, or `sample:NAME`.
        enrolled_source: the source that recipes.txt names for it, or empty when it names none. A
            weak line counts only for that one.
        shipped: what the head ships.
    """
    if not shipped.found:
        return Gate(open=False)
    if shipped.problems:
        first, *others = shipped.problems
        more = f" (and {len(others)} more)" if others else ""
        return Gate(open=False, reason=f"it can never be approved: {first}{more}")
    here, entries = comparable(written(source)), approvals.of(recipe)
    line = f"{recipe} {written(source)} {shipped.digest}"
    if any(one.source == here and one.digest == shipped.digest for one in entries):
        return Gate(open=True, line=line, digest=shipped.digest)
    enrolled = bool(enrolled_source) and comparable(written(enrolled_source)) == here
    if enrolled and any(one.weak for one in entries):
        return Gate(open=True, weak=True, line=line, digest=shipped.digest)
    reason = _why_closed(approvals, entries, here, shipped)
    return Gate(open=False, reason=reason, line=line, digest=shipped.digest)


def written(source: str) -> str:
    """Return a source as it stands in the file: one word, absolute, without a login."""
    source = source.strip()
    if is_sample(source):
        return source
    if is_remote(source):
        return _without_login(source)
    absolute = os.path.realpath(os.path.expanduser(source))  # noqa: PTH111  Path's own fails on an unknown user
    return re.sub(r"[%\s]", lambda match: quote(match[0]), absolute)


def comparable(source: str) -> str:
    """Return a written source without what makes no difference: a slash or `.git` at its end.

    A path keeps its `.git`: beside `/srv/x.git` there may be another repository `/srv/x`.
    """
    trimmed = source.rstrip("/")
    return trimmed.removesuffix(".git").rstrip("/") if is_remote(source) else trimmed


def _without_login(source: str) -> str:
    """Return a URL without its password, nor its user's name where that may be a token."""
    if "://" not in source:
        return source
    url = urlsplit(source)
    login, at, host = url.netloc.rpartition("@")
    if not at:
        return source
    user = "" if url.scheme in ("http", "https") else login.partition(":")[0]
    return urlunsplit(url._replace(netloc=f"{user}@{host}" if user else host))


def _why_closed(
    approvals: Approvals, entries: Sequence[Approval], here: str, shipped: Shipped
) -> str:
    name = approvals.path.name
    for one in entries:
        if one.source == here and not one.weak:
            return (
                f"it has changed since it was approved: {_short(one.digest)} is approved"
                f" (line {one.line} of {name}), and this is {_short(shipped.digest)}"
            )
    for one in entries:
        if one.weak:
            return (
                f"its approval (line {one.line} of {name}) is weak, and counts only for the source"
                " that recipes.txt names"
            )
    if entries:
        return (
            f"it is approved for another source: {entries[0].source} (line {entries[0].line} of"
            f" {name}), and this is from {here}"
        )
    return f"nobody has approved the {len(shipped.entries)} file(s) that it ships in {FOLDER}/"


def _short(digest: str) -> str:
    return digest[: len("sha256:") + _SHOWN_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line that says something, and how to complain about it."""

    path: Path
    number: int
    text: str
    words: tuple[str, ...]

    def approval(self) -> Approval:
        """Return what the line says.

        Raises:
            UsageError: it says it wrongly.
        """
        recipe, *rest = self.words
        if not _NAME.fullmatch(recipe):
            self._wrong(
                f"invalid recipe name '{recipe}': use lowercase letters, digits, '-', '_' and '.',"
                " beginning with a letter or a digit"
            )
        if not rest:
            return Approval(recipe=recipe, source="", digest="", line=self.number)
        source, digest = self._both(rest)
        return Approval(
            recipe=recipe,
            source=comparable(_without_login(source)),
            digest=digest,
            line=self.number,
        )

    def _both(self, words: list[str]) -> tuple[str, str]:
        source, *rest = words
        if source.startswith("sha256:"):
            self._wrong("the source is missing: it stands between the recipe and the hash")
        if not _is_source(source):
            self._wrong(
                f"'{source}' is no source",
                hint="it is a git URL, git@HOST:PATH, sample:NAME or an absolute path, in which a"
                " blank is %20; copy the line that the plan prints",
            )
        if not rest:
            self._wrong("the hash is missing: without one, the source has to go as well")
        if not _DIGEST.fullmatch(rest[0]):
            self._wrong(f"'{rest[0]}' is no hash: it is 'sha256:' and 64 digits of 0-9 and a-f")
        if rest[1:]:
            self._wrong(
                f"'{rest[1]}' is one word too many", hint=f"{_FORM}; a comment begins with #"
            )
        return source, rest[0]

    def _wrong(self, problem: str, *, hint: str = _FORM) -> NoReturn:
        hidden = [secret for word in self.words for secret in _secrets(word)]
        raise UsageError(
            scrub(f"{self.path}, line {self.number}: {problem}", hidden),
            hint=hint,
            detail=scrub(self.text, hidden),
        )


def _is_source(word: str) -> bool:
    try:
        urlsplit(word)
    except ValueError:
        return False
    return is_remote(word) or is_sample(word) or word.startswith("/")


def _secrets(word: str) -> tuple[str, ...]:
    try:
        return passwords(word)
    except ValueError:
        return (word,)  # an address that nobody can take apart is hidden as a whole


def _lines(text: str, path: Path) -> Iterator[_Line]:
    for number, raw in enumerate(text.splitlines(), start=1):
        words = tuple(_COMMENT.sub("", raw).split())
        if words:
            yield _Line(path=path, number=number, text=raw.rstrip(), words=words)
