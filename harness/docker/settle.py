"""Waiting until a stack has settled: the wait that belongs to every op."""

from __future__ import annotations

import docker

from harness.docker.readiness import Before, lost, unsettled
from harness.docker.snapshot import StackSnapshot, read_stack
from harness.errors import (
    ConvergenceError,
    DiskFullError,
    EngineError,
    HarnessError,
    WaitTimeoutError,
)
from harness.waiting import Deadline, wait_for

NO_ROOM = "no space left on device"
LOOKS = 3  # in a row: one good look may fall between a container's end and the next one's start


def settle(
    client: docker.DockerClient,
    stack: str,
    *,
    node_id: str,
    before: Before,
    timeout: float,
    interval: float = 0.05,
) -> StackSnapshot:
    """Wait until the stack has settled, and return the last look at it.

    Args:
        client: a client of a manager's engine.
        stack: the stack's name.
        node_id: the Swarm id of that engine's own node.
        before: the stack as it was before the op; nothing for a fresh one.
        timeout: seconds to wait.
        interval: seconds between looks.

    Raises:
        ConvergenceError: it will never settle, or has not in time.
    """

    def failed(snapshot: StackSnapshot) -> HarnessError | None:
        reason = lost(snapshot, before)
        if not reason:
            return None
        if NO_ROOM in reason.lower():
            return DiskFullError(f"no room is left on the engine's disk: {reason}")
        return ConvergenceError(
            f"the app did not come up: {reason}", detail=describe_tasks(snapshot)
        )

    try:
        return wait_for(
            lambda: read_stack(client, stack, node_id=node_id),
            what=f"the stack {stack} to settle",
            deadline=Deadline.after(timeout),
            ready=lambda snapshot: not unsettled(snapshot, before),
            failed=failed,
            describe=lambda look: "\n".join([*unsettled(look, before), describe_tasks(look)]),
            looks=LOOKS,
            interval=interval,
        )
    except WaitTimeoutError as error:
        reason = error.detail.splitlines()[0] if error.detail else "nothing was seen"
        if reason.endswith("(new)"):
            raise EngineError(
                f"the Swarm did not place the app's tasks in {timeout:g} s: {reason}",
                cause="it has no addresses left for the networks, or no leader",
                hint="docker network ls; remove networks that are not needed",
                detail=error.detail,
            ) from error
        raise ConvergenceError(
            f"the app had not settled after {timeout:g} s: {reason}",
            cause="it is slow to start, or never becomes healthy",
            hint="look at its log; DEPLOY_TIMEOUT in recipe_meta.py allows more time",
            detail=error.detail,
        ) from error


def describe_tasks(snapshot: StackSnapshot) -> str:
    """Return one line per task that ended badly, with the engine's own sentence in full."""
    lines = []
    for service in snapshot.services:
        for task in snapshot.tasks_of(service):
            if task.broken or (task.error and task.desired == "running"):
                said = task.error or f"exit code {task.exit_code}"
                lines.append(f"{service.name}.{task.slot}: {task.state}: {said}")
    return "\n".join(lines)
