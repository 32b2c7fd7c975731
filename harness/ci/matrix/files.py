"""Whole files for CIs whose jobs are known beforehand: Gitea Actions, Woodpecker and Drone.

Such a file is kept in the repository. So all recipes are in it, each cell asks the plan of its own
run what of it is to be tested, and nothing that differs from machine to machine goes into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.ci.matrix.selection import Cell

MINUTES = 120  # of one cell; a run of the harness ends by itself after 60
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("files")),
    autoescape=False,  # noqa: S701  YAML; a recipe's name has only letters, digits, '.', '_' and '-'
    undefined=StrictUndefined,
    variable_start_string="[[", variable_end_string="]]",  # the other braces are the CIs' own
    block_start_string="[%", block_end_string="%]",
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False,
)  # fmt: skip


def _writer(name: str) -> Callable[[Sequence[Cell], Sequence[str], int], str]:
    template = _TEMPLATES.get_template(f"{name}.yml.jinja")

    def write(cells: Sequence[Cell], asked: Sequence[str], shards: int) -> str:
        """Return the file.

        Args:
            cells: of all recipes that may be tested.
            asked: the names on the command line; none means all of recipes.txt.
            shards: the number on the command line, or 0.
        """
        names = "".join(f" {recipe}" for recipe in sorted(asked))
        return template.render(
            cells=[_words(cell) for cell in cells],
            again=f" --shards {shards}{names}" if shards else names,
            names=names,
            minutes=MINUTES,
        )

    return write


def _words(cell: Cell) -> Mapping[str, str]:
    touched = (f"contains(needs.plan.outputs.plan, '\"{name}\"')" for name in cell.recipes)
    return {
        "id": "cell-" + cell.name.replace(".", "_DOT_"),  # no name has a capital letter
        "name": cell.name,
        "recipes": " ".join(cell.recipes),
        "touched": " || ".join(touched),
    }


FILES = {name: _writer(name) for name in ("gitea", "woodpecker", "drone")}
