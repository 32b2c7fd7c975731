"""What the command line of nox asks for, as far as the sessions depend on it.

The noxfile has to know which recipes are meant before nox tells it anything: each is a session.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError, UnknownNameError, UsageError
from harness.core.model import Stage
from harness.core.nearest import nearest
from harness.recipes.catalogue import Catalogue

if TYPE_CHECKING:
    from nox._options import NoxConfig

RECIPES_FILE = "recipes.txt"
E2E, STAGE = "e2e", "stage"
_OF_RECIPES = re.compile(rf"(?:{E2E}|{STAGE})\b")
_ONE = re.compile(rf"(?:{E2E}\((?P<recipe>[^,()]+)\)|{STAGE}\((?P<of>[^,()]+),\s*\w+\))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """The recipes that are sessions.

    Attributes:
        names: their names, paths or URLs.
        jobs: how many of them to test at a time.
        by_stage: whether stages of them are asked for.
        alone: whether one session is all that runs, so that its exit code can be that of nox.
    """

    names: tuple[str, ...] = ()
    jobs: int = 1
    by_stage: bool = False
    alone: bool = False

    @property
    def together(self) -> bool:
        """Whether one session tests them all, some at a time."""
        return self.jobs > 1 and len(self.names) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line of nox.

    Attributes:
        sessions: the sessions that it names, as typed.
        after: the words after `--`.
        listing: whether it only asks for the list of all sessions.
        jobs: nox's own `-j N`, in digits; empty without one.
    """

    sessions: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    listing: bool = False
    jobs: str = ""

    @classmethod
    def of(cls, nox: NoxConfig) -> Asked:
        """Return what nox was asked for; with a filter or `--json`, it prints a list of its own."""
        chosen = nox.sessions or nox.keywords or nox.tags or nox.pythons or nox.json
        return cls(
            sessions=tuple(nox.sessions or ()),
            after=tuple(nox.posargs),
            listing=nox.list_sessions and not chosen,
            jobs=str(nox.parallel or ""),
        )

    @property
    def all_of_e2e(self) -> bool:
        """Whether it asks for the session `e2e`, and not for one of its recipes by `e2e(NAME)`."""
        return E2E in self.sessions

    def recipes(self, project: Path, environ: Mapping[str, str]) -> Recipes:
        """Return the recipes that are sessions.

        These are the ones in `e2e(NAME)`, else those after `--`, else those in RECIPE, else all of
        recipes.txt. RECIPE and a broken recipes.txt only matter to the sessions that test recipes.

        Raises:
            UsageError: no recipe can be tested, or an option is wrong.
        """
        if not any(_OF_RECIPES.match(session) for session in self.sessions):
            return self._to_list(project)
        from harness.core.settings import Settings  # noqa: PLC0415  a fast `nox -l`

        asked = Settings.load(self.after, environ)
        inside = tuple(dict.fromkeys(filter(None, map(_recipe, self.sessions))))
        names = inside or asked.selectors
        if not names and STAGE in self.sessions:
            raise UsageError("no recipe is named", hint=f"nox -s {STAGE} -- RECIPE")
        found = Recipes(
            names=names or self._all(project),
            jobs=asked.jobs if self.all_of_e2e else 1,
            by_stage=any(session.startswith(STAGE) for session in self.sessions),
        )
        one = len(self.sessions) == 1 and STAGE not in self.sessions
        return replace(found, alone=one and (found.together or len(found.names) == 1))

    def _to_list(self, project: Path) -> Recipes:
        if self.listing and self.after:
            from harness.core.command_line import split  # noqa: PLC0415  a fast `nox -l`

            return Recipes(names=split(self.after)[0])
        try:
            return Recipes(names=Catalogue.load(project / RECIPES_FILE).names)
        except HarnessError:
            if self.listing:
                raise
            return Recipes()

    def _all(self, project: Path) -> tuple[str, ...]:
        catalogue = Catalogue.load(project / RECIPES_FILE)
        if not catalogue.names:
            raise UsageError(
                f"{catalogue.path} lists no recipe",
                hint="add a line 'NAME SOURCE', or name a path or a git URL: "
                "nox -s e2e -- ../my-recipe",
            )
        return catalogue.names

    def check(self, known: Collection[str]) -> None:
        """Make sure that there is each session that is named.

        Args:
            known: the names of all sessions, with parameters as nox shows them.

        Raises:
            UnknownNameError: a session does not exist; the hint names the nearest one.
        """
        spelled = {_compact(name) for name in known}
        for session in self.sessions:
            if _compact(session) not in spelled:
                hint = nearest(session, known, otherwise="`nox -l` lists them", most=2, cutoff=0.5)
                raise UnknownNameError(f"there is no session '{session}'", hint=hint)


def stages(recipes: Iterable[str]) -> list[tuple[str, str]]:
    """Return each recipe with each stage, in the order in which a run has them."""
    return [(recipe, str(stage)) for recipe in recipes for stage in Stage]


def _recipe(session: str) -> str:
    found = _ONE.fullmatch(session)
    return (found["recipe"] or found["of"]) if found else ""


def _compact(name: str) -> str:
    return "".join(name.split())
