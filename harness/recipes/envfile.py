"""Env files (`.env.sample`) and the exports of `abra.sh`, read as text: nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from harness.core.errors import InvalidRecipeError
from harness.recipes.files import Files

LARGEST_BYTES = 256 << 10  # of the file
MOST_CHARACTERS = 1 << 20  # of all values, with their variables filled in
_ASSIGNMENT = re.compile(r"(?:export[ \t]+)?(?P<key>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'(?P<value>[^']*)'")
_DOUBLE = re.compile(r'"(?P<value>(?:\\.|[^"\\])*)"', re.DOTALL)
_BARE = re.compile(r"(?P<value>(?:[^\s#]|(?<=\S)#|[ \t]+(?=[^\s#]))*)")
_REST = re.compile(r"[ \t]*(?:#(?P<comment>.*))?")
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)"
    r"|\$(?:(?P<named>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<how>:?-)(?P<default>[^}]*))?\})",
    re.ASCII | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_FUNCTION = re.compile(
    r"\s*(?:function\s+[\w:.-]+\s*(?:\(\s*\))?|[\w:.-]+\s*\(\s*\))\s*(?P<body>.*)"
)
_EXPORT_WORD = re.compile(r"export[ \t]+")
_EXPORTED = re.compile(
    r"(?P<name>[A-Za-z_]\w*)="
    r"""(?P<value>(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;'"\\])*)[\s;]*""",
    re.ASCII,
)
_QUOTED_OR_ESCAPED = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|\\(?P<one>.)"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvEntry:
    """One assignment of an env file.

    Attributes:
        key: the variable.
        value: its value, without quotes and with variables filled in.
        comment: what follows `#` on the same line, stripped.
        line: the line it begins on, from 1.
    """

    key: str
    value: str
    comment: str
    line: int

    @property
    def modifiers(self) -> dict[str, str]:
        """The `key=value` words of the comment, such as `length=32` or `generate=false`."""
        pairs = (word.partition("=") for word in self.comment.split())
        return {key: value for key, equals, value in pairs if key and equals}


def read(files: Files, name: str, *, base: Mapping[str, str] | None = None) -> tuple[EnvEntry, ...]:
    """Return the assignments of a file of a recipe, in its order.

    Raises:
        InvalidRecipeError: there is none, it is too large, or a line of it cannot be read.
    """
    data = files.read(name, largest=LARGEST_BYTES)
    try:
        text = (data if data is not None else b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidRecipeError(
            f"{name} cannot be read: {error}", hint="a recipe has a text file of that name"
        ) from error
    if data is None:
        raise InvalidRecipeError(f"the recipe has no {name}")
    return parse(text, name=name, base=base)


def parse(text: str, *, name: str, base: Mapping[str, str] | None = None) -> tuple[EnvEntry, ...]:
    r"""Return the assignments of an env file's text, in its order. A key may occur twice.

    `'...'` is taken literally. `"..."` may go over several lines and knows `\n \r \t`; any other
    `\x` is `x`. In it and without quotes `$NAME`, `${NAME}`, `${NAME:-default}` and
    `${NAME-default}` are filled in, an unknown name with nothing. A comment begins at a `#` that
    follows a blank or a closing quote; a line that is one is a switched-off option and is left out.

    Args:
        text: the file's text.
        name: of the file, for messages.
        base: variables known before the first line; earlier lines go before them.

    Raises:
        InvalidRecipeError: a line cannot be read; it is named and shown. Or the values come to more
            than they may.
    """
    known = dict(base or {})
    return tuple(_Reading(text.replace("\r\n", "\n"), name, known).entries())


def as_dict(entries: Iterable[EnvEntry]) -> dict[str, str]:
    """Return the variables and their values; the last assignment of a key counts."""
    return {entry.key: entry.value for entry in entries}


def abra_exports(text: str) -> dict[str, str]:
    """Return what `abra.sh` exports: its `export NAME=value` lines outside functions, as text.

    Quotes are stripped, and nothing is expanded: the file is other people's code and is not run.

    Raises:
        InvalidRecipeError: it is larger than it may be.
    """
    if len(text) > LARGEST_BYTES:
        raise InvalidRecipeError(
            f"abra.sh has {len(text)} characters, more than the limit of {LARGEST_BYTES}",
            hint="make it smaller",
        )
    exports: dict[str, str] = {}
    for line in _outside_functions(text):
        position = 0
        while word := _EXPORT_WORD.match(line, position):
            position = word.end()
            while match := _EXPORTED.match(line, position):
                exports[match["name"]] = _unquoted(match["value"])
                position = match.end()
    return exports


@dataclass(slots=True)
class _Reading:
    """An env file while it is read.

    Args:
        text: all of it.
        name: of the file, for messages.
        known: the variables known so far.
    """

    text: str
    name: str
    known: dict[str, str]
    _line: int = 1  # the number of that at which `_counted` is
    _counted: int = 0
    _characters: int = 0

    def entries(self) -> Iterator[EnvEntry]:
        """Yield the assignments."""
        text, position = self.text, 0
        while position < len(text):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            start = position + len(text[position:end]) - len(text[position:end].lstrip())
            if start == end or text[start] == "#":
                position = end + 1
                continue
            entry, position = self._entry(start)
            self.known[entry.key] = entry.value
            yield entry

    def _entry(self, start: int) -> tuple[EnvEntry, int]:
        assignment = _ASSIGNMENT.match(self.text, start)
        if assignment is None:
            self._wrong(start, "it is not NAME=value")
        at = assignment.end()
        opening = self.text[at : at + 1]
        pattern = {"'": _SINGLE, '"': _DOUBLE}.get(opening, _BARE)
        match = pattern.match(self.text, at)
        if match is None:
            self._wrong(start, f"the quote {opening} is never closed")
        value = match["value"] if opening == "'" else self._expanded(match["value"], opening == '"')
        rest = _REST.match(self.text, match.end())
        if rest is None or self.text[rest.end() : rest.end() + 1] not in ("", "\n"):
            self._wrong(start, "something follows the closing quote")
        comment = (rest["comment"] or "").strip()
        key, line = assignment["key"], self._number(start)
        return EnvEntry(key=key, value=value, comment=comment, line=line), rest.end() + 1

    def _number(self, start: int) -> int:
        """Return the line of a place; each is asked for after the one before it."""
        self._line += self.text.count("\n", self._counted, start)
        self._counted = start
        return self._line

    def _wrong(self, start: int, problem: str) -> NoReturn:
        raise InvalidRecipeError(
            f"{self.name}, line {self._number(start)}: {problem}",
            hint="write NAME=value, NAME='value' or NAME=\"value\", with a comment after ' #'",
            detail=self.text[start:].partition("\n")[0],
        )

    def _expanded(self, text: str, quoted: bool) -> str:  # noqa: FBT001  local
        def fill(match: re.Match[str]) -> str:
            escaped: str | None = match["escaped"]
            if escaped is not None:
                return _ESCAPES.get(escaped, escaped) if quoted else _kept_escape(escaped)
            value = self.known.get(match["named"] or match["braced"])
            if value is None or (not value and match["how"] == ":-"):
                value = match["default"] or ""
            self._count(value)
            return value

        self._count(text)
        return _VARIABLE.sub(fill, text)

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise InvalidRecipeError(
                f"{self.name} comes to more than the limit of {MOST_CHARACTERS} characters",
                cause="its variables multiply: a value is made of others many times over",
                hint="write less",
            )


def _kept_escape(character: str) -> str:
    # Without quotes only the dollar sign has to be escaped; a path keeps its backslashes.
    return "$" if character == "$" else f"\\{character}"


def _outside_functions(text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        if inside:
            inside = not line.startswith(("}", ")"))
        elif match := _FUNCTION.fullmatch(line):
            inside = not match["body"].split("#")[0].rstrip().endswith("}")
        else:
            yield line


def _unquoted(word: str) -> str:
    def strip(match: re.Match[str]) -> str:
        if match["double"] is not None:
            return re.sub(r'\\(["$`\\])', r"\1", match["double"])
        return match["single"] if match["single"] is not None else match["one"]

    return _QUOTED_OR_ESCAPED.sub(strip, word)
