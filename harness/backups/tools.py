"""The harness's own containers beside an app: readers have the repository, vaults the volumes.

The *reader* asks the app for pages and reads the backup repository. It joins the network that apps
are on to ask, and leaves it before anything may replace the app's containers. A *vault* has the
app's volumes mounted for the length of a block and is removed at its end: a volume that stays
mounted keeps data alive that the app's own restart would lose (docs/decisions/0031-observer.md).

Volumes are local to a node. Where some lie on other nodes, each of these has a repository of its
own, and a reader that is on no network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount

from harness.backups.restic import (
    ENVIRONMENT,
    EXTRACTED,
    STORE,
    VOLUMES,
    Repository,
    empty_repository,
)
from harness.core.driver_options import own_data
from harness.core.errors import EngineError, TestBedError
from harness.core.network_names import PROXY
from harness.core.waiting import Deadline, retry, stretched
from harness.exec.exec import ExecTarget
from harness.swarm.nodes import Nodes

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
SORT_SECONDS = 60.0


@dataclass(kw_only=True)
class ToolContainers:
    """Starts the containers of one run; all carry the run's labels and are swept with it.

    Args:
        client: a client of the engine that runs the app's containers.
        image: the tool image, with restic and curl in it.
        stack: the stack's name, from which the containers' and the volume's names are made.
        labels: the run's labels.
        network: the network that apps are on.
        note: is told of every attempt that had to be repeated.
        nodes: where there are other nodes: their engines.
        readers: the ids of the readers on other nodes, by the node's id; it grows.
    """

    client: docker.DockerClient
    image: str
    stack: str
    labels: Mapping[str, str]
    network: str = PROXY
    note: Callable[[str], None] = field(default=lambda _: None)
    nodes: Nodes | None = None
    readers: dict[str, str] = field(default_factory=dict)
    _reader: str = ""
    _joined: bool = False
    _vaults: int = 0  # started so far, for their names

    def start_reader(self) -> str:
        """Start the reader with an empty repository, and return the container's id."""
        self._reader = self._start_reader("reader", self.client)
        # Docker puts a container on the network `none` on no other network beside it.
        self.client.networks.get("none").disconnect(self._reader)
        return self._reader

    def join(self) -> None:
        """Put the reader on the network that apps are on, unless it is there already.

        Raises:
            EngineError: the network cannot be joined.
        """
        if not self._joined:
            self._patiently("joining the network", self._connect)
            self._joined = True

    def leave(self) -> None:
        """Take the reader off the network, so that nothing of ours is there under a name."""
        if self._joined:
            self._joined = False
            try:
                self.client.networks.get(self.network).disconnect(self._reader, force=True)
            except NotFound:
                self.note(f"the network {self.network} is gone already")

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Keep the reader on the network for the length of the block."""
        self.join()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def vault(self, volumes: tuple[str, ...], *, node: str = "") -> Iterator[Repository]:
        """Give the repository as seen from a container that has those volumes mounted.

        Args:
            volumes: their full names.
            node: the id of the other node that they lie on; empty means the manager's.

        Raises:
            TestBedError: one leads to data that the run did not make.
        """
        client = self.nodes.client_of(node) if self.nodes and node else self.client
        _require_own(client, volumes)
        if node and node not in self.readers:
            self.readers[node] = self._start_reader("reader", client)
        # A volume that no task has needed yet is made here, and must be found by the clean-up too.
        mounts = [
            Mount(f"{VOLUMES}/{name}", name, type="volume", no_copy=True, labels=dict(self.labels))
            for name in volumes
        ]
        self._vaults += 1
        container = self._start(
            f"vault-{self._vaults}", [self._repository_mount(), *mounts], client=client
        )
        try:
            yield self._repository(container, client)
        finally:
            with suppress(NotFound):
                client.containers.get(container).remove(force=True)

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
        target.exec(
            ["mkdir", "-p", f"{directory}.raw", f"{directory}.part{VOLUMES}"],
            timeout=stretched(SORT_SECONDS),
        )
        with archive.open("rb") as stream:
            self.client.containers.get(self._reader).put_archive(f"{directory}.raw", stream)
        done = target.exec(
            ["sh", "-ec", SORTED, "ccci", directory], timeout=stretched(SORT_SECONDS), check=False
        )
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
        return Mount(STORE, self._volume, type="volume")

    def _repository(self, identity: str, client: docker.DockerClient) -> Repository:
        target = ExecTarget(client=client, name="the tool container", resolve=lambda: identity)
        return Repository(target=target)

    def _start_reader(self, role: str, client: docker.DockerClient) -> str:
        """Start a container that has the repository's volume alone, with an empty one in it."""
        client.volumes.create(self._volume, labels=dict(self.labels))
        mounts = [self._repository_mount()]
        return self._start(role, mounts, client=client, files=empty_repository())

    def _start(
        self, role: str, mounts: list[Mount], *, client: docker.DockerClient, files: bytes = b""
    ) -> str:
        """Start a container on no network, with the files of a tar in it, and return its id."""
        container = client.containers.create(
            self.image,
            list(IDLE),
            name=f"{self.stack}_ccci-{role}",
            labels={**self.labels, "ccci.role": role},
            environment=ENVIRONMENT,
            mounts=mounts,
            network="none",
            init=True,
            use_config_proxy=False,
        )
        try:
            if files:
                container.put_archive("/", files)
            container.start()
        except APIError:
            container.remove(force=True)
            raise
        return str(container.id)

    def _connect(self, _attempt: int) -> None:
        """Join the network once.

        When the last container leaves an overlay network, its node forgets the network, and a
        container that joins in that moment is told that there is none.
        """
        try:
            self.client.networks.get(self.network).connect(self._reader)
        except APIError as error:
            if NETWORK_FORGOTTEN.search(str(error.explanation)):
                raise _NetworkForgottenError(str(error.explanation)) from error
            raise

    def _patiently(self, what: str, once: Callable[[int], None]) -> None:
        """Try until the node knows the network again: nothing has happened until then."""
        try:
            retry(
                once,
                on=_NetworkForgottenError,
                attempts=ATTEMPTS,
                deadline=Deadline.after(stretched(ATTACH_SECONDS)),
                note=lambda attempt, error: self.note(f"{what}, {attempt}: {error}"),
            )
        except _NetworkForgottenError as error:
            raise EngineError(
                f"no container can join the network {self.network}: {error}",
                hint="docker network inspect it; the engine's log says more",
            ) from error


def _require_own(client: docker.DockerClient, volumes: Sequence[str]) -> None:
    """Refuse to mount a volume that leads to the host: the harness writes no file there.

    Raises:
        TestBedError: one does.
    """
    for name in volumes:
        with suppress(NotFound):
            found = client.api.inspect_volume(name)
            if found.get("Driver", "local") != "local" or not own_data(found.get("Options") or {}):
                raise TestBedError(
                    f"the volume {name} leads to data that the run did not make",
                    cause="it was made with options of a driver, which it keeps",
                    hint="leave it out of the backup: backupbot.backup.volumes.NAME: 'false'",
                )


class _NetworkForgottenError(Exception):
    """The node forgot the network while a container was joining it."""
