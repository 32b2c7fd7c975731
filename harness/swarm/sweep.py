"""Removing everything that carries a run's label, and nothing else.

Found by label only, never by name: a stack that we did not make has no such label. Removal is a
pass that is repeated until nothing is found any more, because a network cannot go before the last
task has left it, and a volume not before the last container.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import docker
from docker.errors import APIError

from harness.core.errors import EngineError, WaitTimeoutError
from harness.core.waiting import Deadline, wait_for
from harness.swarm.nodes import Nodes
from harness.swarm.states import NAMESPACE_LABEL

RUN_LABEL = "ccci.run"
SCOPE_LABEL = "ccci.scope"
STACK_LABEL = "ccci.stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object in the engine."""

    kind: str  # "service", "container", "network", "volume", "secret" or "config"
    id: str
    name: str
    labels: Mapping[str, str]
    node: str = ""  # the id of the node that it is on, where that is not the manager's

    def __str__(self) -> str:
        """Return the object as a message shows it."""
        return f"{self.kind} {self.name}"


def find(
    client: docker.DockerClient, label: str, *, nodes: Nodes | None = None
) -> tuple[Found, ...]:
    """Return every object with that label (`name` or `name=value`), in the order of removal.

    Args:
        client: a client of a manager's engine.
        label: the label.
        nodes: where there are other nodes, whose containers and volumes are found too.

    Raises:
        EngineError: the engine of another node does not answer.
    """
    elsewhere = [
        item
        for other, engine in (nodes.each_other() if nodes else ())
        for item in _local(engine, label, node=other.id)
    ]
    return (*_here(client, label), *elsewhere)


def _here(client: docker.DockerClient, label: str) -> tuple[Found, ...]:
    """Return what a manager shows: what is the Swarm's, and what is its own node's."""
    api, wanted = client.api, {"label": label}
    found = [
        Found(kind="service", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.services(filters=wanted)  # type: ignore[no-untyped-call]  # stubs lack it
    ]
    containers, volumes = _containers(client, label), _volumes(client, label)
    found += containers
    found += [
        Found(kind="network", id=raw["Id"], name=raw["Name"], labels=raw["Labels"])
        for raw in api.networks(filters=wanted)
    ]
    found += volumes
    found += [
        Found(kind="secret", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.secrets(filters=wanted)
    ]
    found += [
        Found(kind="config", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.configs(filters=wanted)  # type: ignore[no-untyped-call]  # stubs lack it
    ]
    return tuple(found)


def _local(client: docker.DockerClient, label: str, *, node: str) -> list[Found]:
    """Return the containers and volumes of another node: the rest is the Swarm's."""
    return [*_containers(client, label, node=node), *_volumes(client, label, node=node)]


def _containers(client: docker.DockerClient, label: str, *, node: str = "") -> list[Found]:
    raws = client.api.containers(all=True, filters={"label": label})
    # An image may have any label, and a container has those of its image, whoever started it.
    images = client.api.images(filters={"label": RUN_LABEL}) if raws else []
    inherited = {one["Id"]: one["Labels"][RUN_LABEL] for one in images}
    return [
        Found(
            kind="container",
            id=raw["Id"],
            name=raw["Names"][0][1:],
            labels=raw["Labels"],
            node=node,
        )
        for raw in raws
        if RUN_LABEL not in raw["Labels"]
        or raw["Labels"][RUN_LABEL] != inherited.get(raw["ImageID"])
    ]


def _volumes(client: docker.DockerClient, label: str, *, node: str = "") -> list[Found]:
    found = client.api.volumes(filters={"label": label})["Volumes"] or []
    return [
        Found(
            kind="volume",
            id=raw["Name"],
            name=raw["Name"],
            labels=raw["Labels"] or {},
            node=node,
        )
        for raw in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep removed, counted by kind, and what it could not."""

    removed: Mapping[str, int]
    left: tuple[str, ...]


def sweep(
    client: docker.DockerClient, run: str, *, timeout: float, nodes: Nodes | None = None
) -> Swept:
    """Remove everything of a run, and look until it is really gone.

    A node that does not answer is listed as left, and is not waited for.

    Args:
        client: a client of a manager's engine.
        run: the run's id.
        timeout: seconds after which what is still there is reported instead.
        nodes: where there are other nodes, whose containers and volumes are removed too.
    """
    return _swept(_Sweep(client=client, label=f"{RUN_LABEL}={run}", nodes=nodes), timeout)


def sweep_stack(
    client: docker.DockerClient, stack: str, *, timeout: float, nodes: Nodes | None = None
) -> Swept:
    """Remove a stack that this run has deployed, and not what the harness has beside it.

    Args:
        client: as for `sweep`.
        stack: the stack's name; what is removed carries the label of its namespace.
        timeout: as for `sweep`.
        nodes: as for `sweep`.
    """
    return _swept(_Sweep(client=client, label=f"{NAMESPACE_LABEL}={stack}", nodes=nodes), timeout)


def _swept(sweeping: _Sweep, timeout: float) -> Swept:
    try:
        left = wait_for(
            sweeping.one_pass,
            what="the removal",
            deadline=Deadline.after(timeout),
            ready=lambda found: not found,
        )
    except WaitTimeoutError:
        left = sweeping.look()
    gone = sweeping.seen - {_key(item) for item in left}
    counts = Counter(kind for kind, _, _ in gone)
    names = (*(str(item) for item in left), *sweeping.silent.values())
    return Swept(removed=dict(sorted(counts.items())), left=names)


@dataclass(kw_only=True)
class _Sweep:
    """One sweep: what was seen of it, and which nodes do not answer, by id."""

    client: docker.DockerClient
    label: str
    nodes: Nodes | None
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    silent: dict[str, str] = field(default_factory=dict)

    def one_pass(self) -> tuple[Found, ...]:
        """Remove what is there, and return what that was."""
        found = self.look()
        self.seen |= {_key(item) for item in found}
        for item in found:
            try:
                _remove(self._engine(item.node), item)
            except EngineError as error:
                self._note(item.node, error)
        return found

    def look(self) -> tuple[Found, ...]:
        """Return what is there, on every node that answers."""
        found = list(_here(self.client, self.label))
        for other in self.nodes.others if self.nodes else ():
            if other.id not in self.silent:
                try:
                    found += _local(self._engine(other.id), self.label, node=other.id)
                except EngineError as error:
                    self._note(other.id, error)
        return tuple(found)

    def _engine(self, node: str) -> docker.DockerClient:
        return self.nodes.client_of(node) if self.nodes and node else self.client

    def _note(self, node: str, error: EngineError) -> None:
        if self.nodes is None or not node:
            raise error
        self.silent[node] = f"what is on node {self.nodes.name(node)} ({error.what})"


def _key(item: Found) -> tuple[str, str, str]:
    return item.kind, item.id, item.node


def _remove(client: docker.DockerClient, item: Found) -> None:
    api = client.api
    calls: Mapping[str, Callable[[], object]] = {
        "service": lambda: api.remove_service(item.id),  # type: ignore[no-untyped-call]  # as above
        "container": lambda: api.remove_container(item.id, force=True, v=True),
        "network": lambda: api.remove_network(item.id),
        "volume": lambda: api.remove_volume(item.id),
        "secret": lambda: api.remove_secret(item.id),
        "config": lambda: api.remove_config(item.id),  # type: ignore[no-untyped-call]  # as above
    }
    # A refusal passes: "in use" ends by itself, and what stays shows in the next look. An engine
    # that does not answer at all raises something else, and that is not held back.
    with suppress(APIError):
        calls[item.kind]()
