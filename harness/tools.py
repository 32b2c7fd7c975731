"""The harness's own containers beside an app: one reads, one has the app's volumes.

The *reader* is on the network that apps are on, and asks them for pages; the backup repository is
made in it while the app comes up, so that no stage waits for that. The *vault* is started for the
backup, once the app's volumes exist: mounting a volume that does not exist yet would make it.

Volumes are local to a node. Where some lie on other nodes, each of these has a vault and a
repository of its own.
"""

from __future__ import annotations

import io
import re
import secrets
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import Mount

from harness.backups.restic import (
    ENVIRONMENT,
    EXTRACTED,
    PASSWORD_FILE,
    REPOSITORY,
    VOLUMES,
    Repository,
)
from harness.docker.exec import ExecTarget
from harness.docker.nodes import Nodes
from harness.errors import EngineError, TestBedError
from harness.waiting import Deadline, retry

IDLE = ("sleep", "infinity")
NETWORK_FORGOTTEN = re.compile(r"network \S+ not found|could not find network", re.IGNORECASE)
ATTEMPTS = 10
# Makes /volumes/NAME of an unpacked .../volumes/NAME/_data; fails when there is none.
SORTED = """
for data in "$1".raw/var/lib/docker/volumes/*/_data; do
    volume=${data%/_data}
    mv "$data" "$1".part/volumes/"${volume##*/}"
done
rm -rf "$1".raw
mv "$1".part "$1"
"""
ATTACH_SECONDS = 30.0


@dataclass(kw_only=True)
class ToolContainers:
    """Starts the two containers of one run; both carry the run's labels and are swept with it.

    Args:
        client: a client of the engine that runs the app's containers.
        image: the tool image, with restic and curl in it.
        stack: the stack's name, from which the containers' and the volume's names are made.
        labels: the run's labels.
        network: the network that apps are on.
        note: is told of every start that had to be tried again.
        nodes: where there are other nodes: their engines.
    """

    client: docker.DockerClient
    image: str
    stack: str
    labels: Mapping[str, str]
    network: str = "proxy"
    note: Callable[[str], None] = field(default=lambda _: None)
    nodes: Nodes | None = None
    _vaults: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    _reader: str = ""
    _others: set[str] = field(default_factory=set)  # the other nodes that have a repository
    _password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def start_reader(self) -> str:
        """Start the reader, make the repository in it, and return the container's id."""
        self.client.volumes.create(self._volume, labels=dict(self.labels))
        mounts = [self._repository_mount()]
        self._reader = self._start("reader", mounts, network=self.network, client=self.client)
        self._repository(self._reader, self.client).init()
        return self._reader

    def vault(self, volumes: tuple[str, ...], *, node: str = "") -> Repository:
        """Return the repository as seen from a container that has those volumes mounted.

        One that was started before and has them all is used again.

        Args:
            volumes: their full names.
            node: the id of the other node that they lie on; empty means the manager's.
        """
        client = self.nodes.client_of(node) if self.nodes and node else self.client
        for identity, (place, mounted) in self._vaults.items():
            if place == node and mounted >= set(volumes):
                return self._repository(identity, client)
        role = f"vault-{len(self._vaults) + 1}"
        # A volume that no task has needed yet is made here, and must be found by the clean-up too.
        mounts = [
            Mount(f"{VOLUMES}/{name}", name, type="volume", no_copy=True, labels=dict(self.labels))
            for name in volumes
        ]
        mounts = [self._repository_mount(), *mounts]
        if node and node not in self._others:
            client.volumes.create(self._volume, labels=dict(self.labels))
        identity = self._start(role, mounts, network="none", client=client)
        repository = self._repository(identity, client)
        if node and node not in self._others:
            repository.init()
            self._others.add(node)
        self._vaults[identity] = (node, frozenset(volumes))
        return repository

    def unpack(self, snapshot: str, archive: Path) -> None:
        """Put the volumes of a bot's snapshot where assertions look for that snapshot.

        Args:
            snapshot: its id.
            archive: a tar of `/var/lib/docker/volumes`, as restic dumps it.

        Raises:
            TestBedError: there is no volume in it.
        """
        directory = f"{EXTRACTED}/{snapshot}"
        target = self._repository(self._reader, self.client).target
        target.exec(["mkdir", "-p", f"{directory}.raw", f"{directory}.part{VOLUMES}"], timeout=60)
        with archive.open("rb") as stream:
            self.client.containers.get(self._reader).put_archive(f"{directory}.raw", stream)
        done = target.exec(["sh", "-ec", SORTED, "ccci", directory], timeout=60, check=False)
        if done.code != 0:
            raise TestBedError(
                f"the snapshot {snapshot[:8]} of the backup bot holds no volume",
                cause="it keeps volumes at another place than /var/lib/docker/volumes/NAME/_data",
                hint="--backup-driver restic needs no bot",
                detail=done.stderr.decode(errors="replace"),
            )

    @property
    def _volume(self) -> str:
        return f"{self.stack}_ccci-repository"

    def _repository_mount(self) -> Mount:
        return Mount(REPOSITORY, self._volume, type="volume")

    def _repository(self, identity: str, client: docker.DockerClient) -> Repository:
        target = ExecTarget(client=client, name="the tool container", resolve=lambda: identity)
        return Repository(target=target)

    def _start(
        self, role: str, mounts: list[Mount], *, network: str, client: docker.DockerClient
    ) -> str:
        """Start a container, and return its id.

        When the last container leaves an overlay network, its node forgets the network, and a
        container that joins in that moment is told that there is none. Nothing has been started
        then, so it is safe to try again.
        """

        def once(_attempt: int) -> str:
            container = self._create(role, mounts, network, client)
            try:
                container.put_archive("/", _password_archive(self._password))
                container.start()
            except APIError as error:
                container.remove(force=True)
                if NETWORK_FORGOTTEN.search(str(error.explanation)):
                    raise _NetworkForgottenError(str(error.explanation)) from error
                raise
            return str(container.id)

        try:
            return retry(
                once,
                on=_NetworkForgottenError,
                attempts=ATTEMPTS,
                deadline=Deadline.after(ATTACH_SECONDS),
                note=lambda attempt, error: self.note(f"starting the {role}, {attempt}: {error}"),
            )
        except _NetworkForgottenError as error:
            raise EngineError(
                f"no container can join the network {network}: {error}",
                hint="docker network inspect it; the engine's log says more",
            ) from error

    def _create(
        self, role: str, mounts: list[Mount], network: str, client: docker.DockerClient
    ) -> Container:
        return client.containers.create(
            self.image,
            list(IDLE),
            name=f"{self.stack}_ccci-{role}",
            labels={**self.labels, "ccci.role": role},
            environment=ENVIRONMENT,
            mounts=mounts,
            network=network,
            init=True,
            use_config_proxy=False,
        )


class _NetworkForgottenError(Exception):
    """The node forgot the network while a container was joining it."""


def _password_archive(password: str) -> bytes:
    """Return a tar with the repository's password in it, readable by root alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(PASSWORD_FILE.lstrip("/"))
        entry.size, entry.mode = len(password), 0o600
        archive.addfile(entry, io.BytesIO(password.encode()))
    return buffer.getvalue()
