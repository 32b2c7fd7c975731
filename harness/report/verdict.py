"""What the stages and the teardown of a run amount to: one word, one cause, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_FAILED,
    EXIT_NOTHING_ASSERTED,
    EXIT_PASSED,
    HarnessError,
)
from harness.model import Outcome, Stage, StageResult, TeardownResult

EXIT_CODES = {
    Outcome.PASSED: EXIT_PASSED,
    Outcome.FAILED: EXIT_FAILED,
    Outcome.ERROR: EXIT_ERROR,
    Outcome.SKIPPED: EXIT_NOTHING_ASSERTED,
    Outcome.ABORTED: EXIT_ABORTED,
}
BAD = (Outcome.FAILED, Outcome.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The word of a run, where and why it was decided, and the exit code that says so."""

    outcome: Outcome
    exit_code: int
    stage: str = ""  # the stage, "teardown", or empty when no stage had begun
    cause: str = ""


def conclude(
    stages: Sequence[StageResult],
    *,
    asked: frozenset[Stage],
    teardown: TeardownResult | None = None,
    stopped: HarnessError | None = None,
) -> Verdict:
    """Return the verdict of a run.

    The first stage that did not pass decides, since what comes after it is only an echo. A run that
    was told to stop is *aborted* unless a stage was bad before. A teardown that left something
    behind turns a pass into an *error*: the app is fine, the machine is not clean. Only skips among
    the stages that were asked for is not a pass.

    Args:
        stages: the results, in order.
        asked: the stages that were asked for; those they need are judged, but prove nothing.
        teardown: how the removal went, or None when there was nothing to remove.
        stopped: what ended the run outside any stage, or None.
    """
    for result in stages:
        if result.outcome in BAD:
            return _verdict(result.outcome, result.stage, result.reason)
    if stopped is not None:
        return Verdict(outcome=stopped.outcome, exit_code=stopped.exit_code, cause=str(stopped))
    for result in stages:
        if result.outcome is Outcome.ABORTED:
            return _verdict(result.outcome, result.stage, result.reason)
    if teardown is not None and teardown.outcome in BAD:
        return _verdict(teardown.outcome, "teardown", teardown.reason)
    if not any(result.outcome is Outcome.PASSED for result in stages if result.stage in asked):
        reasons = "; ".join(f"{r.stage}: {r.reason}" for r in stages if r.stage in asked)
        return _verdict(Outcome.SKIPPED, "", f"nothing was asserted ({reasons})")
    return _verdict(Outcome.PASSED, "", "")


def _verdict(outcome: Outcome, stage: str, cause: str) -> Verdict:
    return Verdict(outcome=outcome, exit_code=EXIT_CODES[outcome], stage=str(stage), cause=cause)
