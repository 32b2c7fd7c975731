"""Which engine a node's containers are asked of, in a Swarm of one node or of several.

A manager knows every service and task, and no container but those of its own node. Where there are
other nodes, each has an endpoint, found before a run begins (`harness.engine.node_endpoints`). A
container never moves, so where it was seen once is where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from requests import PreparedRequest, Response
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from harness.core.errors import EngineError
from harness.core.settings import NODE
from harness.core.waiting import stretched
from harness.swarm.events import FILTERS, EventLog

CALL_SECONDS = 60
# What the SDK raises when there is no answer at all; an answer that says no is an APIError.
NO_ANSWER = (RequestException, HTTPError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How another node's engine is reached: the node's Swarm id and name, and variables.

    `address` is for people to read; it may lead there by another way than the variables.
    """

    id: str
    name: str
    environ: Mapping[str, str]
    address: str = ""


def connect(environ: Mapping[str, str]) -> docker.DockerClient:
    """Return a client of the engine that those variables lead to.

    Raises:
        DockerException: it does not answer.
    """
    options = kwargs_from_env(environment=dict(environ))
    return docker.DockerClient(**options, timeout=ceil(stretched(CALL_SECONDS)))


@dataclass(kw_only=True)
class Nodes:
    """The engines of a Swarm's nodes; those of other nodes are connected when they are needed.

    A call to another node's engine that is not answered raises an EngineError which names the node.

    Args:
        client: a client of a manager's engine.
        own: the Swarm id of that engine's node.
        others: the endpoints of the other nodes that run tasks.
        connect: makes a client from an endpoint's variables.
        events: what happened to containers since `watch`.
    """

    client: docker.DockerClient
    own: str
    others: tuple[Endpoint, ...] = ()
    connect: Callable[[Mapping[str, str]], docker.DockerClient] = connect
    events: EventLog = field(default_factory=EventLog)
    _clients: dict[str, docker.DockerClient] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)

    def __contains__(self, node: str) -> bool:
        """Whether the engine of the node of that id can be asked."""
        return node == self.own or any(other.id == node for other in self.others)

    def watch(self) -> None:
        """Follow the events of every node from now on: they tell how each container ended."""
        for node in (self.own, *(other.id for other in self.others)):
            self.events.follow(partial(self._streamed, node))

    def _streamed(self, node: str) -> Iterable[Mapping[str, Any]]:
        client = self.client if node == self.own else self._connected(node)
        return client.api.events(filters=dict(FILTERS), decode=True)

    def name(self, node: str) -> str:
        """Return the name of the node of that id; the id itself where it is not known."""
        return next((other.name for other in self.others if other.id == node), node)

    def client_of(self, node: str) -> docker.DockerClient:
        """Return a client of the engine of the node of that id.

        Raises:
            EngineError: it does not answer, or it has no endpoint.
        """
        if node == self.own:
            return self.client
        if node not in self._clients:
            self._clients[node] = self._connected(node)
        return self._clients[node]

    def having(self, container: str) -> docker.DockerClient:
        """Return a client of the engine that has that container; the manager's if none was seen.

        Raises:
            EngineError: as `client_of`.
        """
        return self.client_of(self._seen.get(container, self.own))

    def saw(self, placed: Iterable[tuple[str, str]]) -> None:
        """Remember where containers are: pairs of a container's id and a node's."""
        self._seen.update(placed)

    def each_other(self) -> Iterator[tuple[Endpoint, docker.DockerClient]]:
        """Yield the other nodes, each with a client of its engine.

        Raises:
            EngineError: one does not answer.
        """
        for other in self.others:
            yield other, self.client_of(other.id)

    def gone(self) -> EngineError | None:
        """Return which node does not take part any more that did at the start, if there is one."""
        if not self.others:
            return None
        known = {raw["ID"]: raw for raw in self.client.api.nodes()}
        for other in self.others:
            if why := _absent(known.get(other.id)):
                return EngineError(
                    f"the node {other.name} of the Swarm is {why}",
                    cause="it was stopped, drained or cut off while the run went on",
                    hint="docker node ls; run again when it is ready",
                )
            try:
                self.client_of(other.id).ping()
            except (EngineError, APIError) as error:
                return error if isinstance(error, EngineError) else _silent(other.name, error)
        return None

    def close(self) -> None:
        """Close the connections to other nodes."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.events.close()

    def _connected(self, node: str) -> docker.DockerClient:
        endpoint = next((other for other in self.others if other.id == node), None)
        if endpoint is None:
            raise EngineError(
                f"cannot reach the engine of node {node}, which runs a task of this app",
                cause="it joined the Swarm, or became ready, while the run went on",
                hint=f"docker node ls; set {NODE}<its name>=ssh://..., and run again",
            )
        try:
            client = self.connect(endpoint.environ)
        except (DockerException, *NO_ANSWER) as error:
            raise _silent(endpoint.name, error) from error
        return _naming(client, endpoint.name)


def _absent(raw: Mapping[str, Any] | None) -> str:
    """Return what a node is instead of ready and active; empty when it is both."""
    if raw is None:
        return "no part of it any more"
    status, availability = raw["Status"], raw["Spec"].get("Availability", "active")
    if status["State"] != "ready":
        said = status.get("Message", "")
        return f"{status['State']}: {said}" if said else str(status["State"])
    return "" if availability == "active" else f"set to {availability}"


def _silent(name: str, error: Exception) -> EngineError:
    return EngineError(
        f"the engine of the node {name} does not answer: {error}",
        cause="the node was stopped, restarted or cut off, or its engine was",
        hint="docker node ls; run again when it is ready",
    )


def _naming(client: docker.DockerClient, name: str) -> docker.DockerClient:
    """Let every request that is not answered say which node it was sent to."""
    send = client.api.send

    def sending(request: PreparedRequest, **options: Any) -> Response:  # noqa: ANN401  as requests
        try:
            return send(request, **options)
        except APIError:
            raise
        except NO_ANSWER as error:
            raise _silent(name, error) from error

    client.api.send = sending  # type: ignore[method-assign]  # one client only, not the class
    return client
