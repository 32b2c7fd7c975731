"""When a stack has settled, and when it never will: pure predicates over snapshots.

Settled means: what runs is what was asked for, all of it, and no update is still under way.
The traps that these rules close are listed in docs/decisions/0003-settling.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.swarm.states import ServiceState, StackSnapshot, TaskState

STEADY_SECONDS = 5.0  # how long a container without a health check has to run to count as up
OUTLIVE = 1.5  # how many times as long as the crashed one before it a container has to run
OUTLIVE_SECONDS = 30.0  # and that is long enough: rarer crashes are not waited for
UPDATE_UNDER_WAY = ("updating", "rollback_started")
UPDATE_LOST = ("paused", "rollback_started", "rollback_paused", "rollback_completed")
# How long a task without a health check has to run that is not started again after code 0: a job
# may take its time, and a worker that quits would not be noticed later.
ONE_SHOT_SECONDS = 30.0
LONG_DELAY = 5.0  # seconds: a delay that a recipe asks for between two runs of a job
REJECTIONS_BEFORE_GIVING_UP = 3
ENDED_IN_UPDATE = "the new task ended with code 0, and should run on"
STOPPED_BY_UPDATE = "the new container was stopped, most likely because it was not healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a stack looked like before an op, so that the op's own traces can be told apart."""

    update_started: Mapping[str, str] = field(default_factory=dict)  # by service name
    templates: Mapping[str, object] = field(default_factory=dict)  # by service name
    task_ids: frozenset[str] = frozenset()
    ran: Mapping[str, float] = field(default_factory=dict)  # seconds that a service had run on

    @classmethod
    def of(cls, snapshot: StackSnapshot) -> Before:
        """Remember what matters of a snapshot."""
        return cls(
            update_started={s.name: s.update_started for s in snapshot.services},
            templates={s.name: s.template for s in snapshot.services},
            task_ids=frozenset(task.id for task in snapshot.tasks),
        )


def unsettled(snapshot: StackSnapshot, before: Before) -> list[str]:
    """Return why the stack has not settled yet, one reason per line; empty when it has."""
    if not snapshot.services:
        return ["no service exists yet"]
    reasons = []
    for service in snapshot.services:
        reasons += [
            f"{service.name}: {reason}" for reason in unsettled_service(snapshot, service, before)
        ]
    return reasons


def unsettled_service(snapshot: StackSnapshot, service: ServiceState, before: Before) -> list[str]:
    """Return why one service has not settled yet; empty when it has."""
    reasons = []
    if service.update_state in UPDATE_UNDER_WAY:
        reasons.append(f"update {service.update_state}")
    if _status_is_stale(service, before):
        reasons.append("its update has not begun (the status seen is that of the one before)")
    tasks = snapshot.tasks_of(service)
    if service.job:
        return reasons + _unsettled_job(service, tasks)
    resting = _resting_slots(snapshot, service, before)
    live = [task for task in tasks if task.live and task.slot not in resting]
    current = [task for task in live if task.spec == service.template]
    if len(live) != len(current):
        reasons.append(f"{len(live) - len(current)} task(s) of an older version not replaced yet")
    running = [task for task in current if task.state == "running"]
    there = len(live) + len(resting)
    wanted = service.replicas if service.replicas is not None else max(1, there)
    if len(running) + len(resting) < wanted:
        states = ", ".join(sorted(task.state for task in current)) or "no task"
        reasons.append(f"{len(running)}/{wanted} running ({states})")
    for task in running:
        reasons += [
            problem
            for problem in (
                _container_problem(snapshot, service, task),
                _unproven(snapshot, task, tasks),
            )
            if problem
        ]
    return reasons


def _status_is_stale(service: ServiceState, before: Before) -> bool:
    """Whether the service was changed by the op and still shows the status of an earlier update."""
    if service.name not in before.templates or not service.update_started:
        return False
    if service.replicas == 0:
        return False  # there is nothing to replace, so no update begins
    changed = before.templates[service.name] != service.template
    return changed and service.update_started == before.update_started.get(service.name)


