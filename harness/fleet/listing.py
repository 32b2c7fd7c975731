"""`nox -l` for people: what one types first at the top, and the developers' sessions at the end.

nox's own list has no groups. With a filter (`-s`, `-k`, `-t`) or `--json` it is still nox's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from harness.fleet.asked import E2E, RECIPES_FILE, STAGE, Asked
from harness.recipes.catalogue import Catalogue


class Group(StrEnum):
    """The tags that put a session into a group of the list."""

    TEST = "test"
    SERVE = "serve"
    DEVELOP = "develop"


HEADINGS = {
    Group.TEST: "Test recipes, and the harness itself (`nox -l -- RECIPE` lists its stages):",
    Group.SERVE: "More about recipes:",
    Group.DEVELOP: "For developers of the harness:",
}


class Session(Protocol):
    """What the list reads of a session that nox has registered."""

    tags: list[str]
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A session in the list: its name, what it does, its group, and whether `nox` alone runs it."""

    name: str
    about: str
    group: Group
    default: bool = False

    def __str__(self) -> str:
        """Return it as nox writes it."""
        return f"{'*' if self.default else '-'} {self.name} -> {self.about}"


def render(lines: Sequence[Line]) -> str:
    """Return the whole list, group by group."""
    return "\n".join(_rendered(lines)) + "\n"


def _rendered(lines: Sequence[Line]) -> Iterator[str]:
    for group in Group:
        yield HEADINGS[group]
        yield from (str(line) for line in lines if line.group is group)
        yield ""
    yield "`nox` alone runs the session marked with *. Words after `--` go to the session."


def finish(
    asked: Asked,
    project: Path,
    recipes: Sequence[str],
    stages: Sequence[tuple[str, str]],
    registered: Mapping[str, Session],
) -> None:
    """Check the sessions that are named, or print the list and leave, if that is asked for.

    Args:
        asked: the command line.
        project: the directory of recipes.txt.
        recipes: the parameters of `e2e`.
        stages: the parameters of `stage`.
        registered: all sessions by name, in their order in the noxfile.

    Raises:
        UnknownNameError: a session that is named does not exist.
    """
    parameters = {E2E: [(recipe,) for recipe in recipes], STAGE: stages}
    if asked.sessions:
        asked.check([*registered, *_with_parameters(parameters)])
    if asked.listing:
        sources = {e.name: e.source for e in Catalogue.load(project / RECIPES_FILE).entries}
        lines = list(_lines(registered, parameters, sources))
        sys.stdout.write(render(lines))
        sys.exit(0)


def _lines(
    registered: Mapping[str, Session],
    parameters: Mapping[str, Sequence[tuple[str, ...]]],
    sources: Mapping[str, str],
) -> Iterator[Line]:
    for name, session in registered.items():
        if name != STAGE:
            about = (session.__doc__ or "").strip().partition("\n")[0]
            group = Group(session.tags[0])
            yield Line(name=name, about=about, group=group, default=session.default)
    for name, calls in parameters.items():
        for recipe, *stage in calls:
            about = (
                f"test {stage[0]}, after what it needs" if stage else sources.get(recipe, recipe)
            )
            yield Line(name=_signature(name, (recipe, *stage)), about=about, group=Group.TEST)


def _with_parameters(parameters: Mapping[str, Sequence[tuple[str, ...]]]) -> Iterator[str]:
    for name, calls in parameters.items():
        yield from (_signature(name, values) for values in calls)


def _signature(name: str, values: Sequence[str]) -> str:
    return f"{name}({', '.join(values)})"
