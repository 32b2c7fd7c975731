"""Why no node of the Swarm takes a service's tasks, said at once instead of after a time-out.

Constraints, reservations and the largest number of replicas a node do not change while a run waits.
The rules are those of swarmkit's scheduler (`manager/constraint`, `manager/scheduler/filter.go`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import docker

from harness.core.errors import ConvergenceError, EngineError, HarnessError
from harness.swarm.states import NANOSECONDS, ServiceState, StackSnapshot

NO_NODE = "no suitable node"
FOR_GOOD = (
    "missing plugin",
    "unsupported platform",
)  # what Swarm says of a node that stays as it is
UNSCHEDULED = ("new", "pending")
PARSED = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(==|!=)\s*(.*?)\s*")
PLAIN = {
    "node.id": ("ID",),
    "node.hostname": ("Description", "Hostname"),
    "node.role": ("Spec", "Role"),
    "node.platform.os": ("Description", "Platform", "OS"),
    "node.platform.arch": ("Description", "Platform", "Architecture"),
}
LABELS = {"node.labels.": ("Spec", "Labels"), "engine.labels.": ("Description", "Engine", "Labels")}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
Node = Mapping[str, Any]


def unplaceable(client: docker.DockerClient, look: StackSnapshot) -> HarnessError | None:
    """Return why a service of the stack finds no node, if waiting cannot change that."""
    waiting = [service for service in look.services if _waits(look, service)]
    if not waiting:
        return None
    nodes = [node for node in client.api.nodes() if node["Status"]["State"] == "ready"]
    errors = (_why(service, nodes) or _said(look, service) for service in waiting)
    return next((error for error in errors if error), None)


def _waits(look: StackSnapshot, service: ServiceState) -> bool:
    """Whether no node was found for one of its tasks; a global service has no task then."""
    tasks = look.tasks_of(service)
    if service.replicas is None:
        return not any(task.live for task in tasks)
    return any(task.live and task.state in UNSCHEDULED and NO_NODE in task.error for task in tasks)


def _why(service: ServiceState, nodes: Sequence[Node]) -> HarnessError | None:
    return (
        _impossible(service)
        or _unmet(service, nodes)
        or _too_much(service, nodes)
        or _too_many(service, nodes)
        or _too_few_ports(service, nodes)
        or _inactive(service, nodes)
    )


def constraints_of(service: ServiceState) -> tuple[str, ...]:
    """Return the placement constraints of a service, as it has them."""
    return tuple(_get(service.definition, "TaskTemplate", "Placement", "Constraints") or ())


def _impossible(service: ServiceState) -> ConvergenceError | None:
    """Return that no node of any Swarm could meet the constraints: the recipe's own fault."""
    parsed = [match for one in constraints_of(service) if (match := PARSED.fullmatch(one))]
    for match in parsed:
        key = match[1].lower()
        if key not in (*PLAIN, "node.ip") and not key.startswith(tuple(LABELS)):
            return ConvergenceError(
                f"{service.name}: no node can meet the constraint {match[0]}",
                cause=f"Swarm does not know {match[1]}",
                hint=f"known are {', '.join(PLAIN)}, {'NAME, '.join(LABELS)}NAME",
            )
    for one, other in itertools.combinations(parsed, 2):
        same = one[3].lower() == other[3].lower()
        both = {one[2], other[2]}
        if one[1].lower() == other[1].lower() and (
            (both == {"=="} and not same) or (both == {"==", "!="} and same)
        ):
            return ConvergenceError(
                f"{service.name}: no node can meet the constraints {one[0]} and {other[0]}",
                cause="they contradict each other",
                hint="correct `deploy.placement` in the compose file",
            )
    return None


def _unmet(service: ServiceState, nodes: Sequence[Node]) -> EngineError | None:
    constraints = constraints_of(service)
    if not constraints or any(all(_meets(node, one) for one in constraints) for node in nodes):
        return None
    by_none = [one for one in constraints if not any(_meets(node, one) for node in nodes)]
    shown = ", ".join(by_none or constraints)
    return EngineError(
        f"{service.name}: no node of this Swarm meets the constraint {shown}",
        cause=f"the recipe wants nodes of a kind that is not among the {len(nodes)} here",
        hint=_advice(by_none or constraints),
    )


def _advice(constraints: Sequence[str]) -> str:
    for one in constraints:
        match = PARSED.fullmatch(one)
        if match and match[1].startswith("node.labels.") and match[2] == "==":
            label = f"{match[1].removeprefix('node.labels.')}={match[3]}"
            return f"docker node update --label-add {label} NODE, if a node here can stand in"
    return "docker node inspect self shows what this node is; test it on a Swarm that has the nodes"


def _meets(node: Node, constraint: str) -> bool:
    """Whether a node meets a constraint; one that cannot be read here counts as met."""
    match = PARSED.fullmatch(constraint)
    if not match or match[1].lower() == "node.ip":
        return True
    key = match[1].lower()
    if key in PLAIN:
        actual = str(_get(node, *PLAIN[key]) or "")
    else:
        prefix = next((prefix for prefix in LABELS if key.startswith(prefix)), "")
        if not prefix:
            return False
        actual = str((_get(node, *LABELS[prefix]) or {}).get(match[1][len(prefix) :], ""))
    same = _named(key, actual) == _named(key, match[3])
    return same if match[2] == "==" else not same