def _unsettled_job(service: ServiceState, tasks: tuple[TaskState, ...]) -> list[str]:
    done = sum(task.state == "complete" and task.spec == service.template for task in tasks)
    wanted = service.replicas if service.replicas is not None else 1
    return [] if done >= wanted else [f"{done}/{wanted} completed"]


def _resting_slots(
    snapshot: StackSnapshot, service: ServiceState, before: Before
) -> frozenset[str]:
    """Return the slots whose job is done: a one-shot, or one that waits for its next run."""
    ended: dict[str, TaskState] = {}  # the newest of each slot that has ended
    moving: set[str] = set()  # slots in which something else is going on
    for task in snapshot.tasks_of(service):
        if task.live or task.state in ("running", "shutdown"):
            waits = service.restart == "any" and (service.delay or 0.0) >= LONG_DELAY
            if task.slot not in ended and not (task.live and waits):
                moving.add(task.slot)
        else:
            ended.setdefault(task.slot, task)
    return frozenset(
        slot
        for slot, task in ended.items()
        if slot not in moving
        and task.spec == service.template
        and ended_well(snapshot, service, task, before)
    )


def ended_well(
    snapshot: StackSnapshot, service: ServiceState, task: TaskState, before: Before
) -> bool:
    """Whether a task has ended as a job does: with code 0, and it was not expected to run on.

    A service with a health check is not a job, nor is one whose base ran for longer until it was
    upgraded: that a job is at it just then shows nothing. Nor is one that is tried again after a
    failure, and of which another replica runs on.
    """
    if task.state != "complete" or task.id in snapshot.killed or snapshot.checked(task):
        return False
    if service.restart == "any" and (service.delay or 0.0) < LONG_DELAY:
        return False  # it is meant to run on, and is started again at once
    if service.restart == "on-failure" and outlasting(snapshot, service, task):
        return False
    ran = before.ran.get(service.name)
    return ran is None or snapshot.ran(task) > ran


def outlasting(snapshot: StackSnapshot, service: ServiceState, task: TaskState) -> float:
    """Return for how long another replica of a task that ended runs on; 0 if none runs by far.

    Replicas that share the work of a job end at about the same time.
    """
    ages = [
        snapshot.containers[other.container_id].age
        for other in snapshot.tasks_of(service)
        if other.slot != task.slot and other.spec == task.spec and other.state == "running"
        if other.container_id in snapshot.containers
    ]
    age = max(ages, default=0.0)
    return age if age >= max(ONE_SHOT_SECONDS, snapshot.ran(task) * OUTLIVE) else 0.0


def _container_problem(snapshot: StackSnapshot, service: ServiceState, task: TaskState) -> str:
    """Return why the task's container cannot be asked for anything yet, or nothing.

    A container on a node whose engine was not asked cannot be seen: the task's own state has to do.
    """
    if not snapshot.sees(task.node_id):
        return ""
    container = snapshot.containers.get(task.container_id)
    if container is None:
        return "its container is gone"
    if not container.usable:
        return f"its container is {container.status}, health {container.health or 'unknown'}"
    steady = STEADY_SECONDS if service.restart == "any" else ONE_SHOT_SECONDS
    if not container.checked and container.age < steady:
        return f"its container has run for {container.age:.0f} s and has no health check"
    return ""


def _unproven(snapshot: StackSnapshot, task: TaskState, tasks: tuple[TaskState, ...]) -> str:
    """Return that the task's container may be the next to crash in a loop, or nothing.

    A loop looks fine between two crashes. One that came while an op changed things may be excused,
    but only once the container that followed has outlived it by far.
    """
    container = snapshot.containers.get(task.container_id)
    crashed = next(
        (
            other
            for other in tasks  # newest first
            if snapshot.crashed(other)
            and other.state in ("failed", "complete")
            and other.slot == task.slot
            and other.spec == task.spec
            and other.created_at < task.created_at
        ),
        None,
    )
    if container is None or crashed is None:
        return ""
    enough = min(crashed.lived * OUTLIVE, OUTLIVE_SECONDS)
    if container.age >= enough:
        return ""
    return (
        f"the container before crashed after {crashed.lived:.0f} s ({snapshot.why(crashed)}); "
        f"this one has to last for {enough:.0f} s"
    )


