"""The handle that assertions get to an app that is already up. It looks; it deploys nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import docker

from harness.assertions import page
from harness.assertions.protocol import Facts
from harness.backups.labels import BackupSpec
from harness.backups.restic import Repository, snapshot_path
from harness.core.errors import ContainerUnavailableError, RecipeError, UnknownNameError
from harness.exec.exec import ExecResult, ExecTarget
from harness.exec.http import PatientProber, Prober, Request, Response
from harness.recipes.doors import Door
from harness.swarm.nodes import Nodes
from harness.swarm.own_networks import own_name
from harness.swarm.snapshot import read_stack
from harness.swarm.states import ServiceState, StackSnapshot, TaskState


@dataclass(frozen=True, kw_only=True)
class App:
    """A deployed app, as assertions and seed hooks see it.

    Args:
        nodes: the engines of the Swarm's nodes.
        facts: what the run knows about itself.
        reader: the tool container's id.
        readers: the ids of the tool containers on other nodes, which have a backup repository of
            their node's volumes, by the node's id.
        patience: seconds to wait for a container that is being replaced.
        note: is told of every exec and every request that had to be tried again.
        factor: multiplies every time-out.
    """

    nodes: Nodes
    facts: Facts
    reader: str
    patience: float = 60.0
    factor: float = 1.0
    readers: Mapping[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = field(default=lambda _: None)

    @property
    def client(self) -> docker.DockerClient:
        """A client of the manager's engine."""
        return self.nodes.client

    @property
    def domain(self) -> str:
        """The domain under which the app is deployed."""
        return self.facts.domain

    def snapshot(self) -> StackSnapshot:
        """Take one look at the stack: its services, tasks and containers."""
        return read_stack(self.nodes, self.facts.stack)

    def service(self, name: str = "app") -> ServiceState:
        """Return the state of the service of that short name.

        Raises:
            UnknownNameError: the stack has no such service.
        """
        snapshot = self.snapshot()
        found = snapshot.service(name)
        if found is None:
            names = ", ".join(service.name for service in snapshot.services) or "none at all"
            raise UnknownNameError(f"the stack has no service '{name}'", hint=f"it has: {names}")
        return found

    def labels(self, name: str) -> Mapping[str, str]:
        """Return the value of `coop-cloud.<stack>.<name>` by service, for those that have it.

        Only services of the compose files that were deployed last count: one that the head dropped
        runs on, as it does at an operator's, with the labels that it had.
        """
        full = f"coop-cloud.{self.facts.stack}.{name}"
        return {
            service.name: service.labels[full]
            for service in self.snapshot().services
            if service.name in self.facts.services and full in service.labels
        }

    def container(self, service: str = "app") -> str | None:
        """Return the id of the newest running container of a service, or None."""
        snapshot = self.snapshot()
        found = snapshot.service(service)
        return _running(snapshot.tasks_of(found)) if found else None

    def _serving(self, service: str) -> str | None:
        """Return the same, but refuse to wait for a container that will not come."""
        snapshot = self.snapshot()
        found = snapshot.service(service)
        if found is None:
            return None
        if found.replicas == 0 and not found.job:
            raise RecipeError(
                f"service {service} has 0 replicas, so it cannot be queried",
                hint="raise its replicas, or name another one as HEALTH_SERVICE in recipe_meta.py",
            )
        tasks = snapshot.tasks_of(found)
        if tasks and not any(task.live for task in tasks):
            raise ContainerUnavailableError(
                f"service {service} has ended, and Swarm does not start it again",
                cause=f"its last task {tasks[0].state}: {snapshot.why(tasks[0])}",
                hint="look at its log, and at restart_policy in the compose file",
            )
        return _running(tasks)

    def target(self, service: str = "app") -> ExecTarget:
        """Return where commands for that service are run."""
        return ExecTarget(
            client=self.client,
            name=service,
            resolve=lambda: self._serving(service),
            patience=self.patience * self.factor,
            note=self.note,
            nodes=self.nodes,
        )

    def exec_in_app(
        self,
        service: str,
        argv: Sequence[str],
        *,
        timeout: float,
        check: bool = True,
        stdin: bytes | None = None,
        repeatable: bool = False,
        stdout_to: Path | None = None,
    ) -> ExecResult:
        """Run a command in the service's container; see `ExecTarget.exec` for what it raises.

        Args:
            service: the service's short name.
            argv: the command and its arguments.
            timeout: seconds that the command may take, times the run's factor.
            check: raise when it ends with a code other than 0.
            stdin: bytes for its standard input; None means none.
            repeatable: whether it is safe to run twice, when its container was replaced.
            stdout_to: a file for its standard output, however large; None means into the result.
        """
        return self.target(service).exec(
            argv,
            timeout=timeout * self.factor,
            check=check,
            stdin=stdin,
            repeatable=repeatable,
            stdout_to=stdout_to,
        )

    def read_file(self, path: str, *, service: str = "app", timeout: float = 30.0) -> bytes:
        """Return a file's bytes as the service's container sees them."""
        argv = ["cat", path]
        return self.exec_in_app(service, argv, timeout=timeout, repeatable=True).stdout

    def http_get(self, path: str = "") -> Response:
        """Ask the app's own container for a page; an empty path is the recipe's health path."""
        return self.http(Request(path=path or self.facts.health.path))

    def http(self, request: Request, *, service: str = "", port: int | None = None) -> Response:
        """Send a request to the service's own container, past every proxy.

        One that was replaced, or has just come up, is waited for: see `PatientProber.send`, also
        for what it raises. No redirect is followed.

        Args:
            request: what to ask.
            service: empty means the recipe's health service.
            port: None means the recipe's health port.

        Raises:
            UnknownNameError: the recipe has no page, and no service was named.
        """
        health = self.facts.health
        if not (service or health.service):
            raise UnknownNameError(
                f"the recipe {self.facts.recipe} has no page that could be asked for",
                hint="name a service and a port, or set HEALTH_SERVICE in recipe_meta.py",
            )
        own = service in ("", health.service) and port in (None, health.port)
        door = Door(
            service=service or health.service,
            port=port or health.port,
            scheme=health.scheme if own else "http",
        )
        return self.ask(request, door)

    def ask(self, request: Request, door: Door) -> Response:
        """Send a request to the container behind a door, past every proxy; see `http`."""
        patient = PatientProber(
            prober=self._prober,
            target=self.target(door.service),
            handed_over=self.facts.handed_over,
        )
        return patient.send(
            request, port=door.port, host=door.host or self.domain, scheme=door.scheme
        )

    def health_problem(self) -> str:
        """Ask for the app's page, and return what is wrong with it; empty when nothing is."""
        return page.ask(self).problem

    @cached_property
    def _prober(self) -> Prober:
        return Prober(
            client=self.client, tool=self._tool, timeout=10.0 * self.factor, nodes=self.nodes,
            network=own_name(self.facts.stack),
        )  # fmt: skip

    @cached_property
    def _tool(self) -> ExecTarget:
        return ExecTarget(
            client=self.client, name="the tool container", resolve=self._reader_id, note=self.note
        )

    def _reader_id(self) -> str:
        return self.reader

    def repository_on(self, node: str) -> Repository:
        """Return the backup repository of a node: the reader has that of the manager's."""
        if node == self.nodes.own:
            return Repository(target=self._tool)
        target = ExecTarget(
            client=self.nodes.client_of(node),
            name="the tool container",
            resolve=lambda: self.readers[node],
        )
        return Repository(target=target)

    @cached_property
    def backup(self) -> BackupView:
        """The snapshot that the backup stage made."""
        return BackupView(app=self, repositories=self.repository_on)


