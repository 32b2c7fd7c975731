"""`python -m harness.ci.matrix --format NAME`: a CI's jobs, on standard output or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.ci.matrix import files, formats, selection, times
from harness.core.errors import (
    EXIT_NOTHING_SELECTED,
    EXIT_PASSED,
    HarnessError,
    UnknownNameError,
    UsageError,
)
from harness.core.settings import PROJECT, CommandParser, Settings, command_parser
from harness.recipes.catalogue import Catalogue
from harness.report.output import complain, program

KNOWN = sorted({*formats.FORMATS, *files.FILES})


def main(argv: Sequence[str], environ: Mapping[str, str], root: Path = PROJECT) -> int:
    """Write the jobs and return the exit code."""
    try:
        return _write(argv, environ, root)
    except HarnessError as error:
        return complain(error)


def _write(argv: Sequence[str], environ: Mapping[str, str], root: Path) -> int:
    asked = _parser().parse_intermixed_args(list(argv))
    _refuse(asked.format, asked.shards, of_one_run=asked.changed or asked.within or asked.times)
    catalogue = Catalogue.load(root / selection.RECIPES_FILE)
    names = _names(catalogue, asked.recipes)
    if asked.changed:
        names &= set(selection.changed(root, catalogue, asked.changed))
    if asked.within:
        names &= _held_by(asked.within)
    kept = asked.format in files.FILES
    before = {} if kept else times.measured(asked.times or [Settings.load([], environ).output])
    cells = selection.cells(
        names, before, shards=int(asked.shards), most=formats.MOST.get(asked.format, 0)
    )
    if asked.plan:
        asked.plan.write_text(selection.to_json(cells) + "\n")
    if kept:
        text = files.FILES[asked.format](cells, asked.recipes, int(asked.shards)) + "\n"
    else:
        text = formats.FORMATS[asked.format](cells) + "\n"
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text)
    else:
        sys.stdout.write(text)
    if cells or asked.allow_empty:
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


def _parser() -> CommandParser:
    parser = command_parser("nox -s matrix --", "Write the jobs of a CI.")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="only these (default: all)")
    parser.add_argument("--format", default="json", metavar="NAME", help=", ".join(KNOWN))
    parser.add_argument("--changed", default="", metavar="BASE...HEAD", help="what this touches")
    parser.add_argument("--within", type=Path, metavar="PLAN", help="only what that plan has")
    parser.add_argument("--shards", default="0", metavar="N", help="in at most N cells")
    parser.add_argument("--times", action="append", type=Path, metavar="DIR", help="earlier runs")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="for verify-matrix, besides")
    parser.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output")
    parser.add_argument("--allow-empty", action="store_true", help="0 when nothing is to be done")
    return parser


def _refuse(form: str, shards: str, *, of_one_run: object) -> None:
    if form not in KNOWN:
        raise UsageError(f"there is no format '{form}'", hint=f"known are: {', '.join(KNOWN)}")
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


if __name__ == "__main__":
    program(lambda: main(sys.argv[1:], os.environ))