def lost(snapshot: StackSnapshot, before: Before) -> str:
    """Return why the stack will never settle, in one sentence; empty while it still may."""
    for service in snapshot.services:
        reason = _lost_service(snapshot, service, before)
        if reason:
            return f"{service.name}: {reason}"
    return ""


def _lost_service(snapshot: StackSnapshot, service: ServiceState, before: Before) -> str:
    tasks = snapshot.tasks_of(service)
    ended = service.update_state in UPDATE_LOST and not _status_is_stale(service, before)
    fresh = [task for task in tasks if task.id not in before.task_ids]
    resting = _resting_slots(snapshot, service, before)  # a job may fail until its database is up
    broken = [
        task
        for task in fresh
        if (task.broken or snapshot.unhealthy(task)) and task.slot not in resting
    ]
    over = [task for task in fresh if task.state == "complete"]
    last = snapshot.why(broken[0]) if broken else ENDED_IN_UPDATE if over else STOPPED_BY_UPDATE
    if ended_early := _quit(snapshot, service, before):
        return ended_early
    # Swarm takes a one-shot task that ended well for a failure of the update.
    if ended and not resting:
        return f"the update ended as {service.update_state}: {last} ({service.update_message})"
    if not broken:
        return ""
    if dead := _given_up(service, tasks, broken, resting):
        return f"its task {dead.state} and is not started again ({snapshot.why(dead)})"
    rejected = sum(task.state == "rejected" for task in broken)
    if rejected >= REJECTIONS_BEFORE_GIVING_UP:
        return f"its tasks were rejected {rejected} times ({last})"
    return ""


def _given_up(
    service: ServiceState,
    tasks: Sequence[TaskState],
    broken: Sequence[TaskState],
    resting: frozenset[str],
) -> TaskState | None:
    """Return the task of a slot that broke last and is not started again, or None."""
    held = {task.slot for task in tasks if task.live} | resting
    if service.replicas is not None and len(held) >= service.replicas:
        return None
    newest = {task.slot: task for task in reversed(tasks)}
    return next((t for t in broken if t.slot not in held and t is newest[t.slot]), None)


def _quit(snapshot: StackSnapshot, service: ServiceState, before: Before) -> str:
    """Return that a task that should run on has ended with code 0 for good, or nothing."""
    if service.job or service.replicas == 0:
        return ""
    newest: dict[str, TaskState] = {}
    for task in snapshot.tasks_of(service):
        newest.setdefault(task.slot, task)
    live = {task.slot for task in snapshot.tasks_of(service) if task.live}
    for slot, task in newest.items():
        current = task.state == "complete" and task.spec == service.template
        if current and slot not in live and not ended_well(snapshot, service, task, before):
            return how_it_quit(snapshot, service, task, before.ran.get(service.name))
    return ""


def how_it_quit(
    snapshot: StackSnapshot, service: ServiceState, task: TaskState, ran: float | None
) -> str:
    """Return that a task ended with code 0 for good, and why it should not have.

    Args:
        snapshot: a look at the stack.
        service: its service.
        task: the task.
        ran: the seconds that the base's task had run on, if it did.
    """
    again = "and is not started again"
    if snapshot.unhealthy(task):
        return f"its task is not started again; it was {snapshot.why(task)}"
    if task.id in snapshot.killed:
        return f"its task was stopped from outside, ended with code 0, {again}"
    if snapshot.checked(task):
        return f"its task ended with code 0 although it has a health check, {again}"
    said = f"its task ended with code 0 after {snapshot.ran(task):.0f} s, {again}"
    if ran is not None and snapshot.ran(task) <= ran:
        return f"{said}; the base's ran on ({ran:.0f} s until the upgrade)"
    other = outlasting(snapshot, service, task)
    return f"{said}; another replica runs on ({other:.0f} s)" if other else said
