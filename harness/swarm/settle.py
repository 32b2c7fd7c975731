"""Waiting until a stack has settled: the wait that belongs to every op.

A stack that does not settle is the recipe's fault only when nothing that was seen on the way
accuses the machine: not the engine's words about any of its tasks, not how a container came to its
end, not how far its tasks got, and not the machine's state at the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.core.errors import (
    ConvergenceError,
    EngineError,
    HarnessError,
    TestBedError,
    WaitTimeoutError,
)
from harness.core.measured import size
from harness.core.waiting import Deadline, wait_for
from harness.swarm.adapted import last_words, unresolved
from harness.swarm.crashes import Crashes
from harness.swarm.deaths import met_our_limit
from harness.swarm.faults import NO_ADDRESSES, NO_ROOM, fault_in, spoiled
from harness.swarm.nodes import Nodes
from harness.swarm.own_limits import of_recipe
from harness.swarm.placement import unplaceable
from harness.swarm.readiness import Before, lost, unsettled
from harness.swarm.snapshot import read_stack
from harness.swarm.states import NAMESPACE_LABEL, ServiceState, StackSnapshot, TaskState
from harness.swarm.templates import config_text

LOOKS = 3  # in a row: one good look may fall between a container's end and the next one's start
AGAIN = 3  # tasks of one service that met the same limit: the next one will, too
STUCK_SECONDS = 5.0  # after which an app that has not begun makes us look at the machine, each time
OWN_PORT = "host-mode port already in use"  # by the very task that is to be replaced, perhaps
# What the runtime says of a container whose first process has too little of what limits give it.
WITHIN_LIMITS = re.compile(
    r"OCI runtime create failed.*(connection reset by peer|broken pipe|cannot allocate memory"
    r"|resource temporarily unavailable|too many open files|did not terminate)",
    re.IGNORECASE | re.DOTALL,
)
# The states of a task before its own program is started, and who is at work then.
BEFORE_START = {
    "new": "the Swarm has not given it addresses: they are used up, or it has no leader",
    "pending": "the Swarm has found no node for it",
    "assigned": "its node does not take tasks: the engine there is stuck",
    "accepted": "its node does not begin with it: the engine there is stuck",
    "preparing": "the engine is still at its image, networks or volumes: a registry or a file "
    "server may be slow, or the engine is stuck",
}


def settle(
    nodes: Nodes,
    stack: str,
    *,
    before: Before,
    timeout: float,
    interval: float = 0.05,
) -> StackSnapshot:
    """Wait until the stack has settled, and return the last look at it.

    Args:
        nodes: the engines of the Swarm's nodes.
        stack: the stack's name.
        before: the stack as it was before the op; nothing for a fresh one.
        timeout: seconds to wait.
        interval: seconds between looks.

    Raises:
        ConvergenceError: it will never settle, or has not in time.
        TestBedError: the same, and the machine is to blame.
    """
    judge = _Judge(
        nodes=nodes,
        before=before,
        check=Deadline.after(STUCK_SECONDS),
        crashes=Crashes(
            before=before,
            read=partial(config_text, nodes.client),
            words=lambda task: "\n".join(last_words(nodes, [task])),
        ),
    )
    looks: list[StackSnapshot] = []

    def look() -> StackSnapshot:
        looks[:] = [read_stack(nodes, stack)]
        return looks[0]

    try:
        return wait_for(
            look,
            what=f"the stack {stack} to settle",
            deadline=Deadline.after(timeout, nodes.events.clock_of(NAMESPACE_LABEL, stack)),
            ready=lambda snapshot: not unsettled(snapshot, before),
            failed=judge.lost,
            describe=lambda look: "\n".join([*unsettled(look, before), describe_tasks(look)]),
            looks=LOOKS,
            interval=interval,
        )
    except WaitTimeoutError as error:
        raise judge.late(looks[0], timeout, error.detail) from error


@dataclass(kw_only=True)
class _Judge:
    """Says whose fault it is that a stack does not settle.

    Args:
        nodes: the engines of the Swarm's nodes.
        before: the stack as it was before the op.
        check: when the machine is looked at if the app has not begun by then.
        crashes: those that were seen so far.
    """

    nodes: Nodes
    before: Before
    check: Deadline
    crashes: Crashes
    _seen: dict[str, str] = field(default_factory=dict)  # names of services, by their ids

    def lost(self, look: StackSnapshot) -> HarnessError | None:
        """Return why the stack never will settle, or None while it may."""
        what = "the app did not come up"
        self.crashes.look(look)
        if removed := self._removed(look):
            return _with(removed, what, describe_tasks(look))
        if fault := unplaceable(self.nodes.client, look):
            fault.detail = describe_tasks(look)
            return fault
        if reason := self._given_up(look):
            what = f"{what}: {reason}"
            if fault := self._machine(look):
                return _with(fault, what, describe_tasks(look))
            return ConvergenceError(what, detail=describe_tasks(look))
        # On a full disk the Swarm's own records stand still: nothing more would be seen.
        fault = self._no_room(look) or self._too_little(look, AGAIN) or self._stuck(look)
        return _with(fault, what, describe_tasks(look)) if fault else None

    def _given_up(self, look: StackSnapshot) -> str:
        """Return why the stack never will settle, with the service first that is to blame."""
        reason = lost(look, self.before)
        if not reason:
            return self.crashes.hopeless(look)
        worst = self.crashes.worst(look)
        same = not worst or worst.partition(":")[0] == reason.partition(":")[0]
        return reason if same else f"{worst}; {reason}"

    def _removed(self, look: StackSnapshot) -> TestBedError | None:
        """Return that a service is gone which was there: no recipe does that."""
        there = {service.id: service.name for service in look.services}
        self._seen |= there
        gone = {name for identity, name in self._seen.items() if identity not in there}
        gone |= self.before.templates.keys() - set(there.values())  # no deploy here prunes
        if not gone:
            return None
        return TestBedError(
            f"services were removed while the app came up: {', '.join(sorted(gone))}",
            cause=f"somebody or something else removed them, or the whole stack {look.stack}",
            hint="docker events shows who; run it again where nobody cleans up meanwhile",
        )

    def late(self, look: StackSnapshot, timeout: float, detail: str) -> HarnessError:
        """Return why the stack has not settled in time."""
        worst = self.crashes.worst(look)
        reason = worst or (detail.partition("\n")[0] or "nothing was seen")
        what = f"the app had not settled after {timeout:g} s: {reason}"
        fault = self._machine(look)
        if fault is None and (shown := self._not_begun(look)):
            fault = self._unstarted(look, *shown)
        if fault:
            return _with(fault, what, detail)
        return ConvergenceError(
            what,
            cause="it crashes while others of its services are not ready"
            if worst
            else "it is slow to start, or never becomes healthy",
            hint="look at its log; DEPLOY_TIMEOUT in recipe_meta.py allows more time",
            detail=detail,
        )

    def _fresh(self, look: StackSnapshot) -> Iterator[tuple[ServiceState, TaskState]]:
        """Yield the tasks that the op brought about, newest first, with their services."""
        for service in look.services:
            for task in look.tasks_of(service):
                if task.id not in self.before.task_ids:
                    yield service, task

    def _no_room(self, look: StackSnapshot) -> TestBedError | None:
        """Return that a disk is full, if the engine refused a task for that."""
        for service, task in self._fresh(look):
            own = _fills_its_own_volume(service, task)
            if task.broken and not own and fault_in(task.error) is NO_ROOM:
                return NO_ROOM.error(f"{service.name}: {task.error}")
        return None

    def _too_little(self, look: StackSnapshot, times: int) -> TestBedError | None:
        """Return that a service needs more memory than it may have: it met our limit so often."""
        met = Counter(
            service.name
            for service, task in self._fresh(look)
            if task.id in look.killed and met_our_limit(self.nodes, service, task)
        )
        for service in look.services:
            if met[service.name] >= times:
                limit = service.template["Resources"]["Limits"]["MemoryBytes"]
                return TestBedError(
                    f"{service.name} needs more memory than a container may have here: "
                    f"{size(limit)}",
                    cause="the recipe sets no limit, so cc-ci does, to spare the machine",
                    hint="LIMITS = {'memory_gib': ...} in recipe_meta.py raises it; or run it on "
                    "a larger machine",
                )
        return None

    def _stuck(self, look: StackSnapshot) -> TestBedError | None:
        """Look at the machine now and then while the app has not begun; a healthy one may wait."""
        if not self.check.passed() or not self._not_begun(look):
            return None
        self.check = Deadline.after(STUCK_SECONDS)
        return spoiled(self.nodes)

    def _machine(self, look: StackSnapshot) -> TestBedError | None:
        """Return what is wrong with the machine, from this op's tasks and from a look at it."""
        for service, task in self._fresh(look):
            mine = (
                _holds_its_own_port(look, service, task)
                or _fills_its_own_volume(service, task)
                or _meets_its_own_limit(service, task)
            )
            if (task.broken or task.live) and not mine and (fault := fault_in(task.error)):
                return fault.error(f"{service.name}: {task.error}")
        if little := self._too_little(look, 1):
            return little
        for service, task in self._fresh(look):
            if task.id in look.killed:
                return TestBedError(
                    f"a container of {service.name} was killed from outside while the app came up",
                    cause="the engine recorded a kill, or this machine ran out of memory",
                    hint="dmesg shows what the kernel killed; free -m; run fewer things at a time",
                )
        for service in look.services:
            crashed = self.crashes.of(service.name)
            if crashed and (hidden := unresolved(self.nodes, look, service, crashed)):
                return hidden
        return spoiled(self.nodes)

    def _not_begun(self, look: StackSnapshot) -> tuple[str, str] | None:
        """Return a service of which no program was ever started, and the likely cause of that.

        A task that follows one that broke says nothing: the app had its chance.
        """
        for service in look.services:
            tasks = look.tasks_of(service)
            if any(task.broken and task.id not in self.before.task_ids for task in tasks):
                continue
            if not tasks and service.replicas != 0:
                return f"{service.name} (no task)", "the Swarm makes no tasks"
            for task in tasks:
                mine = _holds_its_own_port(look, service, task) or self._had_its_chance(task, tasks)
                if task.live and task.state in BEFORE_START and not mine:
                    return f"{service.name} ({task.state})", BEFORE_START[task.state]
        return None

    def _had_its_chance(self, task: TaskState, tasks: Sequence[TaskState]) -> bool:
        """Whether a container was started in that slot already, which the Swarm may be ending."""
        return any(
            other.slot == task.slot and other.container_id and other.state not in BEFORE_START
            for other in tasks
            if other.id not in self.before.task_ids
        )

    def _unstarted(self, look: StackSnapshot, shown: str, cause: str) -> TestBedError:
        label = f"{NAMESPACE_LABEL}={look.stack}"
        without = [
            str(network["Name"])
            for network in self.nodes.client.api.networks(filters={"label": label})
            if network.get("Scope") == "swarm" and not (network.get("IPAM") or {}).get("Config")
        ]
        if without:
            return NO_ADDRESSES.error(f"{', '.join(without)} got none, so {shown} was not started")
        return EngineError(
            f"the app was not even started in time: {shown}",
            cause=cause,
            hint="docker network ls, docker node ls, the engine's log (nox -s engine -- status)",
        )


