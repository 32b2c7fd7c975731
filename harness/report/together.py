"""What many runs at once show: a live table on a terminal, a line for each change elsewhere.

When all are over, each run's own end comes in the order in which the recipes were named, and then
one table of all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.core.model import Outcome
from harness.core.untrusted import visible
from harness.report.answer import counted, limits
from harness.report.live import LiveView
from harness.report.results import RunResult
from harness.report.terminal import STYLES, first_line, plain, print_table, show_result

WAITING = "waiting"
RUNNING = "running"
FRAME_LINES = 4  # of the live table, besides its rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What one run of many came to.

    Attributes:
        outcome: its word.
        exit_code: its exit code.
        cause: why it did not pass.
        hint: the next command to type, for a run that left no results.
        seconds: how long it took.
        result: what it wrote down, or None.
        directory: the run's directory, or None when it had none.
        notes: lines of it that must not be missed, such as how to remove a kept app.
    """

    outcome: Outcome
    exit_code: int
    cause: str = ""
    hint: str = ""
    seconds: float = 0.0
    result: RunResult | None = None
    directory: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class Row:
    """One run of many while it goes on. `began` is on the monotonic clock."""

    label: str
    output: Path
    stage: str = ""
    step: str = ""
    began: float | None = None
    ending: Ending | None = None

    @property
    def state(self) -> str:
        """Whether it waits, runs, or how it ended."""
        if self.ending is not None:
            return str(self.ending.outcome)
        return WAITING if self.began is None else RUNNING

    def seconds(self, now: float) -> float:
        """Return how long it has been running."""
        if self.ending is not None:
            return self.ending.seconds
        return 0.0 if self.began is None else now - self.began


@dataclass(kw_only=True)
class TogetherView(LiveView):
    """The terminal's view of many runs; a context manager while they go on."""

    refresh_per_second: ClassVar[float] = 4

    rows: Sequence[Row]
    _began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        stamp = f"[{time.monotonic() - self._began:6.1f}s] "
        self.console.print(plain(stamp + text), soft_wrap=True)

    def change(self, row: Row, text: str) -> None:
        """Show a change of one run's state: a line in a log; on a terminal, the table has it."""
        if self._live is None:
            self.say(f"{row.label}: {text}")

    def _frame(self) -> Group:
        now = time.monotonic()
        shown = list(self.rows)
        if len(shown) > self.console.height - FRAME_LINES:
            shown = [row for row in shown if row.state == RUNNING]
        table = Table(box=None, pad_edge=False)
        table.add_column("recipe", no_wrap=True)
        table.add_column("result", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("stage", no_wrap=True)
        table.add_column("now", no_wrap=True, overflow="ellipsis")
        for row in shown:
            now_doing = plain(first_line(row.ending.cause if row.ending else row.step))
            table.add_row(plain(row.label), _word(row), _time(row, now), row.stage, now_doing)
        return Group(table, plain(counts(self.rows) + f"  {now - self._began:.0f} s"))


def _word(row: Row) -> Text:
    style = STYLES[row.ending.outcome] if row.ending else "dim" if row.began is None else ""
    return Text(row.state, style=style)


def _time(row: Row, now: float) -> str:
    return "" if row.began is None else f"{row.seconds(now):.0f} s"


def _seconds(ending: Ending | None) -> str:
    return f"{ending.seconds:.1f} s" if ending else ""


def _why(ending: Ending) -> str:
    """Return why a run did not pass, or what its pass leaves open."""
    if ending.cause or ending.result is None:
        return ending.cause
    return ", ".join(filter(None, (limits(ending.result), counted(ending.result))))


def counts(rows: Sequence[Row]) -> str:
    """Return how many runs are in which state, in words."""
    states = [row.state for row in rows]
    known = (RUNNING, WAITING, *(str(outcome) for outcome in Outcome))
    return ", ".join(f"{states.count(one)} {one}" for one in known if one in states)


def show_together(console: Console, rows: Sequence[Row]) -> None:
    """Show how each run ended, in the order of the rows, and then one table of all of them."""
    for row in rows:
        if row.ending is not None:
            _show_one(console, row, row.ending)
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe")
    table.add_column("result")
    table.add_column("time", justify="right")
    table.add_column("why", overflow="fold")
    for row in rows:
        why = plain(first_line(_why(row.ending)) if row.ending else "")
        table.add_row(plain(row.label), _word(row), _seconds(row.ending), why)
    console.print()
    print_table(console, table)
    console.print(plain(counts(rows)), soft_wrap=True)


def _show_one(console: Console, row: Row, ending: Ending) -> None:
    if ending.result is not None and ending.directory is not None:
        show_result(console, ending.result, ending.directory)
    else:
        console.print()
        word = (str(ending.outcome), STYLES[ending.outcome])
        console.print(Text.assemble((visible(f"{row.label}: "), "bold"), word), soft_wrap=True)
        console.print(plain(f"cause    {ending.cause}"), soft_wrap=True)
        if ending.hint:
            console.print(plain(f"next     {ending.hint}"), soft_wrap=True)
        if row.began is not None:
            console.print(plain(f"output   {row.output}"), soft_wrap=True)
    for line in ending.notes:
        console.print(plain(line), soft_wrap=True)
