"""What the stages and the teardown of a run amount to: one word, one cause, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_FAILED,
    EXIT_LOCKED,
    EXIT_NOTHING_ASSERTED,
    EXIT_PASSED,
    HarnessError,
    LockTimeoutError,
)
from harness.model import NOTHING_ASSERTED, Outcome, Stage, StageResult, TeardownResult

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
    kind: str = ""  # of the error that decided it, as harness.errors calls it; empty when none did


def conclude(
    stages: Sequence[StageResult],
    *,
    asked: frozenset[Stage],
    expected_skips: frozenset[Stage] | None = None,
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
        expected_skips: the stages that the recipe's meta expects to be skipped; None means that it
            does not say. The custom stage may always be: a recipe need not have tests of its own.
        teardown: how the removal went, or None when there was nothing to remove.
        stopped: what ended the run outside any stage, or None.
    """
    for result in stages:
        if result.outcome in BAD:
            verdict = _verdict(result.outcome, result.stage, result.reason)
            waited = result.kind == LockTimeoutError.__name__  # the bot's, which runs share
            return replace(
                verdict, kind=result.kind, exit_code=EXIT_LOCKED if waited else verdict.exit_code
            )
    if stopped is not None:
        return Verdict(
            outcome=stopped.outcome, exit_code=stopped.exit_code, cause=str(stopped),
            kind=type(stopped).__name__,
        )  # fmt: skip
    for result in stages:
        if result.outcome is Outcome.ABORTED:
            return _verdict(result.outcome, result.stage, result.reason)
    if teardown is not None and teardown.outcome in BAD:
        return _verdict(teardown.outcome, "teardown", teardown.reason)
    return _of_what_was_skipped(stages, asked, expected_skips)


def _of_what_was_skipped(
    stages: Sequence[StageResult], asked: frozenset[Stage], expected: frozenset[Stage] | None
) -> Verdict:
    """Return the verdict when nothing was bad: a pass, unless too much was left out."""
    wanted = [result for result in stages if result.stage in asked]
    if not any(result.outcome is Outcome.PASSED for result in wanted):
        reasons = "; ".join(f"{result.stage}: {result.reason}" for result in wanted)
        return _verdict(Outcome.SKIPPED, "", f"nothing was asserted ({reasons})")
    for result in wanted:
        skipped = result.outcome is Outcome.SKIPPED and result.stage is not Stage.CUSTOM
        if result.reason.startswith(NOTHING_ASSERTED):
            continue  # its op was performed: whoever leaves assertions out says nothing of the app
        if skipped and expected is not None and result.stage not in expected:
            cause = (
                f"{result.stage} was skipped ({result.reason})\n"
                "  likely cause: the recipe changed: EXPECTED_SKIPS in its recipe_meta.py does not "
                "have this stage"
            )
            return _verdict(Outcome.SKIPPED, result.stage, cause)
    return _verdict(Outcome.PASSED, "", "")


def _verdict(outcome: Outcome, stage: str, cause: str) -> Verdict:
    return Verdict(outcome=outcome, exit_code=EXIT_CODES[outcome], stage=str(stage), cause=cause)
