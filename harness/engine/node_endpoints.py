"""Finding the engine of each node of a Swarm, before anything is deployed.

A node's endpoint is what `CCCI_NODE_<NAME>` says, else that of a docker context of the node's name.
Each has to lead to the very node that it is said to: a wrong one would show another node's
containers, or none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import DockerException
from requests import RequestException

from harness.core import proc
from harness.core.errors import EngineError, UnknownNameError
from harness.core.settings import NODE
from harness.engine.endpoint import Engine, from_context, probe, root_reason
from harness.swarm.nodes import Endpoint, Nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmNode:
    """A node as a manager sees it; `runs_tasks` says whether it is ready and takes tasks."""

    id: str
    name: str
    runs_tasks: bool

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> SwarmNode:
        """Read one element of the answer of `/nodes`."""
        active = raw["Spec"].get("Availability", "active") == "active"
        return cls(
            id=raw["ID"],
            name=raw["Description"]["Hostname"],
            runs_tasks=active and raw["Status"]["State"] == "ready",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Looks for the endpoints of a Swarm's nodes.

    Args:
        client: a client of a manager's engine.
        engine: that engine.
        given: what `CCCI_NODE_<NAME>` variables say, by NAME.
        environment: the user's environment, for docker contexts.
        run: starts the docker command; tests hand in another.
        probe: says why an engine does not answer; tests hand in another.
        client_for: makes a client of an engine; tests hand in another.
    """

    client: docker.DockerClient
    engine: Engine
    given: Mapping[str, str]
    environment: Mapping[str, str]
    run: Callable[..., proc.Completed] = proc.run
    probe: Callable[[Engine], str] = probe
    client_for: Callable[[Engine], docker.DockerClient] = Engine.client

    def nodes(self) -> Nodes:
        """Return the Swarm's nodes, with the endpoint of each one that can run tasks.

        Raises:
            UnknownNameError: a variable names no node.
            EngineError: a node has no endpoint, or one that does not answer or is another node's.
        """
        own, found = self._known()
        engines, without = self._engines(own, found)
        if without:
            raise self._missing(without)
        others = tuple(self._endpoint(node, engine) for node, engine in engines)
        return Nodes(client=self.client, own=own, others=others)

    def reachable(self, say: Callable[[str], None]) -> Nodes:
        """Return the nodes whose engines can be asked, and say which ones cannot, and why."""
        own, found = self._known()
        engines, without = self._engines(own, found)
        for node in without:
            left = f"node {node.name} has no endpoint, so leftovers on it are not removed"
            say(f"{left}: {_hint([node])}")
        others = []
        for node, engine in engines:
            try:
                others.append(self._endpoint(node, engine))
            except EngineError as error:
                say(f"{error.what}; what is there stays")
        return Nodes(client=self.client, own=own, others=tuple(others))

    def _known(self) -> tuple[str, list[SwarmNode]]:
        """Return the id of the engine's own node, and all nodes."""
        info = self.client.info()
        swarm = info["Swarm"]
        own = str(swarm["NodeID"])
        found = [SwarmNode(id=own, name=str(info.get("Name", "")), runs_tasks=True)]
        if int(swarm.get("Nodes", 1)) > 1:
            found = [SwarmNode.parse(raw) for raw in self.client.api.nodes()]
        self._refuse_unknown(found)
        return own, found

    def _refuse_unknown(self, found: Sequence[SwarmNode]) -> None:
        known = {word for node in found for word in _words(node, found)}
        for name in self.given:
            if fold(name) not in known:
                raise UnknownNameError(
                    f"{NODE}{name} names no node of the Swarm",
                    cause="names are compared without case, and '-' and '.' count as '_'; where "
                    "two nodes have the same name, their ids count instead",
                    hint=f"its nodes are: {', '.join(sorted(node.name for node in found))}",
                )

    def _engines(
        self, own: str, found: Sequence[SwarmNode]
    ) -> tuple[list[tuple[SwarmNode, Engine]], list[SwarmNode]]:
        """Return the other nodes that run tasks: those with an engine that is named, and the rest.

        A node that is down or drained runs none, so it needs no endpoint.
        """
        engines, without = [], []
        for node in found:
            if node.id == own or not node.runs_tasks:
                continue
            engine = self._given(node, found) or self._context(node)
            if engine is None:
                without.append(node)
            else:
                engines.append((node, engine))
        return engines, without

    def _given(self, node: SwarmNode, found: Sequence[SwarmNode]) -> Engine | None:
        words = _words(node, found)
        for name, host in self.given.items():
            if fold(name) in words:
                # Over TCP the files that lead to the manager lead to its workers, too.
                tls = self.engine.cert_path if host.startswith("tcp://") else ""
                return Engine(
                    host=host,
                    origin=f"{NODE}{name}",
                    cert_path=tls,
                    tls_verify=bool(tls) and self.engine.tls_verify,
                )
        return None

    def _context(self, node: SwarmNode) -> Engine | None:
        try:
            return from_context({**self.environment, "DOCKER_CONTEXT": node.name}, run=self.run)
        except EngineError:
            return None  # there is none of that name

    def _endpoint(self, node: SwarmNode, engine: Engine) -> Endpoint:
        where = f"{engine.host} ({engine.origin})"
        if reason := self.probe(engine):
            raise EngineError(
                f"the engine of the node {node.name} at {where} does not answer",
                cause=reason,
                hint=f"ask it yourself: DOCKER_HOST={engine.host} docker info",
            )
        said = self._node_at(engine, node)
        if said != node.id:
            raise EngineError(
                f"{where} is not the engine of the node {node.name}",
                cause=f"the engine there says that it is the node {said}"
                if said
                else "the engine there is in no Swarm",
                hint=f"docker node ls; correct {NODE}{fold(node.name)}, or the docker context "
                f"{node.name}",
            )
        return Endpoint(id=node.id, name=node.name, environ=engine.environ({}), address=engine.host)

    def _node_at(self, engine: Engine, node: SwarmNode) -> str:
        try:
            client = self.client_for(engine)
            try:
                return str((client.info().get("Swarm") or {}).get("NodeID") or "")
            finally:
                client.close()
        except (DockerException, RequestException, OSError) as error:
            raise EngineError(
                f"the engine of the node {node.name} at {engine.host} does not answer",
                cause=root_reason(error),
                hint=f"ask it yourself: DOCKER_HOST={engine.host} docker info",
            ) from error

    def _missing(self, without: Sequence[SwarmNode]) -> EngineError:
        names = ", ".join(node.name for node in without)
        return EngineError(
            f"no engine is known for the Swarm's node(s) {names}, where tasks may run",
            cause="a manager cannot show containers, logs and volumes of other nodes, nor run "
            "commands there",
            hint=f"{_hint(without)}; or docker node update --availability drain {without[0].name}",
        )


def fold(name: str) -> str:
    """Return a node's name as it can stand in a variable's: small letters, digits and `_`."""
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _words(node: SwarmNode, found: Sequence[SwarmNode]) -> frozenset[str]:
    """Return the folded words that mean that node: its id, and its name if no other has it."""
    names = Counter(fold(other.name) for other in found)
    name = fold(node.name)
    return frozenset({fold(node.id), *([name] if names[name] == 1 else [])})


def _hint(nodes: Sequence[SwarmNode]) -> str:
    return " ".join(f"{NODE}{fold(node.name)}=ssh://{node.name}" for node in nodes)
