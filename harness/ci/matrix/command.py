"""`python -m harness matrix`: the jobs of a CI, on standard output or in a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.ci.matrix import files, formats, selection, times
from harness.core.errors import (
    EXIT_NOTHING_SELECTED,
    EXIT_PASSED,
    UnknownNameError,
    UsageError,
)
from harness.recipes.catalogue import Catalogue


def write(given: Mapping[str, Any], root: Path, runs: Path) -> int:
    """Write the jobs and return the exit code.

    Args:
        given: what the command line says.
        root: where recipes.txt lies.
        runs: where runs are written.

    Raises:
        UsageError: an option or recipes.txt is wrong.
    """
    form, shards = given["format"], given["shards"]
    _refuse(form, shards, of_one_run=given["changed"] or given["within"] or given["times"])
    catalogue = Catalogue.load(root / selection.RECIPES_FILE)
    names = _names(catalogue, given["recipes"])
    if given["changed"]:
        names &= set(selection.changed(root, catalogue, given["changed"]))
    if given["within"]:
        names &= _held_by(given["within"])
    kept = form in files.FILES
    before = {} if kept else times.measured(given["times"] or [runs])
    cells = selection.cells(names, before, shards=int(shards), most=formats.MOST.get(form, 0))
    if given["plan"]:
        given["plan"].write_text(selection.to_json(cells) + "\n")
    if kept:
        text = files.FILES[form](cells, given["recipes"], int(shards)) + "\n"
    else:
        text = formats.FORMATS[form](cells) + "\n"
    if given["out"]:
        given["out"].parent.mkdir(parents=True, exist_ok=True)
        given["out"].write_text(text)
    else:
        sys.stdout.write(text)
    if cells or given["allow_empty"]:
        return EXIT_PASSED
    sys.stderr.write("cc-ci: nothing is selected\n  next: --allow-empty, if that may be\n")
    return EXIT_NOTHING_SELECTED


def _names(catalogue: Catalogue, asked: Sequence[str]) -> set[str]:
    """Return the recipes that were asked for; all of them, when none was.

    Raises:
        UnknownNameError: a CI's jobs are for recipes that have a line.
    """
    for name in asked:
        if name not in catalogue.names:
            raise UnknownNameError(
                f"there is no recipe '{name}' in {selection.RECIPES_FILE}",
                cause="a CI's jobs are for recipes that have a line there, not for paths or URLs",
                hint=f"known are: {', '.join(catalogue.names)}",
            )
    return set(asked) or set(catalogue.names)


def _refuse(form: str, shards: str, *, of_one_run: object) -> None:
    if not shards.isdecimal():
        raise UsageError(f"'{shards}' is no number of shards", hint="--shards 4")
    if form in files.FILES and of_one_run:
        raise UsageError(
            f"the file for {form} is kept in the repository, with all recipes in it",
            cause="--changed, --within and --times differ from run to run, or between machines",
            hint=f"nox -s matrix -- --format {form}; each run of it makes its own plan",
        )


def _held_by(plan: Path) -> set[str]:
    try:
        text = plan.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the plan {plan} cannot be read: {error}") from error
    return {recipe for cell in selection.from_json(text, str(plan)) for recipe in cell.recipes}
