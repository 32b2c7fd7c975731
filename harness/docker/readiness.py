"""When a stack has settled, and when it never will: pure predicates over snapshots.

Settled means: what runs is what was asked for, all of it, and no update is still under way.
The traps that these rules close are listed in docs/decisions/0003-settling.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.docker.snapshot import ServiceState, StackSnapshot, TaskState

STEADY_SECONDS = 5.0  # how long a container without a health check has to run to count as up
OUTLIVE = 1.5  # how many times as long as the crashed one before it a container has to run
OUTLIVE_SECONDS = 30.0  # and that is long enough: rarer crashes are not waited for
UPDATE_UNDER_WAY = ("updating", "rollback_started")
UPDATE_LOST = ("paused", "rollback_started", "rollback_paused", "rollback_completed")
CRASHES_BEFORE_GIVING_UP = 4  # an engine keeps five tasks a slot: more could not be counted
REJECTIONS_BEFORE_GIVING_UP = 3
STOPPED_BY_UPDATE = "the new container was stopped, most likely because it was not healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a stack looked like before an op, so that the op's own traces can be told apart."""

    update_started: Mapping[str, str] = field(default_factory=dict)  # by service name
    templates: Mapping[str, object] = field(default_factory=dict)  # by service name
    task_ids: frozenset[str] = frozenset()

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
            f"{service.name}: {reason}" for reason in _unsettled_service(snapshot, service, before)
        ]
    return reasons


def _unsettled_service(snapshot: StackSnapshot, service: ServiceState, before: Before) -> list[str]:
    reasons = []
    if service.update_state in UPDATE_UNDER_WAY:
        reasons.append(f"update {service.update_state}")
    if _status_is_stale(service, before):
        reasons.append("its update has not begun (the status seen is that of the one before)")
    tasks = snapshot.tasks_of(service)
    if service.job:
        return reasons + _unsettled_job(service, tasks)
    live = [task for task in tasks if task.live]
    current = [task for task in live if task.spec == service.template]
    if len(live) != len(current):
        reasons.append(f"{len(live) - len(current)} task(s) of an older version not replaced yet")
    running = [task for task in current if task.state == "running"]
    finished = _finished_slots(service, tasks)
    wanted = service.replicas if service.replicas is not None else max(1, len(live))
    if len(running) + len(finished) < wanted:
        states = ", ".join(sorted(task.state for task in current)) or "no task"
        reasons.append(f"{len(running)}/{wanted} running ({states})")
    for task in running:
        reasons += [
            problem
            for problem in (_container_problem(snapshot, task), _unproven(snapshot, task, tasks))
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


def _finished_slots(service: ServiceState, tasks: tuple[TaskState, ...]) -> list[str]:
    """Return the slots whose newest task ended well and is not going to be started again."""
    if service.restart == "any":
        return []
    newest: dict[str, TaskState] = {}
    for task in tasks:
        newest.setdefault(task.slot, task)
    return [
        slot
        for slot, task in newest.items()
        if task.state == "complete" and task.spec == service.template
    ]


def _container_problem(snapshot: StackSnapshot, task: TaskState) -> str:
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
    if not container.checked and container.age < STEADY_SECONDS:
        return f"its container runs for {container.age:.0f} s and has no health check"
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
            if other.state == "failed"
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
    said = crashed.error or f"exit code {crashed.exit_code}"
    return (
        f"the container before crashed after {crashed.lived:.0f} s ({said}); "
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
    ended = service.update_state in UPDATE_LOST and not _status_is_stale(service, before)
    # Swarm takes a one-shot task that ended well for a failure of the update.
    fresh = [task for task in snapshot.tasks_of(service) if task.id not in before.task_ids]
    broken = [task for task in fresh if task.broken]
    last = (broken[0].error or f"exit code {broken[0].exit_code}") if broken else STOPPED_BY_UPDATE
    if ended and not _finished_slots(service, snapshot.tasks_of(service)):
        return f"the update ended as {service.update_state}: {last} ({service.update_message})"
    if not broken:
        return ""
    if not any(task.live for task in snapshot.tasks_of(service)):
        return f"its task {broken[0].state} and is not started again ({last})"
    rejected = sum(task.state == "rejected" for task in broken)
    if rejected >= REJECTIONS_BEFORE_GIVING_UP:
        return f"its tasks were rejected {rejected} times ({last})"
    # An app may crash until its database is up: crashes count once all the others have settled.
    if len(broken) >= CRASHES_BEFORE_GIVING_UP and _others_settled(snapshot, service, before):
        return f"it crashed {len(broken)} times in a row ({last})"
    return ""


def _others_settled(snapshot: StackSnapshot, service: ServiceState, before: Before) -> bool:
    return not any(
        _unsettled_service(snapshot, other, before)
        for other in snapshot.services
        if other.id != service.id
    )
