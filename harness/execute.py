"""Performing the plan, stage after stage: seed hook, op once, wait until settled, assertions.

A stage whose op went wrong asserts nothing; a stage that needs one which did not pass is *aborted*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.assertions import runner
from harness.assertions.protocol import Order
from harness.docker.faults import as_harness_error, believed, spoiled
from harness.docker.nodes import Nodes
from harness.errors import (
    AbortedError,
    ContainerUnavailableError,
    ConvergenceError,
    HarnessError,
)
from harness.model import NOTHING_ASSERTED, AssertionResult, Origin, Outcome, Stage, StageResult
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
        observe: looks at what is up after each stage that was performed; it changes nothing.
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
    observe: Callable[[StageResult], None] = field(default=lambda _: None)
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
                if result.started:
                    self.observe(result)

    def _prepare(self, planned: PlannedStage, following: PlannedStage | None) -> None:
        """Start the children that assert after the next op; a stage without one has no time to."""
        for one in (planned, following):
            if one and one.runs and one.files and (one is planned or one.stage is Stage.CUSTOM):
                self._workers.prepare(one.stage)

    def _unperformed(self, planned: PlannedStage) -> StageResult | None:
        """Return the result of a stage that is left out, or None for one to be performed."""
        if not planned.runs:
            return StageResult(
                stage=planned.stage,
                outcome=Outcome.SKIPPED,
                reason=planned.reason,
                assertions=_denied(planned, self.plan.repo_local),
            )
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
        began, started = time.monotonic(), datetime.now(UTC).isoformat()
        waits = self.operations.context.waits
        earlier = len(waits)
        try:
            result = self._to_its_end(planned, began)
        except AbortedError as error:
            broken = self._broken(planned.stage, error, began)
            self.results.append(replace(broken, started=started, wait_seconds=sum(waits[earlier:])))
            raise
        return replace(result, started=started, wait_seconds=sum(waits[earlier:]))

    def _to_its_end(self, planned: PlannedStage, began: float) -> StageResult:
        try:
            return self._op_and_assertions(planned, began)
        except AbortedError:
            raise
        except Exception as error:  # noqa: BLE001  every end of a stage has its word
            return self._broken(planned.stage, self._blamed(as_harness_error(error)), began)

    def _blamed(self, error: HarnessError) -> HarnessError:
        """Return the error, or that the app broke, where that is why it has no container."""
        if not isinstance(error, ContainerUnavailableError):
            return error
        try:
            broken = self.operations.broken_since()
        except AbortedError:
            raise
        except Exception:  # noqa: BLE001  nothing more can be known
            return error
        return ConvergenceError(f"{broken}\n{error}") if broken else error

    def _op_and_assertions(self, planned: PlannedStage, began: float) -> StageResult:
        stage = planned.stage
        facts = self.operations.perform(stage)
        op_seconds = time.monotonic() - began
        denied = _denied(planned, self.plan.repo_local)
        if not planned.files:
            return StageResult(
                stage=stage,
                outcome=Outcome.SKIPPED,
                reason=f"{NOTHING_ASSERTED}: no test file applies",
                op_seconds=op_seconds,
                assertions=denied,
                facts=facts,
            )
        self.step(f"{stage}: assertions")
        asserted = self._workers.run(
            stage, self._order(planned), timeout=ASSERT_SECONDS * self.factor
        )
        try:
            outcome, reason = self._judge(stage, asserted)
            if outcome is Outcome.FAILED and (fault := spoiled(self._nodes)):
                outcome, reason = fault.outcome, f"{fault}\n{reason}"
        except AbortedError:
            raise
        except Exception as error:  # noqa: BLE001  what was asserted is kept all the same
            outcome, reason = Outcome.ERROR, str(as_harness_error(error))
        return StageResult(
            stage=stage,
            outcome=outcome,
            reason=reason,
            op_seconds=op_seconds,
            assert_seconds=asserted.seconds,
            assertions=(*asserted.results, *denied),
            facts=facts,
        )

    def _judge(self, stage: Stage, asserted: runner.Asserted) -> tuple[Outcome, str]:
        """Return a stage's word and reason, from its assertions and from what became of the app.

        A deployment that was changed under the assertions makes all that they say worthless. An app
        that broke under them is what the first line of the reason has to say.
        """
        if changed := self.operations.changed_since():
            return Outcome.ERROR, (
                f"the deployment was changed while the assertions of {stage} ran: {changed}\n"
                "  likely cause: a test file deploys, updates or scales; assertions only look"
            )
        if broken := self.operations.broken_since():
            return Outcome.FAILED, f"{broken}\n{asserted.reason}".strip()
        return asserted.outcome, asserted.reason

    @property
    def _nodes(self) -> Nodes:
        return self.operations.context.nodes

    def _broken(self, stage: Stage, error: HarnessError, began: float) -> StageResult:
        error = believed(error, self._nodes)
        return StageResult(
            stage=stage,
            outcome=error.outcome,
            reason=str(error),
            kind=type(error).__name__,
            op_seconds=time.monotonic() - began,
            facts=self.operations.so_far,
        )

    def _order(self, planned: PlannedStage) -> Order:
        return Order(
            facts=self.operations.facts(planned.stage),
            files=tuple((str(path), origin) for path, origin in planned.files),
            root=str(self.tests),
            results=str(self.directory / f"assertions.{planned.stage}.jsonl"),
            engine=self.engine,
            node_id=self._nodes.own,
            others=self._nodes.others,
            reader=self.operations.reader,
            readers=self.operations.context.tools.readers,
            patience=CONTAINER_SECONDS,
            timeout_factor=self.factor,
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
