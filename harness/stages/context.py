"""Everything that a run's ops work with."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import docker

from harness.backups.driver import Driver
from harness.backups.native import ResticDriver
from harness.backups.tools import ToolContainers
from harness.core.errors import ConvergenceError, WaitTimeoutError
from harness.core.events import Doing, Step
from harness.core.ledger import Ledger, Op
from harness.core.model import RunWarning, Stage
from harness.core.waiting import Deadline, wait_for
from harness.platforms.base import Platform, Target
from harness.recipes.meta import RecipeMeta
from harness.recipes.repo import Repo
from harness.stages.install_steps import InstallSteps
from harness.stages.planner import Plan
from harness.stages.seeding import SeedHooks
from harness.swarm.deaths import out_of_memory
from harness.swarm.jobs import JOB_SECONDS, at_work, doubtful, ended, ran_on
from harness.swarm.nodes import Nodes
from harness.swarm.readiness import Before
from harness.swarm.restart import outstayed, restart
from harness.swarm.settle import settle
from harness.swarm.snapshot import read_stack
from harness.swarm.states import StackSnapshot

SETTLE_SECONDS = 300.0  # where neither the recipe's meta nor its labels say how long it may take


@dataclass(slots=True, kw_only=True)
class Context:
    """What the ops of one run share. `allowed`, `waited`, `ran` and `jobs` change meanwhile.

    Args:
        backups: what backs the app up and restores it.
        factor: multiplies every time-out.
        step: is told what is being done.
        fence: raises what keeps the run from doing anything more, because its lock was lost.
        allowed: how long the app that is deployed may take to come up, by its label, in seconds.
        waited: the seconds of all waits so far.
        ran: for how many seconds services of the base had run on when it was upgraded.
        jobs: the services that had ended with code 0 by then.
        warn: records a warning that is shown beside the verdict.
    """

    nodes: Nodes
    plan: Plan
    target: Target
    platform: Platform
    repo: Repo
    tools: ToolContainers
    seeds: SeedHooks
    steps: InstallSteps
    ledger: Ledger
    meta: RecipeMeta
    backups: Driver = field(default_factory=ResticDriver)
    factor: float = 1.0
    step: Callable[[Doing], None] = field(default=lambda _: None)
    fence: Callable[[], None] = field(default=lambda: None)
    allowed: float = SETTLE_SECONDS
    waited: float = 0.0
    ran: Mapping[str, float] = field(default_factory=dict)
    jobs: Collection[str] = ()
    warn: Callable[[RunWarning], None] = field(default=lambda _: None)

    @property
    def client(self) -> docker.DockerClient:
        """A client of the manager's engine."""
        return self.nodes.client

    def look(self) -> StackSnapshot:
        """Take one look at the stack."""
        return read_stack(self.nodes, self.target.stack)

    def await_jobs(self) -> None:
        """Wait until what may be a job has ended, or has run for as long as hardly a job does."""
        deadline = Deadline.after(max(JOB_SECONDS.values()) * self.factor)
        with suppress(WaitTimeoutError):  # no wait for the app to get healthy: not counted as one
            wait_for(
                self.look,
                what="jobs to end",
                deadline=deadline,
                ready=lambda look: not at_work(look),
                interval=0.2,
            )

    def remember_base(self, look: StackSnapshot) -> None:
        """Note what ran on in the base, and what ended, before it is upgraded."""
        self.ran, self.jobs = ran_on(look), ended(look)

    def warn_of_ends(self) -> None:
        """Warn of what ended in the head and may not be a job, and of a lack of memory."""
        look = self.look()
        for warning in (
            *doubtful(look, ran=self.ran, jobs=self.jobs),
            *out_of_memory(look, self.nodes.events.out_of_memory()),
        ):
            self.warn(warning)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what is done meanwhile as a wait, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - began

    @property
    def app_seconds(self) -> float:
        """How long the app may take to come up, by its meta or its label; without the factor."""
        return self.meta.DEPLOY_TIMEOUT or self.allowed

    def restart(self, stage: Stage, before: StackSnapshot) -> tuple[StackSnapshot, tuple[str, ...]]:
        """Restart all services as a reboot does; return the look at the end, and their names.

        Raises:
            ConvergenceError: the app does not come up again.
        """
        self.step(Doing(step=Step.RESTART, stage=stage))
        self.fence()
        self.ledger.begin(Op.RESTART)
        names = restart(self.client, self.look, ran=self.ran)
        for warning in outstayed(before, names, self.nodes.events, stage):
            self.warn(warning)
        try:
            after = self.settle(Before.of(before))
        except ConvergenceError as error:
            error.what = f"after all services were restarted, {error.what}"
            raise
        self.ledger.end(Op.RESTART, services=names)
        return after, names

    def settle(self, before: Before, *, timeout: float = 0.0) -> StackSnapshot:
        """Wait until the stack has settled, and return the last look at it.

        Args:
            before: the stack as it was before whatever has changed it.
            timeout: seconds to wait, unless the recipe's meta says how many; 0 means as long as the
                app may take to come up, and a usual time at least.

        Raises:
            ConvergenceError: it will never settle, or has not in time.
        """
        seconds = timeout or max(SETTLE_SECONDS, self.app_seconds)
        with self.waiting():
            return settle(
                self.nodes,
                self.target.stack,
                before=replace(before, ran=self.ran),
                timeout=(self.meta.DEPLOY_TIMEOUT or seconds) * self.factor,
            )