def _with(fault: TestBedError, what: str, detail: str) -> TestBedError:
    fault.detail = f"{what}\n{detail}"
    return fault


def _holds_its_own_port(look: StackSnapshot, service: ServiceState, task: TaskState) -> bool:
    """Whether the task waits for a port that an older task of its service will not let go of.

    That is an update with `order: start-first` and a port of the host: the recipe's own fault.
    """
    older = (other for other in look.tasks_of(service) if other.id != task.id)
    return OWN_PORT in task.error and any(o.live and o.state == "running" for o in older)


def _fills_its_own_volume(service: ServiceState, task: TaskState) -> bool:
    """Whether the room that is missing may be that of a volume to which the recipe gave a size."""
    mounts = service.template["ContainerSpec"].get("Mounts") or ()
    options = (
        ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options") or {}
        for mount in mounts
    )
    sized = any("size=" in str(one.get("o", "")) or "size" in one for one in options)
    return sized and bool(NO_ROOM.words.search(task.error))


def _meets_its_own_limit(service: ServiceState, task: TaskState) -> bool:
    """Whether its program did not start within limits that the recipe sets, not the machine."""
    limited = of_recipe(service.template) or service.template["ContainerSpec"].get("Ulimits")
    return bool(limited) and bool(WITHIN_LIMITS.search(task.error))


def describe_tasks(snapshot: StackSnapshot) -> str:
    """Return one line per task that ended badly, with the engine's own sentence in full."""
    lines = []
    for service in snapshot.services:
        for task in snapshot.tasks_of(service):
            ended = task.broken or snapshot.unhealthy(task)
            if ended or (task.error and task.desired == "running"):
                said = snapshot.why(task)
                lines.append(f"{service.name}.{task.slot}: {task.state}: {said}")
    return "\n".join(lines)
