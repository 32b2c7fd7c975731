"""On which nodes the volumes of a backup lie: pure, from a look at the stack.

A volume is local to its node, whichever node its service's task runs on. On a Swarm of one node
there is nothing to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.backups.labels import BackupSpec, VolumePart
from harness.core.errors import BackupError, TestBedError
from harness.swarm.states import StackSnapshot


def places(
    look: StackSnapshot, parts: Sequence[VolumePart], *, name: Callable[[str], str]
) -> Mapping[str, str]:
    """Return the id of the node that each volume lies on, by the volume's full name.

    Args:
        look: a look at the stack.
        parts: what is backed up.
        name: returns a node's name from its id.

    Raises:
        TestBedError: a volume lies on several nodes, so each has another one of that name.
    """
    found: dict[str, set[str]] = {}
    for part in parts:
        found.setdefault(part.volume, set()).update(_nodes_of(look, part.service))
    for volume, nodes in found.items():
        if len(nodes) > 1:
            raise TestBedError(
                f"the volume {volume} lies on several nodes: "
                f"{', '.join(sorted(name(node) for node in nodes))}",
                cause="its services run on all of them, and each node has a volume of its own; "
                "a backup of one says nothing of the others",
                hint="pin the services to one node: deploy.placement.constraints in compose.yml",
            )
    return {volume: next(iter(nodes), look.node_id) for volume, nodes in found.items()}


def located(look: StackSnapshot) -> Mapping[str, str]:
    """Return the node of every volume that the stack mounts and that holds data of its own.

    Those on several nodes are left out: each node has another volume of such a name, so they cannot
    be compared as one.
    """
    found: dict[str, set[str]] = {}
    for service in look.services:
        for mount in (one for one in service.volumes if not one.foreign):
            found.setdefault(mount.volume, set()).update(_nodes_of(look, service.name))
    return {
        volume: next(iter(nodes), look.node_id)
        for volume, nodes in found.items()
        if len(nodes) <= 1
    }


def _nodes_of(look: StackSnapshot, service: str) -> set[str]:
    """Return the nodes of a service's running tasks; of its last one when none runs."""
    state = look.service(service)
    tasks = [task for task in look.tasks_of(state) if task.node_id] if state else []
    live = {task.node_id for task in tasks if task.live}
    return live or {task.node_id for task in tasks[:1]}


def require_in_place(
    before: Mapping[str, str], now: Mapping[str, str], *, name: Callable[[str], str]
) -> None:
    """Refuse to judge the data of a volume whose service was moved to another node.

    Raises:
        TestBedError: one was.
    """
    for volume, node in now.items():
        old = before.get(volume, node)
        if old != node:
            raise TestBedError(
                f"the service with the volume {volume} moved from node {name(old)} to {name(node)}",
                cause="the Swarm starts a task wherever there is room, and a volume stays behind",
                hint="pin the service to a node: deploy.placement.constraints in compose.yml; or "
                "test it on a Swarm of one node: CCCI_ENGINE=private",
            )


def require_containers(spec: BackupSpec, look: StackSnapshot, op: str) -> None:
    """Refuse hooks of a service that has no container to run them in.

    Raises:
        BackupError: there are some.
    """
    for hooks in spec.hooks:
        service = look.service(hooks.service)
        tasks = look.tasks_of(service) if service else ()
        if hooks.has(op) and not any(task.live or task.state == "running" for task in tasks):
            raise BackupError(
                f"the {op} hooks of service {hooks.service} cannot run: it has no container",
                cause="it has finished, or is scaled to 0; a hook runs in its own service",
                hint="move the hook to a service that keeps running",
            )
