"""The plan in the words of each CI. All of it is sorted: the same plan gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from harness.matrix.selection import Cell, to_json

MINUTES = 120  # of one cell; a run of the harness ends by itself after 60
# GitHub refuses a matrix of more jobs; those that evaluate one as it does are kept to the same.
MOST = {"github": 256, "forgejo": 256, "gitea": 256}
RUN = "bin/nox -s e2e -- {recipes}"
# Whether nothing may be planned was decided when the file was made.
VERIFY = "bin/nox -s verify-matrix -- --plan plan.json --allow-empty {runs}"


def include(cells: Sequence[Cell]) -> str:
    """Return one line of JSON for `matrix: ${{ fromJSON(...) }}`: a list, never a cross product."""
    listed = [{"cell": cell.name, "recipes": " ".join(cell.recipes)} for cell in cells]
    return json.dumps({"include": listed}, separators=(",", ":"))


def gitlab(cells: Sequence[Cell]) -> str:
    """Return a child pipeline: a job a cell, and the last one, which has all jobs' artifacts.

    The last job is of a later stage and has no `needs`, of which there may only be fifty.
    """
    jobs: dict[str, Any] = {"stages": ["test", "verify"]}
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
    return _file([jobs])


def woodpecker(cells: Sequence[Cell]) -> str:
    """Return a workflow with an `include:` list, of which Woodpecker drops nothing."""
    matrix = [{"CELL": cell.name, "RECIPES": " ".join(cell.recipes)} for cell in cells]
    step = {
        "name": "test",
        "image": "bash",
        "commands": ["bin/nox -s e2e -- ${RECIPES}"],
    }
    return _file(
        [{"when": [{"event": ["push", "manual"]}], "matrix": {"include": matrix}, "steps": [step]}]
    )


def drone(cells: Sequence[Cell]) -> str:
    """Return a pipeline for each cell, as Drone has no matrix."""
    return _file(
        [_pipeline(f"cell {c.name}", RUN.format(recipes=" ".join(c.recipes))) for c in cells]
    )


def _pipeline(name: str, command: str) -> Mapping[str, Any]:
    return {
        "kind": "pipeline", "type": "exec", "name": name,
        "platform": {"os": "linux", "arch": "amd64"},
        "trigger": {"event": ["push", "custom"]},
        "steps": [{"name": "test", "commands": [command]}],
    }  # fmt: skip


def _plan(cells: Sequence[Cell]) -> str:
    return f"printf '%s' '{to_json(cells)}' > plan.json"  # names have no quote in them


def _file(documents: Sequence[Mapping[str, Any]]) -> str:
    head = "# Made by nox -s matrix. Do not edit: make it again.\n"
    dump = yaml.safe_dump_all(
        documents, sort_keys=False, width=1000, explicit_start=len(documents) > 1
    )
    return (head + dump).rstrip("\n")


FORMATS: Mapping[str, Callable[[Sequence[Cell]], str]] = {
    "github": include,
    "forgejo": include,
    "gitea": include,
    "gitlab": gitlab,
    "woodpecker": woodpecker,
    "drone": drone,
    "json": to_json,
}
