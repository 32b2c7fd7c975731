"""What was handed over to a stage's assertions, and what became of it while they looked.

Assertions only look. A deployment that changed under them was changed by somebody else, so nothing
that they saw can be believed. A task that broke under them broke by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.assertions.app import App
from harness.core.errors import ConvergenceError, InternalError
from harness.core.events import Doing, Step
from harness.core.model import Stage
from harness.stages.context import Context
from harness.stages.pages import Pages
from harness.swarm.deaths import broken_since
from harness.swarm.readiness import Before, ended_well, how_it_quit, unsettled
from harness.swarm.states import ServiceState, StackSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """The app at the moment when a stage's op had settled.

    Args:
        stage: that stage.
        look: the stack at that moment.
        ops: how many ops of each kind the ledger held then.
        ran: for how many seconds services of the base had run on, once it was upgraded.
    """

    stage: Stage
    look: StackSnapshot
    ops: Mapping[str, int]
    ran: Mapping[str, float] = field(default_factory=dict)

    @property
    def containers(self) -> tuple[str, ...]:
        """The ids of the containers that ran then."""
        return tuple(sorted(i for i, state in self.look.containers.items() if state.running))

    def broken(self, now: StackSnapshot) -> str:
        """Return which tasks broke by themselves since then, in a sentence; empty if none.

        A service that crashes every few seconds looks fine in between. One that ended with code 0
        and is not started again has broken too, where it should run on.
        """
        names = {service.id: service.name for service in now.services}
        found = [
            f"{names.get(task.service_id, '?')} broke after the {self.stage} had settled: "
            f"{now.why(task)}"
            for task in broken_since(self.look, now)
        ]
        return "; ".join([*found, *self._quit(now), *self._quit_again(now)])

    def _quit(self, now: StackSnapshot) -> Iterator[str]:
        ran = {task.id for task in self.look.tasks if task.state == "running"}
        before = Before(ran=self.ran)
        for service in now.services:
            tasks = now.tasks_of(service)
            live = {task.slot for task in tasks if task.live}
            for task in tasks:
                if task.id not in ran or task.slot in live or task.state != "complete":
                    continue
                if now.unhealthy(task) or task.id in now.killed or service.job:
                    continue  # told above, or no business of the recipe's
                lasting = service.name in self.ran or now.checked(task)
                if lasting and not ended_well(now, service, task, before):
                    said = how_it_quit(now, service, task, self.ran.get(service.name))
                    yield f"{service.name}: after the {self.stage} had settled, {said}"

    def _quit_again(self, now: StackSnapshot) -> Iterator[str]:
        """Yield the services that end with code 0 and are started again, over and over.

        An app may restart itself once. One that ran on in the base, and now ends twice or more
        before it has run for as long, is in a loop, although Swarm calls no end of it a failure.
        """
        known = {task.id for task in self.look.tasks if task.state == "complete"}
        for service in now.services:
            ran = self.ran.get(service.name)
            if ran is None or service.job or service.restart != "any":
                continue
            ends = [
                task
                for task in now.tasks_of(service)
                if task.state == "complete" and task.spec == service.template
                if task.id not in now.killed and not now.unhealthy(task) and now.ran(task) < ran
            ]
            slots = [task.slot for task in ends]
            if any(task.id not in known and slots.count(task.slot) > 1 for task in ends):
                yield (
                    f"{service.name}: after the {self.stage} had settled, its task ended with code "
                    f"0 after {now.ran(ends[0]):.0f} s, as one had before, and was started again; "
                    f"the base's ran on ({ran:.0f} s until the upgrade)"
                )

    def changed(self, now: StackSnapshot, ops: Mapping[str, int]) -> str:
        """Return what of the deployment was changed since then, in a sentence; empty if nothing.

        Swarm replaces tasks by itself, but a service's definition only ever changes when somebody
        deploys, updates, scales or removes.
        """
        found = [
            f"the ledger records {ops[op] - self.ops.get(op, 0)} more {op}"
            for op in ops
            if ops[op] != self.ops.get(op, 0)
        ]
        before = {service.name: _definition(service) for service in self.look.services}
        after = {service.name: _definition(service) for service in now.services}
        found += [f"service {name} was removed" for name in sorted(before.keys() - after.keys())]
        found += [f"service {name} was added" for name in sorted(after.keys() - before.keys())]
        for name in sorted(before.keys() & after.keys()):
            what = _differing(before[name], after[name])
            if what:
                found.append(f"service {name} was changed ({', '.join(what)})")
        return "; ".join(found)


NOTHING = HandOver(
    stage=Stage.INSTALL,
    look=StackSnapshot(stack="", node_id="", services=(), tasks=(), containers={}),
    ops={},
)


@dataclass(kw_only=True)
class HandOvers:
    """Hands the app over to the assertions of each stage.

    Args:
        context: what the ops of the run share.
        last: what the app is compared with: the last hand-over, or a later look that was judged.
        pages: the app's pages, as they answered.
    """

    context: Context
    last: HandOver = NOTHING
    pages: Pages = field(init=False)

    def __post_init__(self) -> None:
        """Begin without a page."""
        self.pages = Pages(context=self.context)

    def broken_since(self) -> str:
        """Return what broke by itself since then, once; empty if nothing did."""
        if self.last is NOTHING:
            return ""
        now = self.context.look()
        broken = self.last.broken(now)
        if broken:
            self.last = replace(self.last, look=now)
        return broken

    def changed_since(self) -> str:
        """Return what somebody changed of the deployment since then; empty if nothing."""
        return self.last.changed(self.context.look(), self.context.ledger.counts())

    def require_settled(self, app: App, stage: Stage) -> None:
        """Wait until whatever happened since the last stage has settled, before anything is done.

        Raises:
            ConvergenceError: a task broke by itself meanwhile, or the app does not settle.
        """
        given = self.last
        self.context.step(Doing(step=Step.SETTLED, stage=stage))
        look = self.context.settle(Before.of(given.look))
        self._refuse_broken(given, look)
        if look.containers.keys() != given.look.containers.keys():
            with self.context.tools.asking():
                self.pages.wait(app, stage)

    def make(self, app: App, stage: Stage) -> None:
        """Wait until the app answers, and remember what the assertions are given.

        Raises:
            ConvergenceError: something broke by itself when it was asked.
            InternalError: it is not settled after all; an assertion could meet anything.
        """
        settled = self.context.look()
        self.context.tools.join()
        self.pages.wait(app, stage)
        look = self.context.look()
        ran = self.context.ran
        given = HandOver(stage=stage, look=settled, ops=self.context.ledger.counts(), ran=dict(ran))
        self._refuse_broken(given, look)
        if unsettled(look, Before(ran=ran)):  # a container was replaced meanwhile
            self.context.tools.leave()
            look = self.context.settle(Before.of(look))
            self._refuse_broken(given, look)
            self.context.tools.join()
        if reasons := unsettled(look, Before(ran=ran)):
            raise InternalError(
                f"{stage} ended before the stack was stable: {'; '.join(reasons)}",
                cause="a wait of the harness ends too early",
            )
        self.last = replace(given, look=look)

    def _refuse_broken(self, given: HandOver, look: StackSnapshot) -> None:
        """Raise what broke by itself since then, once: it is known from now on."""
        if broken := given.broken(look):
            self.last = replace(given, look=look)
            raise ConvergenceError(broken)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _definition(service: ServiceState) -> dict[str, Any]:
    return {
        "id": service.id,
        "TaskTemplate": service.template,
        "Labels": dict(service.labels),
        **service.definition,  # its template is the whole one, with the placement
        "replicas": service.replicas,
        "last update": service.update_started,
    }