def _named(key: str, value: str) -> str:
    value = value.lower()
    return ARCHITECTURES.get(value, value) if key == "node.platform.arch" else value


def _too_much(service: ServiceState, nodes: Sequence[Node]) -> EngineError | None:
    """Return that the service reserves more than any node has in all."""
    asked = dict(_resources(_get(service.definition, "TaskTemplate", "Resources", "Reservations")))
    offers = [dict(_resources(_get(node, "Description", "Resources"))) for node in nodes]
    for kind, amount in asked.items():
        most = max((offer.get(kind, 0.0) for offer in offers), default=0.0)
        if amount > most:
            return EngineError(
                f"{service.name}: no node of this Swarm has the {kind} that it reserves: it asks "
                f"for {amount:g}, and the largest node has {most:g}",
                cause="the recipe needs a larger machine than this one",
                hint="test it on a larger one, or lower `deploy.resources.reservations`",
            )
    return None


def _resources(raw: Mapping[str, Any] | None) -> Iterator[tuple[str, float]]:
    """Yield kinds and amounts, of reservations or of a node."""
    found = raw or {}
    yield "processors", found.get("NanoCPUs", 0) / NANOSECONDS
    yield "memory (MiB)", found.get("MemoryBytes", 0) / 1024**2
    generic: dict[str, float] = {}
    for one in found.get("GenericResources") or ():
        if discrete := one.get("DiscreteResourceSpec"):
            generic[discrete["Kind"]] = generic.get(discrete["Kind"], 0) + discrete["Value"]
        elif named := one.get("NamedResourceSpec"):
            generic[named["Kind"]] = generic.get(named["Kind"], 0) + 1
    yield from generic.items()


def _too_many(service: ServiceState, nodes: Sequence[Node]) -> HarnessError | None:
    """Return that the replicas have no place on so many nodes, one more during an update."""
    most = int(_get(service.definition, "TaskTemplate", "Placement", "MaxReplicas") or 0)
    replicas = service.replicas or 0
    if not most:
        return None
    if replicas > most * len(nodes):
        return EngineError(
            f"{service.name}: {replicas} replicas with max_replicas_per_node: {most} need more "
            f"than the {len(nodes)} nodes of this Swarm",
            cause="the recipe wants a Swarm with more nodes",
            hint="test it on one, or lower `replicas`",
        )
    order = _get(service.definition, "UpdateConfig", "Order")
    if order == "start-first" and service.update_state and replicas == most * len(nodes):
        return ConvergenceError(
            f"{service.name}: its update with order start-first needs room for one more replica "
            f"than max_replicas_per_node: {most} allows",
            cause="Swarm starts the new task before it stops the old one",
            hint="use `order: stop-first`, or leave max_replicas_per_node out",
        )
    return None


def _too_few_ports(service: ServiceState, nodes: Sequence[Node]) -> HarnessError | None:
    """Return that more tasks want a port of a node than there are nodes."""
    ports = _get(service.definition, "EndpointSpec", "Ports") or ()
    fixed = [p["PublishedPort"] for p in ports if p.get("PublishMode") == "host" and
             p.get("PublishedPort")]  # fmt: skip
    replicas = service.replicas or 0
    if not fixed or not nodes or replicas < len(nodes):
        return None
    if replicas > len(nodes):
        return EngineError(
            f"{service.name}: {replicas} replicas publish port {fixed[0]} of their node, and this "
            f"Swarm has {len(nodes)}",
            cause="only one container of a node can listen on a port",
            hint="test it on a Swarm with more nodes, or publish the port with `mode: ingress`",
        )
    order = _get(service.definition, "UpdateConfig", "Order")
    if order == "start-first" and service.update_state:
        return ConvergenceError(
            f"{service.name}: its update with order start-first needs port {fixed[0]} twice",
            cause="Swarm starts the new task before it stops the old one, which has the port",
            hint="use `order: stop-first`",
        )
    return None


def _said(look: StackSnapshot, service: ServiceState) -> EngineError | None:
    """Return what Swarm itself says of every node, where that does not change."""
    for task in look.tasks_of(service):
        if task.live and any(words in task.error for words in FOR_GOOD):
            return EngineError(
                f"{service.name}: {task.error}",
                cause="the recipe names a driver or a platform that no node here has",
                hint="docker info shows the plugins and the platform; docker plugin install",
            )
    return None


def _inactive(service: ServiceState, nodes: Sequence[Node]) -> EngineError | None:
    off = [node for node in nodes if node["Spec"].get("Availability", "active") != "active"]
    if not off or len(off) < len(nodes):
        return None
    name, state = off[0]["Description"]["Hostname"], off[0]["Spec"]["Availability"]
    return EngineError(
        f"{service.name}: no node takes tasks: {name} is set to {state}",
        cause="somebody paused or drained it",
        hint=f"docker node update --availability active {name}",
    )


def _get(found: Any, *keys: str) -> Any:  # noqa: ANN401  any JSON value
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
