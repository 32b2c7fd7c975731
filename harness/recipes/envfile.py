"""Env files (`.env.sample`) and the exports of `abra.sh`, read as text: nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from harness.errors import InvalidRecipeError
from harness.recipes.files import Files

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
        InvalidRecipeError: there is none, it cannot be read, or a line of it cannot.
    """
    data = files.read(name)
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
        InvalidRecipeError: a line cannot be read; it is named and shown.
    """
    known = dict(base or {})
    entries: list[EnvEntry] = []
    for entry in _entries(text.replace("\r\n", "\n"), name, known):
        known[entry.key] = entry.value
        entries.append(entry)
    return tuple(entries)


def as_dict(entries: Iterable[EnvEntry]) -> dict[str, str]:
    """Return the variables and their values; the last assignment of a key counts."""
    return {entry.key: entry.value for entry in entries}


def abra_exports(text: str) -> dict[str, str]:
    """Return what `abra.sh` exports: its `export NAME=value` lines outside functions, as text.

    Quotes are stripped, and nothing is expanded: the file is other people's code and is not run.
    """
    exports: dict[str, str] = {}
    for line in _outside_functions(text):
        position = 0
        while word := _EXPORT_WORD.match(line, position):
            position = word.end()
            while match := _EXPORTED.match(line, position):
                exports[match["name"]] = _unquoted(match["value"])
                position = match.end()
    return exports


def _entries(text: str, name: str, known: Mapping[str, str]) -> Iterator[EnvEntry]:
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        start = position + len(text[position:end]) - len(text[position:end].lstrip())
        if start == end or text[start] == "#":
            position = end + 1
            continue
        entry, position = _entry(text, start, name, known)
        yield entry


def _entry(text: str, start: int, name: str, known: Mapping[str, str]) -> tuple[EnvEntry, int]:
    assignment = _ASSIGNMENT.match(text, start)
    if assignment is None:
        _wrong(text, start, name, "it is not NAME=value")
    at = assignment.end()
    opening = text[at : at + 1]
    pattern = {"'": _SINGLE, '"': _DOUBLE}.get(opening, _BARE)
    match = pattern.match(text, at)
    if match is None:
        _wrong(text, start, name, f"the quote {opening} is never closed")
    value = match["value"] if opening == "'" else _expanded(match["value"], known, opening == '"')
    rest = _REST.match(text, match.end())
    if rest is None or text[rest.end() : rest.end() + 1] not in ("", "\n"):
        _wrong(text, start, name, "something follows the closing quote")
    entry = EnvEntry(
        key=assignment["key"],
        value=value,
        comment=(rest["comment"] or "").strip(),
        line=text.count("\n", 0, start) + 1,
    )
    return entry, rest.end() + 1


def _wrong(text: str, start: int, name: str, problem: str) -> NoReturn:
    line = text[start:].partition("\n")[0]
    number = text.count("\n", 0, start) + 1
    raise InvalidRecipeError(
        f"{name}, line {number}: {problem}",
        hint="write NAME=value, NAME='value' or NAME=\"value\", with a comment after ' #'",
        detail=line,
    )


def _expanded(text: str, known: Mapping[str, str], quoted: bool) -> str:  # noqa: FBT001  local
    def fill(match: re.Match[str]) -> str:
        escaped: str | None = match["escaped"]
        if escaped is not None:
            return _ESCAPES.get(escaped, escaped) if quoted else _kept_escape(escaped)
        value = known.get(match["named"] or match["braced"])
        if value is None or (not value and match["how"] == ":-"):
            return match["default"] or ""
        return value

    return _VARIABLE.sub(fill, text)


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