def _running(tasks: Sequence[TaskState]) -> str | None:
    """Return the container of the first of these tasks that runs and is to run."""
    running = (one for one in tasks if one.desired == "running" and one.state == "running")
    return next((one.container_id for one in running), None)


@dataclass(frozen=True, kw_only=True)
class BackupView:
    """What the backup op wrote, read back out of restic.

    Where volumes lie on several nodes, each node has a snapshot of its own; they are shown as one.
    """

    app: App
    repositories: Callable[[str], Repository]  # by a node's id

    @property
    def snapshot_ids(self) -> Mapping[str, str]:
        """The ids of the snapshots that the op named, by their nodes' ids; one as a rule."""
        return dict(self.app.facts.seen["backup"]["snapshots"])

    @property
    def snapshot_id(self) -> str:
        """The id of the snapshot that the op named; the first one's where there are several."""
        return str(self.app.facts.seen["backup"]["snapshot"])

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Every regular file in the snapshot, by path, with its size in bytes."""
        found: dict[str, int] = {}
        for repository, directory in self._unpacked:
            found.update(repository.files(directory))
        return found

    def holds(self, path: str) -> bool:
        """Whether the snapshot has that path of its own (`/volumes/...`), be it an empty folder."""
        return any(repository.holds(place, path) for repository, place in self._unpacked)

    def read(self, path: str, *, service: str = "app") -> bytes:
        """Return what the snapshot holds of the file that the service sees at that path."""
        return self.read_own(self.locate(path, service=service))

    def read_own(self, path: str) -> bytes:
        """Return what the snapshot holds at a path of its own (`/volumes/...`)."""
        for repository, directory in self._unpacked[:-1]:
            if repository.holds(directory, path):
                return repository.read(directory, path)
        repository, directory = self._unpacked[-1]
        return repository.read(directory, path)

    @cached_property
    def _unpacked(self) -> tuple[tuple[Repository, str], ...]:
        """The repositories, each with the directory that its snapshot was unpacked to."""
        found = [(self.repositories(node), id_) for node, id_ in self.snapshot_ids.items()]
        return tuple((repository, repository.extract(id_)) for repository, id_ in found)

    def locate(self, path: str, *, service: str = "app") -> str:
        """Return where the snapshot holds what a service sees at that absolute path."""
        return snapshot_path(self.spec, service, path)

    @cached_property
    def spec(self) -> BackupSpec:
        """What the labels ask for."""
        return BackupSpec.of(self.app.snapshot().services, self.app.facts.stack)
