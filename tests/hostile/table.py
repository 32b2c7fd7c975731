"""What a stranger's change may try, what is promised, and what comes of it: one row for each.

A row is a function that makes the attempt against the real part, checks the promise with `assert`
and returns what happened in a few words. Its docstring says what is tried.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_ROWS: list["Attempt"] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One row.

    Attributes:
        name: what it is called on the command line and in the suite.
        what: what is tried.
        promised: what the docs promise.
        known: where this kind of attack was reported: `owner/repository#number`, or a file there.
        nightly: whether it takes too long for each change.
        act: makes the attempt in an empty directory, and returns what happened.
    """

    name: str
    what: str
    promised: str
    known: str
    nightly: bool
    act: Callable[[Path], str]


def attempt(
    *, promised: str, known: str = "", name: str = "", what: str = "", nightly: bool = False
) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """Make a row of a function; its name and its docstring are the row's, unless they are given."""

    def add(act: Callable[[Path], str]) -> Callable[[Path], str]:
        _ROWS.append(
            Attempt(
                name=name or act.__name__.replace("_", "-"),
                what=what or re.sub(r"\s+", " ", act.__doc__ or "").strip(),
                promised=promised,
                known=known,
                nightly=nightly,
                act=act,
            )
        )
        return act

    return add


def attempts() -> tuple[Attempt, ...]:
    """Return all rows, in the order of their files."""
    for file in sorted(HERE.glob("with_*.py")):
        importlib.import_module(f"tests.hostile.{file.stem}")
    names = [row.name for row in _ROWS]
    assert len(names) == len(set(names)), "two rows have the same name"
    assert all(row.what and row.promised for row in _ROWS), "a row does not say what it is"
    return tuple(_ROWS)


def made(rows: tuple[Attempt, ...], place: Path) -> Iterator[tuple[Attempt, str, bool]]:
    """Make the attempts, each in a directory of its own; yield what happened, and whether well."""
    for row in rows:
        directory = place / row.name
        directory.mkdir()
        try:
            yield row, row.act(directory), True
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  a promise not kept
            yield row, f"{type(error).__name__}: {error}", False
