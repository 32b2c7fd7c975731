"""`summary.md`: a run, or several, in Markdown that a CI shows above its log or in a comment.

Everything that a recipe can have a say in stands in code spans or fenced blocks, in which no forge
looks for markup, links, mentions or numbers of issues; so it cannot end the span it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.core.model import LEFT_OUT, NotShown, Outcome, RunWarning, StageResult
from harness.core.untrusted import visible
from harness.report import results
from harness.report.answer import answer, counted, limits, place, why
from harness.report.results import RunResult

SUMMARY_FILE = "summary.md"
CELL, TEXT, CAUSE = (
    160,
    400,
    1500,
)  # characters: a comment has room for 65 000, and a reader for less
MARKS = {
    Outcome.PASSED: "✅",
    Outcome.FAILED: "❌",
    Outcome.ERROR: "⚠️",
    Outcome.REFUSED: "⛔",
    Outcome.SKIPPED: "⏭️",
    Outcome.ABORTED: "⏹️",
}


def span(text: str, *, room: int = CELL) -> str:
    """Return a text as one code span, which may stand in a table; empty stays empty."""
    line = cut(" ".join(visible(text).split()), room)
    # Backquotes could end it; a bar would end a table's cell, and in a span no entity helps.
    return f"`{line.replace('`', chr(39)).replace('|', '¦')}`" if line else ""


def block(text: str, *, room: int = CAUSE) -> str:
    """Return a text as a fenced block, with a fence longer than any in the text."""
    body = cut(visible(text).strip("\n"), room)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"


def render(result: RunResult) -> str:
    """Return one run: the verdict, the cause, the stages, and the command that repeats it."""
    verdict = result.verdict
    where = f" in {verdict.stage}" if verdict.stage else ""
    head = f" {span(result.head.commit[:12])}" if result.head else ""
    lines = [
        f"### {MARKS[verdict.outcome]} {span(result.recipe)}{head}: **{verdict.outcome}**{where}",
        "",
        f"{_answer(result)}. {result.seconds:.0f} s.",
    ]
    lines += ["", *_notes(result)] if result.warnings or _unshown(result) else []
    if verdict.outcome is not Outcome.PASSED:
        lines += ["", block(verdict.cause)]
    if result.stages:
        lines += ["", "| stage | result | op | assertions | why |", "|---|---|--:|--:|---|"]
        lines += [_row(stage, result.warnings) for stage in result.stages]
    if result.teardown is not None and result.teardown.outcome is not Outcome.PASSED:
        lines += ["", f"Teardown: **{result.teardown.outcome}** {span(result.teardown.reason)}"]
    left_out = [f"- {span(f'{LEFT_OUT} {what}')}" for what in result.left_out]
    lines += ["", *left_out] if left_out else []
    lines += ["", "Again:", "", block(result.repeat_exactly or result.repeat), ""]
    return "\n".join(lines)


def _answer(result: RunResult) -> str:
    said = answer(result)
    return said[0].upper() + said[1:]


def _unshown(result: RunResult) -> tuple[NotShown, ...]:
    passed = result.verdict.outcome is Outcome.PASSED
    return result.verdict.not_shown if passed else ()


def _notes(result: RunResult) -> list[str]:
    """Return what stands beside the word: warnings, and what a run that passed does not show."""
    lines = [f"- not shown: **{one.stage}**: {span(one.why)}" for one in _unshown(result)]
    for one in result.warnings:
        word = "accepted warning" if one.accepted else "⚠️ **warning**"
        lines.append(f"- {word} {place(one)}: {span(one.text, room=TEXT)}")
        lines += [f"  next: {span(one.next, room=TEXT)}"] if one.next and not one.accepted else []
        lines += [f"  accepted: {span(one.accepted, room=TEXT)}"] if one.accepted else []
    return lines


def together(found: Sequence[RunResult], *, missing: Sequence[str] = ()) -> str:
    """Return several runs: how many ended how, a table of all, and each that is not green.

    Args:
        found: the runs.
        missing: what is said of each run that has no results.
    """
    outcomes = [result.verdict.outcome for result in found]
    counts = [f"{outcomes.count(one)} {one}" for one in Outcome if one in outcomes]
    worst = next((one for one in _WORST if one in outcomes), None)
    mark = MARKS[worst] if worst and not missing else MARKS[Outcome.ERROR]
    counts += [f"{len(missing)} without results"] if missing else []
    lines = [f"## {mark} {', '.join(counts) or 'no run at all'}", ""]
    lines += [*(f"- {span(one, room=TEXT)}" for one in missing), ""] if missing else []
    if found:
        lines += ["| recipe | result | stage | time | why |", "|---|---|---|--:|---|"]
    for result in found:
        verdict = result.verdict
        lines.append(
            f"| {span(result.recipe)} | {MARKS[verdict.outcome]} {verdict.outcome} "
            f"| {verdict.stage} | {result.seconds:.0f} s | {span(_first(_why(result)))} |"
        )
    bad = [one for one in found if one.verdict.outcome is not Outcome.PASSED or one.open_warnings]
    return "\n".join([*lines, "", *(render(result) for result in bad)])


def _why(result: RunResult) -> str:
    return result.verdict.cause or ", ".join(filter(None, (limits(result), counted(result))))


def of(runs: Sequence[Path]) -> tuple[str, bool]:
    """Return the summary of run directories, and whether each run has results that can be read.

    One that has none is listed: left out, it would look like one that passed.
    """
    found, missing = [], []
    for run in runs:
        try:
            one = results.read(run)
        except (OSError, ValueError) as error:
            missing.append(f"{run}: results.json cannot be read: {type(error).__name__}")
            continue
        if one is not None:
            found.append(one)
        elif results.unfinished(run):
            missing.append(f"{run}: no results.json: the run did not finish")
    return together(found, missing=missing), not missing


_WORST = (
    *(Outcome.FAILED, Outcome.ERROR, Outcome.REFUSED, Outcome.ABORTED, Outcome.SKIPPED),
    Outcome.PASSED,
)


def _row(stage: StageResult, warnings: Sequence[RunWarning]) -> str:
    passed = sum(one.outcome is Outcome.PASSED for one in stage.assertions)
    return (
        f"| {stage.stage} | {MARKS[stage.outcome]} {stage.outcome} | {stage.op_seconds:.1f} s "
        f"| {passed}/{len(stage.assertions)} | {span(why(stage, warnings))} |"
    )


def _first(text: str) -> str:
    return text.partition("\n")[0]


def cut(text: str, room: int) -> str:
    """Return a text, or its beginning with an ellipsis where it has more characters than that."""
    return text if len(text) <= room else text[: room - 1] + "…"
