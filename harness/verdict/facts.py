"""What a verdict is made of. Others gather these facts; `harness.verdict.decide` judges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from harness.core.errors import HarnessError
from harness.core.model import AssertionResult, Leak, Outcome, RunWarning, Stage, TeardownResult


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedBy:
    """An error that ended an op, a run, or the writing of its results.

    Attributes:
        kind: what harness.core.errors calls it.
        outcome: the word that the error stands for.
        exit_code: the exit code that goes with it.
        text: the whole message.
    """

    kind: str
    outcome: Outcome
    exit_code: int
    text: str

    @classmethod
    def of(cls, error: HarnessError) -> Self:
        """Return an error as a fact."""
        return cls(
            kind=type(error).__name__, outcome=error.outcome, exit_code=error.exit_code,
            text=str(error),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts:
    """One stage of the plan: what was done, asserted and compared.

    Attributes:
        stage: which one.
        left_out: why the plan does not perform it; empty if it does.
        applies: whether the stage could show anything: without tests of its own, a recipe has no
            custom stage, and the verdict lacks nothing.
        blocked_by: the stage that it needs and that did not pass.
        error: what ended its op, the reading of its test files, or the comparison after its
            assertions.
        fault: what is wrong with the machine; looked for only where the stage would have failed.
        has_files: whether any test file applies.
        assertions: what each assertion said.
        unfinished: why the process that runs the assertions did not finish; empty if it did.
        changed: what of the deployment was changed while the assertions ran.
        broken: what of the app broke by itself since the op had settled.
    """

    stage: Stage
    left_out: str = ""
    applies: bool = True
    blocked_by: Stage | None = None
    error: EndedBy | None = None
    fault: EndedBy | None = None
    has_files: bool = True
    assertions: tuple[AssertionResult, ...] = ()
    unfinished: str = ""
    changed: str = ""
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What the app takes more of than its recipe's meta allows."""

    jumps: tuple[str, ...]
    compared_with: str  # the run that it is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Everything that the verdict of a run depends on.

    Attributes:
        stages: the stages that the run got to, in order.
        asked: the stages that were asked for; those that they need are judged, too.
        expected_skips: the stages that the recipe's meta expects to be skipped; None if it does
            not say.
        opted_out: the stages whose generic assertions were left out on request.
        stopped: what ended the run outside any stage.
        teardown: how the removal went; None if there was nothing to remove.
        growth: what the app takes too much of.
        leaks: the secrets that were published; one that the meta knows of fails nothing.
        unwritten: what kept the results from being written.
        warnings: what the run could not show, or saw and an operator would regret.
        strict: whether a warning that the meta does not accept fails the run.
    """

    stages: tuple[StageFacts, ...] = ()
    asked: frozenset[Stage] = frozenset(Stage)
    expected_skips: frozenset[Stage] | None = None
    opted_out: frozenset[Stage] = frozenset()
    stopped: EndedBy | None = None
    teardown: TeardownResult | None = None
    growth: Growth | None = None
    leaks: tuple[Leak, ...] = ()
    unwritten: EndedBy | None = None
    warnings: tuple[RunWarning, ...] = ()
    strict: bool = False
