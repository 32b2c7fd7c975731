"""What a run shows while it goes on, and its last table.

On a terminal the table of stages is live, with the moment's step below it; elsewhere (a CI log, a
pipe) every step is a plain line with the seconds since the start.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console, Group
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.core.event_log import append
from harness.core.events import (
    Doing,
    EventLine,
    NoteEvent,
    RunBegan,
    RunEnded,
    RunEvent,
    StageEnded,
)
from harness.core.model import LEFT_OUT, LintReport, Outcome, StageResult
from harness.core.untrusted import visible
from harness.report.answer import answer, counted, place, why
from harness.report.live import LiveView
from harness.report.results import RunResult

STYLES = {
    Outcome.PASSED: "bold green",
    Outcome.FAILED: "bold red",
    Outcome.ERROR: "bold magenta",
    Outcome.REFUSED: "bold yellow",
    Outcome.SKIPPED: "yellow",
    Outcome.ABORTED: "yellow",
}
COLUMNS = 80


def plain(text: str) -> Text:
    """Return text that is shown as it is: no markup, nothing that steers a terminal or a CI."""
    return Text(visible(text))


@dataclass(kw_only=True)
class View(LiveView):
    """The terminal's view of one run; a context manager while the run goes on.

    Args:
        console: where to write.
        log: a file that gets every line too, or None.
        records: files that get every event.
        scrub: masks what must not be shown, in every event.
    """

    log: Path | None = None
    records: Sequence[Path] = ()
    scrub: Callable[[str], str] = field(default=lambda text: text)
    _began: float = field(default_factory=time.monotonic)
    _recipe: str = ""
    _done: list[StageEnded] = field(default_factory=list)
    _step: str = ""

    def say(self, text: str) -> None:
        """Show a text, or the event that it carries."""
        self.show(text.event if isinstance(text, EventLine) else NoteEvent(text=text))

    def finished(self, result: StageResult) -> None:
        """Show what came of a stage."""
        self.show(StageEnded.of(replace(result, reason=self.scrub(result.reason))))

    def show(self, event: RunEvent) -> None:
        """Record an event, and show it: as a line, or in the live table if that has a place."""
        event = event.masked(self.scrub)
        for path in self.records:
            with suppress(OSError):  # a full disk shows in the verdict
                append(path, event.entry())
        text = str(event)
        if isinstance(event, RunBegan):
            self._recipe = f"{event.recipe}: "
        elif isinstance(event, Doing):
            text = self._step = f"{self._recipe}{event}"
        elif isinstance(event, StageEnded):
            self._done.append(event)
        in_table = self._live is not None and isinstance(event, (Doing, StageEnded))
        self._write(text, shown=not in_table and not isinstance(event, RunEnded))

    def _write(self, text: str, *, shown: bool) -> None:
        stamp = f"[{time.monotonic() - self._began:6.1f}s] "
        lines = visible(text).split("\n")
        for line in [stamp + lines[0], *(" " * len(stamp) + more for more in lines[1:])]:
            if shown:
                self.console.print(plain(line), soft_wrap=True)
            self._log(line)

    def _log(self, line: str) -> None:
        if self.log is None:
            return
        with suppress(OSError), self.log.open("a") as stream:  # as above
            stream.write(plain(line).plain + "\n")

    def _frame(self) -> Group:
        seconds = time.monotonic() - self._began
        spinner = Spinner("dots", plain(f"{self._step}  {seconds:.0f}s"))
        table = stage_table([(ended, ended.reason) for ended in self._done])
        table.columns[-1].no_wrap, table.columns[-1].overflow = True, "ellipsis"
        return Group(table, spinner)


def stage_table(stages: Sequence[tuple[StageEnded, str]]) -> Table:
    """Return the table of stages: result, times, counts, and the text that goes with each."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("result")
    table.add_column("op", justify="right")
    table.add_column("assertions", justify="right")
    table.add_column("passed", justify="right")
    table.add_column("why", overflow="fold")
    for ended, text in stages:
        table.add_row(
            str(ended.stage),
            Text(str(ended.outcome), style=STYLES[ended.outcome]),
            f"{ended.op_seconds:.1f} s",
            f"{ended.assert_seconds:.1f} s",
            f"{ended.passed}/{ended.total}",
            plain(text),
        )
    return table


