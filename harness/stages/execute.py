"""Performing the plan, stage after stage: seed hook, op once, wait until settled, assertions.

A stage whose op went wrong asserts nothing; a stage that needs one which did not pass is *aborted*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.assertions import runner
from harness.assertions.protocol import Order, Reading
from harness.core.errors import (
    AbortedError,
    ContainerUnavailableError,
    ConvergenceError,
    HarnessError,
    TestCodeError,
)
from harness.core.events import Doing, Step
from harness.core.model import (
    BROKEN_TEST_CODE,
    AssertionResult,
    Origin,
    Outcome,
    Stage,
    StageResult,
)
from harness.core.waiting import stretched
from harness.stages.context import Context
from harness.stages.operations import Operations
from harness.stages.planner import NEEDS, PlannedStage
from harness.swarm.faults import as_harness_error, spoiled
from harness.verdict.decide import of_stage
from harness.verdict.facts import EndedBy, StageFacts

ASSERT_SECONDS = 900.0
READ_SECONDS = 120.0  # for the imports of all test files, which deploy and ask nothing


@dataclass(kw_only=True, slots=True)
class _Timing:
    """When a stage began, and how long its parts took."""

    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    op_seconds: float = 0.0
    assert_seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def op_ended(self) -> None:
        """Note how long the op took; only the first call counts."""
        self.op_seconds = self.op_seconds or time.monotonic() - self._began


@dataclass(kw_only=True)
class Execution:
    """One run of a plan; `results`, and the `facts` that decided them, grow while it goes on.

    Args:
        operations: performs the ops of a plan.
        directory: the run's directory.
        tests: the directory that the test files lie below.
        environ: the whole environment of the processes that run assertions.
        engine: the variables in it that lead to the engine.
        finished: is told each stage's result.
        observe: looks at what is up after each stage that was performed; it changes nothing.
    """

    operations: Operations
    directory: Path
    tests: Path
    environ: Mapping[str, str]
    engine: Mapping[str, str]
    finished: Callable[[StageResult], None] = field(default=lambda _: None)
    observe: Callable[[StageResult], None] = field(default=lambda _: None)
    results: list[StageResult] = field(default_factory=list)
    facts: list[StageFacts] = field(default_factory=list)
    _workers: runner.Workers = field(init=False)

    def run(self) -> None:
        """Perform every stage of the plan.

        Raises:
            AbortedError: the run was told to stop; `results` holds what was done until then.
        """
        stages = [stage for stage in self._context.plan.stages if stage.asked or stage.runs]
        with runner.Workers(self.directory / "logs", self.environ) as self._workers:
            unread = self._unread(stages)
            for planned in stages:
                unperformed, unread = unread or self._unperformed(planned), None
                if unperformed is None:
                    result = self._perform(planned)
                else:
                    result = self._result(planned, unperformed)
                self.results.append(result)
                self.finished(result)
                if result.started:
                    self.observe(result)

    def _unread(self, stages: Sequence[PlannedStage]) -> StageFacts | None:
        """Read all test files before anything is deployed; return what is wrong with them, if any.

        The first stage fails with it. The project's own files are known to be readable.
        """
        files = {path: origin for one in stages if one.runs for path, origin in one.files}
        if all(origin is Origin.GENERIC for origin in files.values()):
            return None
        self._context.step(Doing(step=Step.READING))
        reading = Reading(
            files=tuple((str(path), origin) for path, origin in files.items()),
            root=str(self.tests),
            results=str(self.directory / "assertions.reading.jsonl"),
            log=str(self.directory / "logs" / "assertions.reading.log"),
        )
        read = self._workers.read(reading, timeout=stretched(READ_SECONDS))
        facts = StageFacts(stage=stages[0].stage, assertions=read.results)
        if any(result.outcome is Outcome.ERROR for result in read.results):
            return facts
        if read.unfinished:
            error = TestCodeError(f"{BROKEN_TEST_CODE}: {read.unfinished}")
            return replace(facts, error=EndedBy.of(error))
        return None

    def _unperformed(self, planned: PlannedStage) -> StageFacts | None:
        """Return the facts of a stage that is not performed, or None for one to be performed."""
        stage = planned.stage
        if not planned.runs:
            applies = stage is not Stage.CUSTOM or bool(planned.files or planned.denied)
            return StageFacts(stage=stage, left_out=planned.reason, applies=applies)
        if stage is Stage.UPGRADE and (why := self.operations.known.base_unusable):
            return StageFacts(stage=stage, left_out=why)
        needed = {NEEDS.get(stage), Stage.UPGRADE} - {stage}
        for result in self.results:
            if result.stage in needed and result.outcome not in (Outcome.PASSED, Outcome.SKIPPED):
                return StageFacts(stage=stage, blocked_by=result.stage)
        return None

    def _perform(self, planned: PlannedStage) -> StageResult:
        """Perform a stage, and return its result, however it ends.

        Raises:
            AbortedError: the run was told to stop; the stage is among the results.
        """
        timing = _Timing()
        context = self._context
        waited = context.waited
        try:
            facts = self._to_its_end(planned, timing)
        except AbortedError as error:
            facts = StageFacts(stage=planned.stage, error=EndedBy.of(error))
            self.results.append(self._result(planned, facts, timing, context.waited - waited))
            raise
        return self._result(planned, facts, timing, context.waited - waited)

    def _to_its_end(self, planned: PlannedStage, timing: _Timing) -> StageFacts:
        """Return the facts of a stage that is performed; where it would fail, with the machine's.

        Raises:
            AbortedError: the run was told to stop.
        """
        try:
            facts = self._op_and_assertions(planned, timing)
        except AbortedError:
            raise
        except Exception as error:  # noqa: BLE001  every end of a stage has its word
            ended = EndedBy.of(self._blamed(as_harness_error(error)))
            facts = StageFacts(stage=planned.stage, error=ended)
        if of_stage(facts).outcome is Outcome.FAILED and (fault := spoiled(self._context.nodes)):
            return replace(facts, fault=EndedBy.of(fault))
        return facts

    def _blamed(self, error: HarnessError) -> HarnessError:
        """Return the error, or that the app broke, where that is why it has no container."""
        if not isinstance(error, ContainerUnavailableError):
            return error
        try:
            broken = self.operations.given.broken_since()
        except AbortedError:
            raise
        except Exception:  # noqa: BLE001  nothing more can be known
            return error
        return ConvergenceError(broken, detail=str(error)) if broken else error

    def _op_and_assertions(self, planned: PlannedStage, timing: _Timing) -> StageFacts:
        stage = planned.stage
        self.operations.perform(stage)
        timing.op_ended()
        facts = StageFacts(stage=stage, has_files=bool(planned.files))
        if planned.files:
            self._context.step(Doing(step=Step.ASSERTIONS, stage=stage))
            asserted = self._workers.run(
                self._order(planned), timeout=ASSERT_SECONDS * self._context.factor
            )
            timing.assert_seconds = asserted.seconds
            facts = replace(facts, assertions=asserted.results, unfinished=asserted.unfinished)
        try:
            return self._compared(facts)
        except AbortedError:
            raise
        except Exception as error:  # noqa: BLE001  what was asserted is kept all the same
            return replace(facts, error=EndedBy.of(as_harness_error(error)))

    def _compared(self, facts: StageFacts) -> StageFacts:
        """Return the facts with what became of the app meanwhile.

        These comparisons are the harness's own: leaving assertions out does not leave them out.
        """
        if changed := self.operations.given.changed_since():
            return replace(facts, changed=changed)
        return replace(facts, broken=self.operations.given.broken_since())

    def _result(
        self,
        planned: PlannedStage,
        facts: StageFacts,
        timing: _Timing | None = None,
        waited: float = 0.0,
    ) -> StageResult:
        """Return a stage's result, and keep the facts that its word was decided by."""
        self.facts.append(facts)
        word = of_stage(facts)
        denied = _denied(planned, self._context.plan.repo_local) if facts.blocked_by is None else ()
        result = StageResult(
            stage=facts.stage, outcome=word.outcome, reason=word.reason, kind=word.kind,
            assertions=(*facts.assertions, *denied),
        )  # fmt: skip
        if timing is None:
            return result
        timing.op_ended()
        return replace(
            result, started=timing.started, op_seconds=timing.op_seconds,
            assert_seconds=timing.assert_seconds, wait_seconds=waited,
            facts=self.operations.known.seen.get(facts.stage, {}),
        )  # fmt: skip

    @property
    def _context(self) -> Context:
        return self.operations.context

    def _order(self, planned: PlannedStage) -> Order:
        return Order(
            facts=self.operations.known.facts(planned.stage),
            files=tuple((str(path), origin) for path, origin in planned.files),
            root=str(self.tests),
            results=str(self.directory / f"assertions.{planned.stage}.jsonl"),
            log=str(self.directory / "logs" / f"assertions.{planned.stage}.log"),
            engine=self.engine,
            node_id=self._context.nodes.own,
            others=self._context.nodes.others,
            killed=self._context.nodes.events.killed,
            reader=self.operations.known.reader,
            readers=self._context.tools.readers,
            patience=self.operations.known.patience,
            timeout_factor=self._context.factor,
        )


def _denied(planned: PlannedStage, why: str) -> tuple[AssertionResult, ...]:
    """Return the test files that the recipe ships and nobody approved, as skipped assertions."""
    return tuple(
        AssertionResult(
            nodeid=f"repo-local/{name}",
            origin=Origin.REPO_LOCAL,
            outcome=Outcome.SKIPPED,
            seconds=0.0,
            message=why,
        )
        for name in planned.denied
    )
