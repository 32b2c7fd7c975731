"""Which crashes count, and which of several services that crash is to blame.

An app may crash until its database is up, so its crashes count only from then on. Where several
crash, the others are usually consequences of the one that dies first and most often; where the
services' definitions say who waits for whom, that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.swarm.neighbours import Neighbours, logged
from harness.swarm.readiness import Before, ended_well, unsettled_service
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

CRASHES_BEFORE_GIVING_UP = 4  # an engine keeps five tasks a slot: older ones are remembered here
# A service without a health check may run for long before it answers its neighbours.
UNCHECKED_UP_SECONDS = 60.0
NEVER_CURED = (126, 127)  # the command is missing or cannot be run: no neighbour helps


@dataclass(kw_only=True)
class Crashes:
    """The crashes seen during one wait; `look` is told of every look.

    Whenever another service comes up, counting begins anew: it may be what the others waited for.
    One that itself waits for the service that crashes is not.

    Args:
        before: the stack as it was before the op.
        read: returns the text of a config, by its id.
        words: returns what the program of a task that ended logged last.
    """

    before: Before
    read: Callable[[str], str] = field(default=lambda _: "")
    words: Callable[[TaskState], str] = field(default=lambda _: "")
    _seen: dict[str, dict[str, TaskState]] = field(default_factory=dict)  # by service, by id
    _excused: set[str] = field(default_factory=set)  # ids of tasks from before a service came up
    _up: set[str] = field(default_factory=set)  # services that were up once
    _neighbours: Neighbours | None = None
    _words: dict[str, str] = field(default_factory=dict)  # by the id of a task

    def look(self, snapshot: StackSnapshot) -> None:
        """Note the crashes of a look, and which of them neighbours excuse."""
        up = {s.name for s in snapshot.services if self._is_up(snapshot, s)}
        for service in snapshot.services:
            if any(not self._waits(snapshot, name, service.name) for name in up - self._up):
                # Of older tasks, which Swarm has forgotten, only what was seen is left.
                self._excused |= {task.id for task in snapshot.tasks_of(service)}
                self._excused |= self._seen.get(service.name, {}).keys()
        self._up |= up
        for service in snapshot.services:
            for task in snapshot.tasks_of(service):
                fresh = task.id not in self.before.task_ids
                if fresh and self._counts(snapshot, service, task):
                    self._seen.setdefault(service.name, {})[task.id] = task

    def hopeless(self, snapshot: StackSnapshot) -> str:
        """Return which service crashes for good, in one sentence; empty while one may recover."""
        unsettled = {s.name for s in snapshot.services if self._unsettled(snapshot, s)}
        waited_for = {
            service.name
            for service in snapshot.services
            if service.name in unsettled or service.name not in self._up
            if self._count(service.name) < CRASHES_BEFORE_GIVING_UP
        }
        given_up = any(
            self._count(name) >= CRASHES_BEFORE_GIVING_UP
            and all(self._waits(snapshot, other, name) for other in waited_for)
            for name in unsettled
        )
        return self.worst(snapshot) if given_up or self._never_cured(unsettled) else ""

    def worst(self, snapshot: StackSnapshot) -> str:
        """Return what is said of the service that dies first and most often; empty if none does."""
        unsettled = [
            name
            for name in self._seen
            if (service := snapshot.service(name)) and self._unsettled(snapshot, service)
        ]
        if not unsettled:
            return ""
        first, *rest = sorted(unsettled, key=lambda name: self._rank(snapshot, name, unsettled))
        said = self._said(snapshot, first)
        others = ", ".join(f"{name} {len(self.of(name))} times" for name in rest)
        return f"{said}; also crashed: {others}" if others else said

    def of(self, name: str) -> tuple[TaskState, ...]:
        """Return the crashed tasks of a service, oldest first."""
        return tuple(sorted(self._seen.get(name, {}).values(), key=lambda task: task.created_at))

    def _said(self, snapshot: StackSnapshot, name: str) -> str:
        tasks = self.of(name)
        often = "once" if len(tasks) == 1 else f"{len(tasks)} times in a row"
        if tasks[-1].state == "complete" and not snapshot.unhealthy(tasks[-1]):
            return f"{name}: it ended with code 0 {often}"
        return f"{name}: it crashed {often} ({snapshot.why(tasks[-1])})"

    def _rank(
        self, snapshot: StackSnapshot, name: str, others: Iterable[str]
    ) -> tuple[bool, bool, int, str]:
        tasks = self.of(name)
        curable = all(task.exit_code not in NEVER_CURED for task in tasks)
        consequence = any(self._waits(snapshot, name, other) for other in others)
        return curable, consequence, -len(tasks), tasks[0].state_since

    def _waits(self, snapshot: StackSnapshot, one: str, other: str) -> bool:
        """Whether a service may wait for another one, which does not wait for it.

        Where the definitions do not say, the last words of what crashed may.
        """
        self._neighbours = known = self._neighbours or Neighbours.of(snapshot, self.read)
        if known.waits(one, other) or known.waits(other, one):
            return known.waits(one, other)
        return self._names(one, other, snapshot) and not self._names(other, one, snapshot)

    def _names(self, one: str, other: str, snapshot: StackSnapshot) -> bool:
        """Whether a service that crashed logged another one's address before it ended."""
        if not (tasks := self.of(one)):
            return False
        last = tasks[-1]
        if last.id not in self._words:
            self._words[last.id] = self.words(last)
        return logged(self._words[last.id], other, snapshot.stack)

    def _count(self, name: str) -> int:
        return len(self._seen.get(name, {}).keys() - self._excused)

    def _never_cured(self, names: Iterable[str]) -> bool:
        """Whether one of them crashed often enough in a way that no neighbour cures."""
        return any(
            sum(task.exit_code in NEVER_CURED for task in self.of(name)) >= CRASHES_BEFORE_GIVING_UP
            for name in names
        )

    def _unsettled(self, snapshot: StackSnapshot, service: ServiceState) -> bool:
        return bool(unsettled_service(snapshot, service, self.before))

    def _is_up(self, snapshot: StackSnapshot, service: ServiceState) -> bool:
        return not self._unsettled(snapshot, service) and all(
            container.checked or container.age >= UNCHECKED_UP_SECONDS
            for task in snapshot.tasks_of(service)
            if task.live and (container := snapshot.containers.get(task.container_id))
        )

    def _counts(self, snapshot: StackSnapshot, service: ServiceState, task: TaskState) -> bool:
        if snapshot.crashed(task):
            return task.state != "rejected"
        ended = task.state == "complete" and task.id not in snapshot.killed and not service.job
        return ended and not ended_well(snapshot, service, task, self.before)
