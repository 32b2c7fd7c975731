"""The plan of a run in the words of each CI. Sorted: the same plan gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from harness.ci.matrix.files import MINUTES
from harness.ci.matrix.selection import Cell, to_json

# GitHub refuses a matrix of more jobs; Forgejo evaluates one as it does, and is kept to the same.
MOST = {"github": 256, "forgejo": 256}
RUN = "bin/nox -s e2e -- {recipes}"
# Whether nothing may be planned was decided when the file was made.
VERIFY = "bin/nox -s verify-matrix -- --plan plan.json --allow-empty {runs}"


def include(cells: Sequence[Cell]) -> str:
    """Return one line of JSON for `matrix: ${{ fromJSON(...) }}`: a list, never a cross product."""
    listed = [{"cell": cell.name, "recipes": " ".join(cell.recipes)} for cell in cells]
    return json.dumps({"include": listed}, separators=(",", ":"))


def gitlab(cells: Sequence[Cell]) -> str:
    """Return a child pipeline: a job a cell, and the last one, which has all jobs' artifacts.

    The last job is of a later stage and has no `needs`, of which there may only be fifty. Without
    rules a child of a merge request's pipeline has no jobs.
    """
    jobs: dict[str, Any] = {
        "stages": ["test", "verify"],
        "workflow": {"rules": [{"when": "always"}]},
        "default": {"interruptible": True},
    }
    for cell in cells:
        jobs[f"cell {cell.name}"] = {
            "stage": "test",
            "timeout": f"{MINUTES} minutes",
            "variables": {"CCCI_OUTPUT": "runs"},
            "script": [RUN.format(recipes=" ".join(cell.recipes))],
            "artifacts": {"when": "always", "paths": ["runs/"], "expire_in": "2 weeks"},
        }
    jobs["verify-matrix"] = {
        "stage": "verify",
        "when": "always",
        "timeout": "15 minutes",
        "script": [_plan(cells), VERIFY.format(runs="runs")],
    }
    head = "# Made by nox -s matrix. Do not edit: make it again.\n"
    return (head + yaml.safe_dump(jobs, sort_keys=False, width=1000)).rstrip("\n")


def names(cells: Sequence[Cell]) -> str:
    """Return the recipes in one line, for a shell."""
    return " ".join(sorted(recipe for cell in cells for recipe in cell.recipes))


def _plan(cells: Sequence[Cell]) -> str:
    return f"printf '%s' '{to_json(cells)}' > plan.json"  # names have no quote in them


FORMATS: Mapping[str, Callable[[Sequence[Cell]], str]] = {
    "github": include,
    "forgejo": include,
    "gitlab": gitlab,
    "json": to_json,
    "names": names,
}
