"""The one place where a word is chosen: for a stage, and for the run.

Both functions are pure. The orchestrator asks `of_stage` to know whether later stages may run;
`decide` asks it again for every stage, so no word is stored and judged twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.errors import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_FAILED,
    EXIT_LOCKED,
    EXIT_NOTHING_ASSERTED,
    EXIT_PASSED,
    EXIT_REFUSED,
    LockTimeoutError,
    TestCodeError,
)
from harness.core.model import (
    BROKEN_TEST_CODE,
    NOTHING_ASSERTED,
    AssertionResult,
    Leak,
    NotShown,
    Outcome,
    Stage,
)
from harness.verdict.facts import EndedBy, RunFacts, StageFacts

EXIT_CODES = {
    Outcome.PASSED: EXIT_PASSED,
    Outcome.FAILED: EXIT_FAILED,
    Outcome.ERROR: EXIT_ERROR,
    Outcome.SKIPPED: EXIT_NOTHING_ASSERTED,
    Outcome.REFUSED: EXIT_REFUSED,
    Outcome.ABORTED: EXIT_ABORTED,
}
BAD = (Outcome.FAILED, Outcome.ERROR, Outcome.REFUSED)
TEARDOWN = "teardown"  # the stage of a verdict that the teardown decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The word for one stage, why, and the kind of error that decided it (empty if none did)."""

    outcome: Outcome
    reason: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The word for a run, where and why it was decided, and the exit code that says so."""

    outcome: Outcome
    exit_code: int
    stage: str = ""  # the stage, "teardown", or empty if no stage decided
    cause: str = ""
    kind: str = (
        ""  # of the error that decided it, as harness.core.errors calls it; empty if none did
    )
    not_shown: tuple[NotShown, ...] = ()  # stages of the full plan that prove nothing

    @property
    def may_merge(self) -> bool:
        """Whether it passed, and every stage of the full plan was asserted."""
        return self.outcome is Outcome.PASSED and not self.not_shown


def of_stage(facts: StageFacts) -> Word:
    """Return the word for a stage."""
    if facts.left_out:
        return Word(outcome=Outcome.SKIPPED, reason=facts.left_out)
    if facts.blocked_by is not None:
        return Word(outcome=Outcome.ABORTED, reason=f"{facts.blocked_by} did not pass")
    word = _performed(facts)
    if word.outcome is Outcome.FAILED and facts.fault is not None:
        return _error(facts.fault, after=word.reason)
    return word


def decide(facts: RunFacts) -> Verdict:
    """Return the verdict of a run.

    The first stage that failed decides: later failures are usually consequences. A run that was
    told to stop is *aborted* unless a stage had failed before. A teardown that left something
    behind turns a pass into an *error*: the app is fine, the machine is not clean. A run that
    asserted nothing in the stages that were asked for has not passed, nor has one with a skip that
    the recipe's meta does not expect. What turns a pass into a failure afterwards: growth that the
    meta forbids, a secret that was published, and with `strict` a warning. A pass that could not be
    written down is an *error*.
    """
    words = tuple((one.stage, of_stage(one)) for one in facts.stages)
    verdict = _of_stages(facts, words) or _of_what_was_skipped(facts, words)
    for judge in (_of_growth, _of_leaks, _of_warnings, _of_writing):
        verdict = judge(verdict, facts)
    return replace(verdict, not_shown=tuple(_not_shown(facts)))


def _performed(facts: StageFacts) -> Word:
    if facts.error is not None:
        return _error(facts.error)
    if facts.changed:
        return Word(
            outcome=Outcome.ERROR,
            reason=f"the deployment was changed while the assertions of {facts.stage} ran: "
            f"{facts.changed}\n"
            "  likely cause: a test file deploys, updates or scales; assertions only look",
        )
    word = _asserted(facts)
    if facts.broken:
        why = word.reason if word.outcome in BAD else ""
        return Word(outcome=Outcome.FAILED, reason=f"{facts.broken}\n{why}".strip())
    return word


def _error(error: EndedBy, *, after: str = "") -> Word:
    reason = f"{error.text}\n{after}" if after else error.text
    return Word(outcome=error.outcome, reason=reason, kind=error.kind)


def _asserted(facts: StageFacts) -> Word:
    """Return what the assertions say: the first bad one in time decides."""
    if not facts.has_files:
        reason = f"{NOTHING_ASSERTED}: no test file applies"
        return Word(outcome=Outcome.SKIPPED, reason=reason)
    bad = [one for one in facts.assertions if one.outcome in BAD]
    if bad:
        first = bad[0].message.partition("\n")[0] or "no message"
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        heading = f"{BROKEN_TEST_CODE}: " if bad[0].kind == TestCodeError.__name__ else ""
        told = f"{heading}{bad[0].nodeid}: {first.removeprefix(heading)}{more}"
        return Word(outcome=bad[0].outcome, reason=told, kind=bad[0].kind)
    if facts.unfinished:
        return Word(outcome=Outcome.ERROR, reason=facts.unfinished)
    if _any_passed(facts.assertions):
        return Word(outcome=Outcome.PASSED)
    return Word(outcome=Outcome.SKIPPED, reason=NOTHING_ASSERTED)


def _any_passed(assertions: Sequence[AssertionResult]) -> bool:
    return any(one.outcome is Outcome.PASSED for one in assertions)


Words = Sequence[tuple[Stage, Word]]


def _of_stages(facts: RunFacts, words: Words) -> Verdict | None:
    """Return the verdict if something went wrong, else None."""
    for stage, word in words:
        if word.outcome in BAD:
            verdict = _verdict(word.outcome, stage, word.reason, kind=word.kind)
            waited = word.kind == LockTimeoutError.__name__  # for a backup bot that runs share
            return replace(verdict, exit_code=EXIT_LOCKED) if waited else verdict
    if facts.stopped is not None:
        stopped = facts.stopped
        return Verdict(
            outcome=stopped.outcome, exit_code=stopped.exit_code, cause=stopped.text,
            kind=stopped.kind,
        )  # fmt: skip
    for stage, word in words:
        if word.outcome is Outcome.ABORTED:
            return _verdict(word.outcome, stage, word.reason)
    if facts.teardown is not None and facts.teardown.outcome in BAD:
        return _verdict(facts.teardown.outcome, TEARDOWN, facts.teardown.reason)
    return None


def _of_what_was_skipped(facts: RunFacts, words: Words) -> Verdict:
    """Return the verdict if nothing went wrong: a pass, unless too much was left out."""
    wanted = [(stage, word) for stage, word in words if stage in facts.asked]
    if not any(word.outcome is Outcome.PASSED for _, word in wanted):
        reasons = "; ".join(f"{stage}: {word.reason}" for stage, word in wanted)
        return _verdict(Outcome.SKIPPED, "", f"nothing was asserted ({reasons})")
    left_out = {one.stage for one in facts.stages if one.left_out}
    for stage, word in wanted:
        # Where its op was performed, leaving assertions out says nothing about the app.
        if stage not in left_out or stage is Stage.CUSTOM:
            continue
        if facts.expected_skips is not None and stage not in facts.expected_skips:
            cause = (
                f"{stage} was skipped ({word.reason})\n"
                "  likely cause: the recipe changed: EXPECTED_SKIPS in its recipe_meta.py does not "
                "have this stage"
            )
            return _verdict(Outcome.SKIPPED, stage, cause)
    return _verdict(Outcome.PASSED, "", "")


def _of_growth(verdict: Verdict, facts: RunFacts) -> Verdict:
    if verdict.outcome is not Outcome.PASSED or facts.growth is None or not facts.growth.jumps:
        return verdict
    cause = (
        "it takes more than MAX_GROWTH in its recipe_meta.py allows: "
        f"{'; '.join(facts.growth.jumps)}\n  compared with: {facts.growth.compared_with}"
    )
    return _verdict(Outcome.FAILED, "", cause)


def _of_leaks(verdict: Verdict, facts: RunFacts) -> Verdict:
    """Return *failed* for a secret that was published; a run that was red keeps its word."""
    guilty = [leak for leak in facts.leaks if not leak.known]
    if not guilty:
        return verdict
    names = ", ".join(sorted({leak.secret for leak in guilty}))
    cause = (
        f"a secret was published: {', '.join(_place(leak) for leak in guilty)}\n"
        "  likely cause: the app, a hook or a test prints it; it is masked in what was kept\n"
        f"  next: print no secret; if {names} is meant to be shown, add it to KNOWN_LEAKS in "
        "recipe_meta.py"
    )
    if verdict.outcome in (Outcome.PASSED, Outcome.SKIPPED):
        return _verdict(Outcome.FAILED, "", cause)
    return replace(verdict, cause=f"{verdict.cause}\nbesides, {cause}")


def _place(leak: Leak) -> str:
    times = f", {leak.count} times" if leak.count > 1 else ""
    return f"{leak.secret} in {leak.place.strip()} ({leak.encoding}{times})"


def _of_warnings(verdict: Verdict, facts: RunFacts) -> Verdict:
    """Return *failed* for a pass with a warning that the meta does not accept, if asked to."""
    open_ = [warning for warning in facts.warnings if not warning.accepted]
    if verdict.outcome is not Outcome.PASSED or not facts.strict or not open_:
        return verdict
    count = "a warning" if len(open_) == 1 else f"{len(open_)} warnings"
    listed = "\n".join(f"  {warning.code}: {warning.text}" for warning in open_)
    cause = (
        f"--strict fails a run with {count} that the recipe does not accept:\n{listed}\n"
        "  next: change the recipe, or accept the code with a reason: ACCEPT_WARNINGS in "
        "recipe_meta.py"
    )
    return _verdict(Outcome.FAILED, open_[0].stage or "", cause)


def _of_writing(verdict: Verdict, facts: RunFacts) -> Verdict:
    """Return an *error* for a pass that could not be written down; a red run keeps its word."""
    if facts.unwritten is None:
        return verdict
    why = f"the results could not be written: {facts.unwritten.text}"
    if verdict.outcome in (Outcome.PASSED, Outcome.SKIPPED):
        return _verdict(Outcome.ERROR, "", why, kind=facts.unwritten.kind)
    return replace(verdict, cause=f"{verdict.cause}\nbesides, {why}")


def _not_shown(facts: RunFacts) -> list[NotShown]:
    """Return the stages of the full plan of which the run proves nothing, each with the reason.

    A skip that the recipe's meta expects is not part of its full plan.
    """
    known = {one.stage: one for one in facts.stages}
    found = []
    for stage in Stage:
        one = known.get(stage)
        expected = facts.expected_skips is not None and stage in facts.expected_skips
        if one is None:
            why = "not reached" if stage in facts.asked else "not asked for"
        elif one.left_out and (expected or not one.applies):
            continue
        elif stage in facts.opted_out and not one.left_out and one.blocked_by is None:
            why = "its generic assertions were left out"
        else:
            word = of_stage(one)
            why = "" if word.outcome is Outcome.PASSED else word.reason.partition("\n")[0]
        if why:
            found.append(NotShown(stage=stage, why=why))
    return found


def _verdict(outcome: Outcome, stage: str, cause: str, *, kind: str = "") -> Verdict:
    return Verdict(
        outcome=outcome, exit_code=EXIT_CODES[outcome], stage=str(stage), cause=cause, kind=kind
    )
