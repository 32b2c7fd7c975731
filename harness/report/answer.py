"""May it be merged? The sentence that every renderer shows beside the word, decided here alone."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.model import Outcome, RunWarning, Stage, StageResult, WarningCode
from harness.report.results import RunResult

ANSWERS = {
    Outcome.FAILED: "do not merge: the recipe is wrong",
    Outcome.ERROR: "inconclusive: the test bed failed, so this says nothing about the recipe",
    Outcome.REFUSED: "inconclusive: the recipe asks for access to the host that is not allowed",
    Outcome.SKIPPED: "inconclusive: too few assertions ran",
    Outcome.ABORTED: "inconclusive: the run was stopped",
}


def answer(result: RunResult) -> str:
    """Return whether the change may be merged, in a sentence without its full stop."""
    if result.verdict.outcome is not Outcome.PASSED:
        return ANSWERS[result.verdict.outcome]
    if result.partial:
        return (
            f"not on this alone: what was asserted passed, but {_unshown(result)} not shown in full"
        )
    shown = f"every stage of the full plan passed{_not_afresh(result)}"
    if count := len(result.open_warnings):
        them = "the warning" if count == 1 else f"the {count} warnings"
        return f"you may merge if you accept {them}: {shown}"
    return f"you may merge: {shown}"


def _not_afresh(result: RunResult) -> str:
    """Return what no stage shows: the install stage deploys the base, where there is one."""
    upgraded = any(
        stage.stage is Stage.UPGRADE and stage.outcome is Outcome.PASSED for stage in result.stages
    )
    return "; a fresh install of the head was not tested" if upgraded and result.base else ""


def _unshown(result: RunResult) -> str:
    names = [str(one.stage) for one in result.verdict.not_shown]
    if len(names) == 1:
        return f"{names[0]} was"
    return f"{', '.join(names[:-1])} and {names[-1]} were"


def limits(result: RunResult) -> str:
    """Return in a few words what a run was about, where that is not everything; else empty."""
    if len(result.asked) < len(Stage):
        return f"{', '.join(result.asked)} only"
    if result.verdict.outcome is Outcome.PASSED and result.partial:
        return f"without {', '.join(one.stage for one in result.verdict.not_shown)}"
    return ""


def counted(result: RunResult) -> str:
    """Return how many warnings the recipe does not accept, in words; empty for none."""
    count = len(result.open_warnings)
    return f"{count} warning{'s' if count > 1 else ''}" if count else ""


def place(warning: RunWarning) -> str:
    """Return a warning's code, and the stage that saw it."""
    return f"{warning.code} in {warning.stage}" if warning.stage else str(warning.code)


def why(stage: StageResult, warnings: Sequence[RunWarning]) -> str:
    """Return what a stage's row says: its reason's first line, or what it passed without showing.

    Args:
        stage: the stage.
        warnings: those of its run.
    """
    reason = stage.reason.partition("\n")[0]
    shown = [
        one.text
        for one in warnings
        if (one.stage, one.code) == (stage.stage, WarningCode.RESTORE_NOT_SHOWN)
    ]
    return reason or "; ".join(shown)
