"""Takes a snapshot of a stack: one look at its services, tasks and containers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import docker
from docker.errors import NotFound

from harness.core.errors import EngineError
from harness.swarm.deaths import killed_from_outside
from harness.swarm.nodes import Nodes
from harness.swarm.states import (
    NAMESPACE_LABEL,
    ContainerState,
    ServiceState,
    StackSnapshot,
    TaskState,
)


def read_stack(nodes: Nodes, stack: str, *, patient: bool = False) -> StackSnapshot:
    """Take one look at a stack.

    Args:
        nodes: the engines of the Swarm's nodes.
        stack: the stack's name.
        patient: pass over other nodes whose engines cannot be asked, instead of raising.

    Raises:
        EngineError: the engine of a node that runs one of the tasks cannot be asked.
    """
    client = nodes.client
    namespace = {"label": f"{NAMESPACE_LABEL}={stack}"}
    services = client.api.services(filters=namespace)  # type: ignore[no-untyped-call]  # stubs lack it
    found_tasks = client.api.tasks(filters=namespace)  # type: ignore[no-untyped-call]  # stubs lack it
    tasks = tuple(TaskState.parse(raw) for raw in found_tasks)
    found, silent = _containers(nodes, tasks, patient=patient)
    looked_at = [task for task in tasks if task.node_id in nodes and task.node_id not in silent]
    return StackSnapshot(
        stack=stack,
        node_id=nodes.own,
        services=tuple(
            sorted((ServiceState.parse(raw, stack) for raw in services), key=lambda s: s.name)
        ),
        tasks=tasks,
        containers=found,
        others=frozenset(other.id for other in nodes.others) - silent,
        ended=dict(_ended(nodes, looked_at)),
        killed=frozenset(
            task.id
            for task in looked_at
            if (task.broken or task.state == "complete") and killed_from_outside(nodes, task)
        ),
    )


def _ended(nodes: Nodes, tasks: Sequence[TaskState]) -> Iterator[tuple[str, ContainerState]]:
    """Yield the containers of tasks that ended with code 0, as far as they are still there."""
    for task in tasks:
        if task.state == "complete" and task.container_id:
            state = read_container(nodes.client_of(task.node_id), task.container_id)
            if state is not None:
                yield task.container_id, state


def _containers(
    nodes: Nodes, tasks: tuple[TaskState, ...], *, patient: bool
) -> tuple[dict[str, ContainerState], frozenset[str]]:
    """Return the containers of running tasks, and the nodes whose engines could not be asked."""
    nodes.saw((task.container_id, task.node_id) for task in tasks if task.container_id)
    found: dict[str, ContainerState] = {}
    silent: set[str] = set()
    for task in tasks:
        if not task.container_id or task.desired != "running" or task.node_id in silent:
            continue
        try:
            state = read_container(nodes.client_of(task.node_id), task.container_id)
        except EngineError:
            if not patient:
                raise
            silent.add(task.node_id)
            continue
        if state is not None:
            found[task.container_id] = state
    return found, frozenset(silent)


def read_container(client: docker.DockerClient, identity: str) -> ContainerState | None:
    """Return the container's state, or None when the engine has no such container (any more)."""
    try:
        return ContainerState.parse(client.api.inspect_container(identity))
    except NotFound:
        return None
