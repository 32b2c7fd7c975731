"""How a task came to its end: by itself, or killed by somebody from outside.

An app that breaks is the recipe's fault. A container that somebody kills (an operator, the kernel
of a host that runs out of memory) says nothing about the recipe, and Swarm replaces it.
"""

from __future__ import annotations

from docker.errors import NotFound

from harness.docker.nodes import Nodes
from harness.docker.snapshot import StackSnapshot, TaskState

KILLED = 137  # 128 + SIGKILL, which no process in a container can send to the first one in it


def killed_from_outside(nodes: Nodes, task: TaskState) -> bool:
    """Whether a task that broke was killed, and not by its own memory limit or health check.

    What cannot be known any more counts as the app's own doing.

    Raises:
        EngineError: the engine of the task's node does not answer: it may be that node's fault.
    """
    if task.exit_code != KILLED or "unhealthy" in task.error or not task.container_id:
        return False
    try:
        inspected = nodes.client_of(task.node_id).api.inspect_container(task.container_id)
    except NotFound:
        return False
    # Without a limit of its own, it was the host that had no memory left.
    limited = bool(inspected["HostConfig"].get("Memory"))
    return not (inspected["State"].get("OOMKilled", False) and limited)


def broken_since(nodes: Nodes, before: StackSnapshot, now: StackSnapshot) -> tuple[TaskState, ...]:
    """Return the tasks that broke by themselves between two looks."""
    known = {task.id for task in before.tasks if task.broken}
    return tuple(
        task
        for task in now.tasks
        if task.broken and task.id not in known and not killed_from_outside(nodes, task)
    )
