"""Which worker runs which test: the longest first, and one engine of the tests' own per worker.

A worker starts a test only once it knows the next one, so each has one test in advance. A worker
that is busy for long gets the shortest one in advance, so that no long test waits behind another
while a worker is free.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

DURATIONS = Path(__file__).with_name("durations.json")
UNIT = "tests/unit/"
UNIT_SECONDS = 0.01  # of a test without a record
OTHER_SECONDS = 30.0
ENGINE = "engine-"  # begins the names of groups that start an engine of their own
ENGINES_AT_ONCE = 3


def load(path: Path = DURATIONS) -> Mapping[str, float]:
    """Return the recorded durations of tests in seconds, by node id."""
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return found


def scope_of(nodeid: str) -> str:
    """Return what runs on one worker, in order: a group, a module of unit tests, or one test."""
    if nodeid.startswith(UNIT):
        return nodeid.partition("::")[0]
    return nodeid[nodeid.rfind("@") + 1 :] if nodeid.rfind("@") > nodeid.rfind("]") else nodeid


def seconds_of(nodeid: str, durations: Mapping[str, float]) -> float:
    """Return how long a test is expected to take; its group at the end of its id is ignored."""
    scope = scope_of(nodeid)
    plain = nodeid.removesuffix(f"@{scope}")
    return durations.get(plain, UNIT_SECONDS if plain.startswith(UNIT) else OTHER_SECONDS)


def choose(waiting: Mapping[str, float], *, busy: float, engines: int) -> str:
    """Return the scope that a worker gets next.

    Args:
        waiting: the scopes that no worker has yet, with their seconds.
        busy: how many seconds of work the worker still has.
        engines: how many workers have a group with an engine of its own.
    """
    allowed = [one for one in waiting if not one.startswith(ENGINE)]
    if engines < ENGINES_AT_ONCE or not allowed:
        allowed = list(waiting)
    longest = max(allowed, key=lambda one: waiting[one])
    return min(allowed, key=lambda one: waiting[one]) if busy >= waiting[longest] else longest


class LongestFirst(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Sends the longest scopes first."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._durations = load()
        self._seconds: dict[str, float] = {}  # by scope

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _remaining(self, work: Mapping[str, bool]) -> float:
        return sum(seconds_of(one, self._durations) for one, done in work.items() if not done)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Send a worker its next scope."""
        waiting = {
            scope: self._seconds.setdefault(scope, self._remaining(work))
            for scope, work in self.workqueue.items()
        }
        busy = sum(self._remaining(work) for work in self.assigned_work[node].values())
        engines = sum(
            any(scope.startswith(ENGINE) and not all(work.values()) for scope, work in one.items())
            for one in self.assigned_work.values()
        )
        scope = choose(waiting, busy=busy, engines=engines)
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        """Send a worker more once it has less than one test in advance."""
        if node.shutting_down:
            return
        if not self.workqueue:
            node.shutdown()
        elif self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)
