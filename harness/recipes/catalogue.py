"""recipes.txt and the selectors of the command line: which recipe, from where, at which ref.

Nothing but the standard library, the errors and the words of a run is imported here: `nox -l` reads
the file through this module and has to answer at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.core.nearest import nearest
from harness.core.options import parse_stages

OPTIONS = ("ref", "stages")
SAMPLE_PREFIX = "sample:"
# These folders of tests/ hold the harness' own tests: such a recipe would run them.
RESERVED_NAMES = frozenset(
    {"crash", "hostile", "integration", "lying", "mutants", "suite", "truth", "unit"}
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_URL = re.compile(r"(?:https?|ssh|git|file)://\S+")
_SCP = re.compile(r"(?:[\w.-]+@)[\w.-]+:(?!//)\S+")
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|:)")
_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One recipe to test.

    Attributes:
        name: the recipe's name, which also names its folder under `tests/`.
        source: `sample:NAME`, something git can clone, or an absolute path.
        ref: the head to test, or empty for what the source itself has checked out.
        stages: the stages to run, in their order; empty means every one.
        line: the line in recipes.txt, or 0 when it came from the command line.
    """

    name: str
    source: str
    ref: str = ""
    stages: tuple[Stage, ...] = ()
    line: int = 0

    @property
    def sample(self) -> str:
        """The name of the embedded sample that is the source, or empty."""
        return self.source.removeprefix(SAMPLE_PREFIX) if is_sample(self.source) else ""

    def at(self, ref: str) -> Entry:
        """Return the same recipe with another head."""
        return Entry(
            name=self.name, source=self.source, ref=ref, stages=self.stages, line=self.line
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The recipes of one recipes.txt, in the order of the file."""

    path: Path
    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read the file.

        Raises:
            UsageError: it cannot be read, or a line of it is wrong; the message names the line.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the list of recipes {path} cannot be read: {error}",
                hint="run this from the project's directory, or name another list",
            ) from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> Catalogue:
        """Read the text of a file that lies at `path`.

        Raises:
            UsageError: a line is wrong.
        """
        entries: dict[str, Entry] = {}
        for line in _lines(text, path):
            entry = line.entry()
            if entry.name in entries:
                first = entries[entry.name].line
                line.wrong(f"the name '{entry.name}' is already taken by line {first}")
            entries[entry.name] = entry
        return cls(path=path, entries=tuple(entries.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the file."""
        return tuple(entry.name for entry in self.entries)

    def get(self, name: str) -> Entry:
        """Return the recipe of that name.

        Raises:
            UnknownNameError: there is none; the hint names the nearest ones, or how to give a path.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        instead = f"add a line '{name} SOURCE' to it, or give a path (./{name}) or a git URL"
        raise UnknownNameError(
            f"there is no recipe '{name}' in {self.path}",
            hint=nearest(name, self.names, otherwise=instead),
        )


def is_sample(source: str) -> bool:
    """Return whether the source is an embedded sample recipe."""
    return source.startswith(SAMPLE_PREFIX)


def is_remote(source: str) -> bool:
    """Return whether the source is reached by a URL or over ssh, `file://` included."""
    return bool(_URL.fullmatch(source) or _SCP.fullmatch(source))


def select(
    catalogue: Catalogue,
    selectors: Sequence[str],
    *,
    cwd: Path | None = None,
    each: bool = False,
) -> tuple[Entry, ...]:
    """Return what the command line asks for, in its order, each recipe once.

    Args:
        catalogue: the known recipes.
        selectors: each a name, a path with a slash in it, or a URL; any may end in `#REF`.
        cwd: what relative paths are relative to; the current directory when None.
        each: return one entry for each selector, so that a recipe may be there several times.

    Raises:
        UnknownNameError: a name is not in the catalogue.
        UsageError: a selector is none of the above.
    """
    chosen = tuple(_selected(catalogue, selector, cwd or Path.cwd()) for selector in selectors)
    return chosen if each else tuple(dict.fromkeys(chosen))


def _selected(catalogue: Catalogue, selector: str, cwd: Path) -> Entry:
    target, hash_sign, ref = selector.partition("#")
    if hash_sign and not _is_ref(ref):
        raise UsageError(
            f"'{selector}': '{ref}' is not a valid ref name",
            hint=f"give a branch, tag, commit or pull request number: '{target}#REF'",
        )
    if is_remote(target) or "/" in target or target.startswith((".", "~")):
        problem = _source_problem(target)
        if problem:
            raise UsageError(f"'{selector}' cannot be tested: {problem}")
        source = _absolute(target, cwd)
        return Entry(name=_derived_name(source, selector), source=source, ref=ref)
    entry = catalogue.get(target)
    return entry.at(ref) if ref else entry


def _derived_name(source: str, selector: str) -> str:
    last = re.split(r"[/:]", source.rstrip("/"))[-1]
    name = last.removesuffix(".git").lower()
    problem = _name_problem(name)
    if problem:
        raise UsageError(
            f"no recipe name can be made of '{selector}': {problem}",
            hint=f"give it a name in recipes.txt: 'NAME {source}'",
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line that says something, and how to complain about it."""

    path: Path
    number: int
    text: str
    words: tuple[str, ...]

    def wrong(self, problem: str, *, hint: str = "") -> NoReturn:
        """Complain.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.path}, line {self.number}: {problem}",
            hint=hint or "a line is 'NAME SOURCE [ref=REF] [stages=install,upgrade,...]'",
            detail=self.text,
        )

    def entry(self) -> Entry:
        """Return what the line says.

        Raises:
            UsageError: it says it wrongly.
        """
        name, *rest = self.words
        problem = _name_problem(name)
        if problem:
            self.wrong(problem)
        if not rest or self._is_option(rest[0]):
            self.wrong(f"the source of '{name}' is missing")
        problem = _source_problem(rest[0])
        if problem:
            self.wrong(problem)
        options = self._options(rest[1:])
        return Entry(
            name=name,
            source=_absolute(rest[0], self.path.parent),
            ref=options.get("ref", ""),
            stages=self._stages(options.get("stages")),
            line=self.number,
        )

    def _is_option(self, word: str) -> bool:
        return word.partition("=")[0] in OPTIONS and "=" in word

    def _options(self, words: Iterable[str]) -> dict[str, str]:
        options: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                self.wrong(f"'{word}' is no option: an option is KEY=VALUE")
            if key not in OPTIONS:
                self.wrong(f"there is no option '{key}'", hint=nearest(key, OPTIONS, cutoff=0.5))
            if key in options:
                self.wrong(f"the option '{key}' is given twice")
            if not value:
                self.wrong(f"the option '{key}' has no value")
            options[key] = value
        if not _is_ref(options.get("ref", "main")):
            self.wrong(f"'{options['ref']}' can be no ref")
        return options

    def _stages(self, value: str | None) -> tuple[Stage, ...]:
        if value is None:
            return ()
        try:
            return parse_stages(value)
        except UnknownNameError as error:
            self.wrong(error.what, hint=error.hint)
        except ValueError as error:
            self.wrong(f"invalid value for the option 'stages': {error}")


def _lines(text: str, path: Path) -> Iterator[_Line]:
    for number, raw in enumerate(text.splitlines(), start=1):
        words = _COMMENT.sub("", raw).split()
        if words:
            yield _Line(path=path, number=number, text=raw.rstrip(), words=tuple(words))


def _name_problem(name: str) -> str:
    if not _NAME.fullmatch(name):
        return (
            f"invalid recipe name '{name}': use lowercase letters, digits, '-', '_' and '.',"
            " beginning with a letter or a digit"
        )
    if name in RESERVED_NAMES:
        return f"the name '{name}' is taken by the folder tests/{name} of the harness itself"
    return ""


def _source_problem(source: str) -> str:
    if source == SAMPLE_PREFIX:
        return "'sample:' names no sample; write sample:NAME"
    if source.startswith("-"):
        return f"the source '{source}' begins with '-', which git would take for an option"
    if not is_remote(source) and _OTHER_SCHEME.match(source):
        return (
            f"the source '{source}' is of a kind that is not cloned here;"
            " use http(s)://, ssh://, git://, file://, git@HOST:PATH, a path or sample:NAME"
        )
    return ""


def _absolute(source: str, base: Path) -> str:
    if is_sample(source) or is_remote(source):
        return source
    home = os.path.expanduser(source)  # noqa: PTH111  Path's own fails on an unknown user
    return str((base.absolute() / home).resolve())


def _is_ref(ref: str) -> bool:
    return bool(ref) and not ref.startswith("-") and not re.search(r"[\s\x00-\x1f~^:?*\[\\]", ref)
