"""The backup bot of a run: the one that the server has, else one of the harness's own.

abra finds a bot by a label on its service, and there may be one only, so a run has it to itself for
the length of a backup or a restore, by lock. A bot of the harness's own is there only for so long;
its repository, and the repository's password, stay until the run is removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount, RestartPolicy, SecretReference

from harness.backups.bot import VOLUMES, Bot, Said
from harness.core.errors import TestBedError, WaitTimeoutError
from harness.core.waiting import Deadline, stretched, wait_for
from harness.exec.exec import ExecTarget
from harness.images.images import StandIn
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.base import Target
from harness.platforms.override import own_labels
from harness.swarm.sweep import RUN_LABEL

LABEL = "coop-cloud.backupbot.enabled"  # of a bot's service: what abra looks for
SOCKET = "/var/run/docker.sock"
PASSWORD = "restic_password"  # noqa: S105  the name of a secret
LEAVING_SECONDS = 60.0


@dataclass(kw_only=True)
class BackupBots:
    """Gives one run its bot.

    Args:
        client: a client of a manager's engine.
        node: the id of that engine's node.
        socket: where that engine's socket is on its own machine.
        target: the run's names.
        image: makes sure that the image of our own bot is there, and returns it.
        lock: holds the lock of the engine's bot for the length of a block.
        say: is told which bot it is.
    """

    client: docker.DockerClient
    node: str
    socket: str
    target: Target
    image: Callable[[], StandIn]
    lock: Callable[[], AbstractContextManager[None]]
    say: Callable[[str], None] = field(default=lambda _: None)
    _secret: str = field(default="", init=False)

    @contextmanager
    def serving(self) -> Iterator[Bot]:
        """Give the bot to this run alone for the length of the block.

        Raises:
            TestBedError: there are several, or one of another run does not go away.
            LockTimeoutError: another run held it for too long.
            ImageError: the image of our own cannot be built.
        """
        with self.lock():
            if found := self._of_the_server():
                bot = self._bot(found)
                self.say(f"backup bot  {bot.name}, which is the server's own")
                yield bot
                return
            stand_in = self.image()
            self._await_others()
            service = self._start(stand_in.reference)
            try:
                bot = self._bot(service, note=f"{stand_in.note}; the server has none")
                bot.container.current()  # abra waits for none
                self.say(f"backup bot  {bot.name}, one of the harness's own")
                yield bot
            finally:
                self._remove(service["ID"])

    def _services(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.client.api.services(filters={"label": LABEL})  # type: ignore[no-untyped-call]  # stubs lack it
        return found

    def _of_the_server(self) -> Mapping[str, Any] | None:
        """Return the bot that no run has started.

        Raises:
            TestBedError: there are several.
        """
        found = [raw for raw in self._services() if RUN_LABEL not in raw["Spec"]["Labels"]]
        if len(found) > 1:
            raise TestBedError(
                f"there are {len(found)} backup bots on the server: {_names(found)}",
                cause=f"each of these services has the label {LABEL}, and abra takes one only",
                hint="remove one of them; or --backup-driver restic, which needs no bot",
            )
        return found[0] if found else None

    def _await_others(self) -> None:
        """Wait until no other run has a bot: one that has another cache does not share our lock.

        Raises:
            TestBedError: one stays.
        """
        try:
            wait_for(
                self._services, what="the end of another run's backup bot",
                deadline=Deadline.after(stretched(LEAVING_SECONDS)), ready=lambda found: not found,
            )  # fmt: skip
        except WaitTimeoutError as error:
            raise TestBedError(
                f"another run's backup bot is in the way: {_names(self._services())}",
                cause="that run has another cache directory, so the two share no lock; or it died",
                hint="wait for its end, or `nox -s reap`; --backup-driver restic needs no bot",
            ) from error

    def _start(self, image: str) -> Mapping[str, Any]:
        """Start a bot of our own on the manager's node."""
        stack, labels = self.target.stack, own_labels(self.target)
        backups, secret = f"{stack}_ccci-backups", f"{stack}_ccci-restic"
        self.client.volumes.create(backups, labels=labels)
        if not self._secret:
            made = self.client.api.create_secret(secret, secrets.token_hex(24).encode(), labels)
            self._secret = made["ID"]
        root = self.client.info()["DockerRootDir"]
        made = self.client.services.create(  # type: ignore[no-untyped-call]  # the same
            image,
            name=f"{stack}_ccci-backupbot",
            labels={**labels, LABEL: "true"},
            container_labels=labels,
            constraints=[f"node.id=={self.node}"],
            restart_policy=RestartPolicy(condition="none"),
            env=[
                "RESTIC_REPOSITORY=/backups/restic",
                "UNPACKED=/backups",
                f"RESTIC_PASSWORD_FILE=/run/secrets/{PASSWORD}",
            ],
            secrets=[SecretReference(self._secret, secret, filename=PASSWORD)],
            mounts=[
                Mount(SOCKET, self.socket, type="bind"),
                Mount(VOLUMES, f"{root}/volumes", type="bind"),
                Mount("/backups", backups, type="volume"),
            ],
        )
        attributes: Mapping[str, Any] = made.attrs
        return attributes

    def _remove(self, service: str) -> None:
        """Remove our own bot, and its container at once: the Swarm takes seconds to do so.

        It is not an error if something else removes the container at the same time.
        """
        container = None
        with suppress(TestBedError):
            container = self._container(service)
        with suppress(NotFound):
            self.client.api.remove_service(service)  # type: ignore[no-untyped-call]  # stubs lack it
        if container:
            try:
                self.client.api.remove_container(container, force=True)
            except APIError as error:
                if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    raise

    def _bot(self, service: Mapping[str, Any], *, note: str = "") -> Bot:
        name = str(service["Spec"]["Name"])
        return Bot(
            container=ExecTarget(
                client=self.client, name=name, resolve=lambda: self._container(service["ID"])
            ),
            name=name,
            note=note,
        )

    def _container(self, service: str) -> str | None:
        """Return the container of the service's task that runs on this engine's node."""
        wanted = {"service": service, "desired-state": "running"}
        try:
            tasks = self.client.api.tasks(filters=wanted)  # type: ignore[no-untyped-call]  # the same
        except NotFound as error:
            raise TestBedError(
                "the backup bot went away while it was needed",
                cause="somebody removed its service, or deployed another one in its place",
                hint="run again; --backup-driver restic needs no bot",
            ) from error
        for task in tasks:
            if task["Status"]["State"] == "running" and task["NodeID"] == self.node:
                return str(task["Status"]["ContainerStatus"]["ContainerID"])
        return None


@dataclass(frozen=True, slots=True)
class ThroughAbra:
    """Has abra call the bot, as an operator does; abra finds it by itself."""

    platform: AbraPlatform

    def create(self, _bot: Bot, _domain: str) -> Said:
        """See `Caller.create`."""
        code, text = self.platform.backup_create()
        return Said(code=code, text=text)

    def restore(self, _bot: Bot, _domain: str, snapshot: str) -> Said:
        """See `Caller.restore`."""
        code, text = self.platform.restore(snapshot)
        return Said(code=code, text=text)


def _names(services: list[Mapping[str, Any]]) -> str:
    return ", ".join(sorted(raw["Spec"]["Name"] for raw in services))
