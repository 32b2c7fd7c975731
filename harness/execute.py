"""Performing the plan, stage after stage: seed hook, op once, wait until settled, assertions.

A stage whose op went wrong asserts nothing; a stage that needs one which did not pass is *aborted*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.assertions import runner
from harness.assertions.protocol import Order
from harness.docker.faults import as_harness_error
from harness.errors import AbortedError, HarnessError
from harness.model import Outcome, Stage, StageResult
from harness.operations import Operations
from harness.plan.planner import NEEDS, Plan, PlannedStage

ASSERT_SECONDS = 900.0
CONTAINER_SECONDS = 60.0  # how long an assertion waits for a container that is being replaced


@dataclass(kw_only=True)
class Execution:
    """One run of a plan; `results` grows while it goes on.

    Args:
        plan: what to do.
        operations: performs the ops.
        directory: the run's directory.
        tests: the directory that the test files lie below.
        environ: the whole environment of the processes that run assertions.
        engine: the variables in it that lead to the engine.
        factor: multiplies every time-out.
        step: is told what is being done.
        finished: is told each stage's result.
    """

    plan: Plan
    operations: Operations
    directory: Path
    tests: Path
    environ: Mapping[str, str]
    engine: Mapping[str, str]
    factor: float = 1.0
    step: Callable[[str], None] = field(default=lambda _: None)
    finished: Callable[[StageResult], None] = field(default=lambda _: None)
    results: list[StageResult] = field(default_factory=list)
    _workers: runner.Workers = field(init=False)

    def run(self) -> None:
        """Perform every stage of the plan.

        Raises:
            AbortedError: the run was told to stop; `results` holds what was done until then.
        """
        stages = [stage for stage in self.plan.stages if stage.asked or stage.runs]
        logs = self.directory / "logs"
        with runner.Workers(logs, self.environ) as self._workers:
            for planned, following in zip(stages, [*stages[1:], None], strict=True):
                result = self._unperformed(planned)
                if result is None:
                    self._prepare(planned, following)
                    result = self._perform(planned)
                self.results.append(result)
                self.finished(result)

    def _prepare(self, planned: PlannedStage, following: PlannedStage | None) -> None:
        """Start the children that assert after the next op; a stage without one has no time to."""
        for one in (planned, following):
            if one and one.runs and one.files and (one is planned or one.stage is Stage.CUSTOM):
                self._workers.prepare(one.stage)

    def _unperformed(self, planned: PlannedStage) -> StageResult | None:
        """Return the result of a stage that is left out, or None for one to be performed."""
        if not planned.runs:
            return StageResult(stage=planned.stage, outcome=Outcome.SKIPPED, reason=planned.reason)
        needed = {NEEDS.get(planned.stage), Stage.UPGRADE} - {planned.stage}
        for result in self.results:
            if result.stage in needed and result.outcome not in (Outcome.PASSED, Outcome.SKIPPED):
                reason = f"{result.stage} did not pass"
                return StageResult(stage=planned.stage, outcome=Outcome.ABORTED, reason=reason)
        return None

    def _perform(self, planned: PlannedStage) -> StageResult:
        """Perform a stage, and return its result, whatever comes of it.

        Raises:
            AbortedError: the run was told to stop; the stage is among the results.
        """
        began = time.monotonic()
        try:
            return self._op_and_assertions(planned, began)
        except AbortedError as error:
            self.results.append(self._broken(planned.stage, error, began))
            raise
        except Exception as error:  # noqa: BLE001  every end of a stage has its word
            return self._broken(planned.stage, as_harness_error(error), began)

    def _op_and_assertions(self, planned: PlannedStage, began: float) -> StageResult:
        stage = planned.stage
        facts = self.operations.perform(stage)
        op_seconds = time.monotonic() - began
        if not planned.files:
            return StageResult(
                stage=stage,
                outcome=Outcome.SKIPPED,
                reason="nothing asserted: no test file applies",
                op_seconds=op_seconds,
                facts=facts,
            )
        self.step(f"{stage}: assertions")
        asserted = self._workers.run(
            stage, self._order(planned), timeout=ASSERT_SECONDS * self.factor
        )
        outcome, reason = asserted.outcome, asserted.reason
        if outcome is Outcome.PASSED and (broken := self.operations.broken_since(stage)):
            outcome, reason = Outcome.FAILED, broken
        return StageResult(
            stage=stage,
            outcome=outcome,
            reason=reason,
            op_seconds=op_seconds,
            assert_seconds=asserted.seconds,
            assertions=asserted.results,
            facts=facts,
        )

    def _broken(self, stage: Stage, error: HarnessError, began: float) -> StageResult:
        return StageResult(
            stage=stage,
            outcome=error.outcome,
            reason=str(error),
            op_seconds=time.monotonic() - began,
        )

    def _order(self, planned: PlannedStage) -> Order:
        return Order(
            facts=self.operations.facts(planned.stage),
            files=tuple((str(path), origin) for path, origin in planned.files),
            root=str(self.tests),
            results=str(self.directory / f"assertions.{planned.stage}.jsonl"),
            engine=self.engine,
            node_id=self.operations.context.node_id,
            reader=self.operations.reader,
            patience=CONTAINER_SECONDS,
            timeout_factor=self.factor,
        )
