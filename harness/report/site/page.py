"""The page: what is known of each recipe, as data, and the template that draws it."""

from __future__ import annotations

import hashlib
import os
import re
import statistics
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from harness.core.model import Outcome, Stage
from harness.core.untrusted import visible_value
from harness.report.site.flakes import Flakes, flakes
from harness.report.site.index import Indexed

REPORT, HISTORY = "report.html", 20
HERE = Path(__file__).parent
SIGNS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.ERROR: "!",
    Outcome.REFUSED: "⊘",
    Outcome.SKIPPED: "-",
    Outcome.ABORTED: "■",
}
LOWEST, HIGHEST = 4, 28  # of a bar, in pixels
NAME_LENGTH = 100  # of a badge's file


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A stage of a recipe's last run; `median` is of its runs that passed, 0 when there is none."""

    outcome: str
    sign: str
    seconds: float
    median: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A run in the history: how high, in pixels, and where it leads."""

    outcome: str
    sign: str
    height: int
    title: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipe on the page."""

    recipe: str
    badge: str
    last: Indexed
    sign: str
    link: str
    when: str
    median: float
    cells: tuple[Cell | str, ...]  # a text says why a stage has none
    bars: tuple[Bar, ...]
    flakes: Flakes


def rows(runs: Sequence[Indexed], out: Path) -> list[Row]:
    """Return a row for each recipe, those that are not green first."""
    ordered = sorted(runs, key=lambda run: (run.recipe, run.started, run.run))
    made = [_row(list(group), out) for _, group in groupby(ordered, key=lambda run: run.recipe)]
    return sorted(made, key=lambda row: (row.last.outcome is Outcome.PASSED, row.recipe))


def _row(runs: list[Indexed], out: Path) -> Row:
    last = runs[-1]
    alike = [run for run in runs if _shape(run) == _shape(last)]
    return Row(
        recipe=last.recipe,
        badge=file_name(last.recipe),
        last=last,
        sign=SIGNS[last.outcome],
        link=link(last, out),
        when=last.started[:16].replace("T", " "),
        median=_median([run.seconds for run in alike if run.outcome is Outcome.PASSED]),
        cells=tuple(_cell(runs, stage) for stage in Stage),
        bars=_bars(runs[-HISTORY:], out),
        flakes=flakes(runs),
    )


def _shape(run: Indexed) -> set[str]:
    """Return the stages that were performed: only runs of the same can be compared in time."""
    return {one.stage for one in run.stages if one.outcome is not Outcome.SKIPPED}


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _cell(runs: Sequence[Indexed], stage: Stage) -> Cell | str:
    found = next((one for one in runs[-1].stages if one.stage == stage), None)
    if found is None:
        return _missing(runs[-1], stage)
    passed = [
        one.seconds
        for run in runs
        for one in run.stages
        if one.stage == stage and one.outcome is Outcome.PASSED
    ]
    return Cell(
        outcome=str(found.outcome), sign=SIGNS[found.outcome], seconds=found.seconds,
        median=_median(passed),
    )  # fmt: skip


def _missing(run: Indexed, stage: Stage) -> str:
    """Return why a run has no such stage: one that was ended early had it still before it."""
    there, order = {one.stage for one in run.stages}, [str(one) for one in Stage]
    last = max((order.index(one) for one in run.asked if one in order), default=-1)
    early = not set(run.asked) <= there
    return "not reached" if early and order.index(stage) <= last else "not asked for"


def data(found: Sequence[Row]) -> list[dict[str, object]]:
    """Return the page's rows as JSON values, for whoever makes something else of them."""
    return [
        {
            "recipe": row.recipe,
            "run": row.last.run,
            "outcome": str(row.last.outcome),
            "stage": row.last.stage,
            "cause": row.last.cause,
            "started": row.last.started,
            "head": row.last.head,
            "limits": row.last.limits,
            "warnings": [
                {"where": where, "text": text, "accepted": accepted}
                for where, text, accepted in row.last.warnings
            ],
            "report": row.link,
            "seconds": row.last.seconds,
            "median": row.median,
            "stages": {
                str(stage): asdict(cell)
                for stage, cell in zip(Stage, row.cells, strict=True)
                if isinstance(cell, Cell)
            },
            "history": [bar.outcome for bar in row.bars],
            "flakes": {
                "count": row.flakes.count,
                "compared": row.flakes.compared,
                "owners": {str(owner): count for owner, count in row.flakes.owners.items()},
            },
        }
        for row in found
    ]


def _bars(runs: Sequence[Indexed], out: Path) -> tuple[Bar, ...]:
    longest = max((run.seconds for run in runs), default=0.0) or 1.0
    return tuple(
        Bar(
            outcome=str(run.outcome),
            sign=SIGNS[run.outcome],
            height=LOWEST + round((HIGHEST - LOWEST) * run.seconds / longest),
            title=f"{run.started[:16].replace('T', ' ')} {run.outcome}"
            f"{f' in {run.stage}' if run.stage else ''}, {run.seconds:.0f} s, {run.head[:8]}",
            link=link(run, out),
        )
        for run in runs
    )


def link(run: Indexed, out: Path) -> str:
    """Return where a run's report is, seen from the page; its directory when it has none."""
    report = run.directory / REPORT
    return quote(os.path.relpath(report if report.exists() else run.directory, out.resolve()))


def file_name(recipe: str) -> str:
    """Return the name of a recipe's badge: nothing in it leads out of a directory."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", recipe[:NAME_LENGTH]).lstrip(".")
    changed = hashlib.sha256(recipe.encode(errors="replace")).hexdigest()[:8]
    return plain if plain == recipe else f"{plain}-{changed}"


def render(runs: Sequence[Indexed], out: Path, *, made: str) -> str:
    """Return the page as HTML. `made` is when, as it is shown."""
    style = (HERE / "site.css").read_text()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=visible_value,
    )  # fmt: skip
    found = rows(runs, out)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("site.html.jinja").render(
        rows=found,
        stages=[str(stage) for stage in Stage],
        style=Markup(style),  # noqa: S704  our own file
        digest=digest,
        made=made,
        history=HISTORY,
        runs=len(runs),
        counts=[
            (str(one), count)
            for one in Outcome
            if (count := sum(row.last.outcome is one for row in found))
        ],
    )
