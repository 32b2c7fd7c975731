"""Which recipes a CI tests, and in which cell: from recipes.txt, the same plan as `nox -l`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ci.matrix.sharding import share
from harness.core import proc
from harness.core.errors import UsageError
from harness.core.waiting import stretched
from harness.recipes.catalogue import Catalogue, Entry

SCHEMA = "cc-ci/matrix/1"
RECIPES_FILE = "recipes.txt"
# What a change of any of these can change is every recipe's result.
EVERYTHING = ("harness/", "tests/_generic/", "bin/", "locks/", "noxfile.py", "pyproject.toml")
GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One job: its name, and the recipes that it tests, one after another."""

    name: str
    recipes: tuple[str, ...]


def cells(
    recipes: Collection[str], times: Mapping[str, float], *, shards: int = 0, most: int = 0
) -> tuple[Cell, ...]:
    """Return the jobs, sorted by their names: one a recipe, or as many as there may be.

    Args:
        recipes: the names of those that are tested.
        times: seconds that each took before.
        shards: how many cells there are at most, or 0 for one a recipe.
        most: how many the CI takes; above it, recipes share cells, so that none is dropped.
    """
    limit = min((number for number in (shards, most) if number), default=0)
    if not recipes or (not shards and (not limit or len(recipes) <= limit)):
        return tuple(Cell(name=name, recipes=(name,)) for name in sorted(recipes))
    parts = share(recipes, times, limit)
    digits = len(str(len(parts)))
    return tuple(
        Cell(name=f"shard-{number:0{digits}}", recipes=part)
        for number, part in enumerate(parts, start=1)
    )


def changed(root: Path, catalogue: Catalogue, asked: str) -> tuple[str, ...]:
    """Return the recipes whose overlay or line changed; all of them, when the harness did.

    Args:
        root: the project's clone.
        catalogue: the recipes at HEAD.
        asked: `BASE...HEAD`, any two revisions of git: what HEAD has since it left BASE.

    Raises:
        UsageError: it is not a range, or git does not know an end of it.
    """
    base, head = (_commit(root, asked, end) for end in _ends(asked))
    fork = _git(root, "merge-base", base, head).strip()
    listed = _git(root, "diff", "--name-only", "--no-renames", "-z", fork, head, "--")
    paths = [path for path in listed.split("\0") if path]
    if any(_is_everybodys(path) for path in paths):
        return catalogue.names
    touched = {path.split("/")[1] for path in paths if path.startswith("tests/")}
    if RECIPES_FILE in paths:
        touched |= _other_lines(root, catalogue, fork)
    return tuple(name for name in catalogue.names if name in touched)


def _ends(asked: str) -> tuple[str, str]:
    """Return both revisions of `BASE...HEAD`, as they were written."""
    base, dots, head = asked.rpartition("...")
    if not dots or not base or not head:
        raise UsageError(
            f"'{asked}' is not a commit range",
            hint="--changed BASE...HEAD, two revisions as git takes them: HEAD~1...HEAD",
        )
    return base, head


def _commit(root: Path, asked: str, revision: str) -> str:
    """Return the hash of the commit that a revision names, in any way that git understands."""
    argv = ("git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options")
    done = proc.run((*argv, f"{revision}^{{commit}}"), timeout=stretched(GIT_SECONDS), check=False)
    if done.code:
        raise UsageError(
            f"'{revision}' in --changed {asked} is not a commit of this clone",
            cause="the revision is mistyped, or the clone is shallow and does not have it",
            hint="git rev-parse --verify REVISION; clone the whole history (fetch-depth: 0, "
            "GIT_DEPTH: 0)",
        )
    return done.stdout.strip()


def _is_everybodys(path: str) -> bool:
    folder = path.split("/")
    shared = folder[0] == "tests" and len(folder) == 2  # noqa: PLR2004  tests/FILE, of no recipe
    return shared or path.startswith(EVERYTHING)


def _other_lines(root: Path, catalogue: Catalogue, fork: str) -> set[str]:
    text = _git(root, "show", f"{fork}:{RECIPES_FILE}")
    before = {
        entry.name: _meaning(entry) for entry in Catalogue.parse(text, catalogue.path).entries
    }
    return {e.name for e in catalogue.entries if before.get(e.name) != _meaning(e)}


def _meaning(entry: Entry) -> tuple[object, ...]:
    return entry.source, entry.ref, entry.stages


def _git(root: Path, *words: str) -> str:
    argv = ("git", "-C", str(root), *words)
    done = proc.run(argv, timeout=stretched(GIT_SECONDS), check=False)
    if done.code:
        raise UsageError(
            f"git cannot tell what changed: {done.stderr.strip()}",
            cause="a shallow clone does not have the commit that both ends come from",
            hint="clone the whole history (fetch-depth: 0, GIT_DEPTH: 0), and give two commits",
        )
    return done.stdout


def to_json(planned: Iterable[Cell]) -> str:
    """Return the plan as one line of JSON, as `verify-matrix` reads it."""
    listed = [{"cell": cell.name, "recipes": list(cell.recipes)} for cell in planned]
    return json.dumps({"schema": SCHEMA, "cells": listed}, separators=(",", ":"))


def from_json(text: str, origin: str) -> tuple[Cell, ...]:
    """Return the plan that `to_json` wrote.

    Raises:
        UsageError: it is no such plan.
    """
    try:
        data: Any = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']}")  # noqa: TRY301  told below
        return tuple(
            Cell(name=str(one["cell"]), recipes=tuple(map(str, one["recipes"])))
            for one in data["cells"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{origin} is no plan of a matrix: {error!r}",
            hint="make one: nox -s matrix -- --format json --out plan.json",
        ) from error