def lint_lines(lint: LintReport) -> tuple[str, ...]:
    """Return what a lint found: which program spoke, the counts, and each rule that is broken."""
    count = {
        outcome: sum(rule.outcome is outcome for rule in lint.rules)
        for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)
    }
    gate = "a gate" if lint.gate else "not a gate"
    counts = (
        f"by {lint.program}: {count[Outcome.PASSED]} rules hold, {count[Outcome.FAILED]} broken, "
        f"{count[Outcome.SKIPPED]} not checked ({gate})"
    )
    return (
        counts,
        *lint.notes,
        *(f"{r.rule} {r.level}: {r.about}: {first_line(r.reason)}" for r in lint.broken()),
    )


def first_line(text: str) -> str:
    """Return a text's first line; a table has no room for more."""
    return text.partition("\n")[0]


def print_table(console: Console, table: Table) -> None:
    """Print a table, without the blanks that fill its last column up.

    A reason that is folded may begin a line anywhere in it, so each line is made safe on its own.
    """
    for parts in console.render_lines(table, pad=False):
        line = Text.assemble(*((part.text, part.style or "") for part in parts))
        line.rstrip()
        safe = visible(line.plain)
        console.print(line if line.plain == safe else Text(safe), soft_wrap=True)


def show_result(console: Console, result: RunResult, directory: Path) -> None:
    """Show the last table, the verdict, and on anything but a pass what to do next."""
    table = stage_table([(StageEnded.of(one), why(one, result.warnings)) for one in result.stages])
    if result.teardown is not None:
        down = result.teardown
        removed = ", ".join(f"{count} {kind}(s)" for kind, count in down.removed.items())
        table.add_row(
            "teardown",
            Text(str(down.outcome), style=STYLES[down.outcome]),
            f"{down.seconds:.1f} s", "", "",
            plain(first_line(down.reason) or (f"removed {removed}" if removed else "")),
        )  # fmt: skip
    console.print()
    if result.stages or result.teardown is not None:
        print_table(console, table)
    for what in result.left_out:
        console.print(plain(f"{LEFT_OUT} {what}"), soft_wrap=True)
    for line in lint_lines(result.lint) if result.lint else ():
        console.print(plain(f"lint     {line}"), soft_wrap=True)
    for item in result.adaptations:
        console.print(plain(f"adapted  {item.kind}: {item.subject}: {item.detail}"), soft_wrap=True)
    for line in result.diagnosis:
        console.print(plain(line), soft_wrap=True)
    _show_verdict(console, result)
    console.print(plain(f"results  {directory}"), soft_wrap=True)


def _show_verdict(console: Console, result: RunResult) -> None:
    """Show the word, the cause, the warnings, and whether it may be merged, or how to repeat it."""
    verdict = result.verdict
    passed = verdict.outcome is Outcome.PASSED
    where = f" in {verdict.stage}" if verdict.stage else ""
    warned = f", with {counted(result)}" if counted(result) else ""
    console.print(
        Text.assemble(
            (visible(f"{result.recipe}: "), "bold"),
            (f"{verdict.outcome}{where}", STYLES[verdict.outcome]),
            f" after {result.seconds:.1f} s{warned}",
        ),
        soft_wrap=True,
    )
    cause = () if passed else (f"cause    {verdict.cause}",)
    last = merge_lines(result) if passed else (f"again    {result.repeat}",)
    for line in (*cause, *warning_lines(result), *last):
        console.print(plain(line), soft_wrap=True)


def warning_lines(result: RunResult) -> list[str]:
    """Return the warnings, folded for a terminal of 80 columns; those that are accepted last."""
    lines = []
    for one in result.open_warnings:
        lines += _folded("warning", f"{place(one)}: {one.text}")
        lines += _folded("", f"next: {one.next}") if one.next else []
    for one in result.warnings:
        if one.accepted:
            lines += _folded("accepted", f"{place(one)}: {one.text} ({one.accepted})")
    return lines


def merge_lines(result: RunResult) -> list[str]:
    """Return whether a run that passed may be merged, and what it does not show."""
    lines = _folded("merge", answer(result))
    for one in result.verdict.not_shown:
        lines += _folded("", f"{one.stage}: {one.why}")
    return lines


def _folded(word: str, text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), COLUMNS, initial_indent=f"{word:<9}", subsequent_indent=" " * 9,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
