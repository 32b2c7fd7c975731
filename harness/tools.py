"""The harness's own containers beside an app: one reads, one has the app's volumes.

The *reader* is on the network that apps are on, and asks them for pages; the backup repository is
made in it while the app comes up, so that no stage waits for that. The *vault* is started for the
backup, once the app's volumes exist: mounting a volume that does not exist yet would make it.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

import docker
from docker.types import Mount

from harness.backups.restic import ENVIRONMENT, PASSWORD_FILE, REPOSITORY, VOLUMES, Repository
from harness.docker.exec import ExecTarget

IDLE = ("sleep", "infinity")


@dataclass(kw_only=True)
class ToolContainers:
    """Starts the two containers of one run; both carry the run's labels and are swept with it.

    Args:
        client: a client of the engine that runs the app's containers.
        image: the tool image, with restic and curl in it.
        stack: the stack's name, from which the containers' and the volume's names are made.
        labels: the run's labels.
        network: the network that apps are on.
    """

    client: docker.DockerClient
    image: str
    stack: str
    labels: Mapping[str, str]
    network: str = "proxy"
    _password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def start_reader(self) -> str:
        """Start the reader, make the repository in it, and return the container's id."""
        self.client.volumes.create(self._volume, labels=dict(self.labels))
        identity = self._start("reader", [self._repository_mount()], network=self.network)
        self._repository(identity).init()
        return identity

    def vault(self, volumes: tuple[str, ...]) -> Repository:
        """Return the repository as seen from a container that has those volumes mounted."""
        mounts = [Mount(f"{VOLUMES}/{name}", name, type="volume", no_copy=True) for name in volumes]
        identity = self._start("vault", [self._repository_mount(), *mounts], network="none")
        return self._repository(identity)

    @property
    def _volume(self) -> str:
        return f"{self.stack}_ccci-repository"

    def _repository_mount(self) -> Mount:
        return Mount(REPOSITORY, self._volume, type="volume")

    def _repository(self, identity: str) -> Repository:
        target = ExecTarget(client=self.client, name="the tool container", resolve=lambda: identity)
        return Repository(target=target)

    def _start(self, role: str, mounts: list[Mount], *, network: str) -> str:
        container = self.client.containers.create(
            self.image,
            list(IDLE),
            name=f"{self.stack}_ccci-{role}",
            labels={**self.labels, "ccci.role": role},
            environment=ENVIRONMENT,
            mounts=mounts,
            network=network,
            init=True,
        )
        container.put_archive("/", _password_archive(self._password))
        container.start()
        return str(container.id)


def _password_archive(password: str) -> bytes:
    """Return a tar with the repository's password in it, readable by root alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(PASSWORD_FILE.lstrip("/"))
        entry.size, entry.mode = len(password), 0o600
        archive.addfile(entry, io.BytesIO(password.encode()))
    return buffer.getvalue()
