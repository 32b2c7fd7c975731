#!/usr/bin/python3
"""The program of the backup bot: backs up and restores apps by the labels of their services.

It runs in a container that has the engine's socket and the volumes of its node, and is called in
there with its words on the command line and its settings in the environment:

    SERVICE=DOMAIN backup -- create             a snapshot of an app; without SERVICE, of each app
    SERVICE=DOMAIN SNAPSHOT=ID backup restore   that snapshot, or the newest one of the app
    SERVICE=DOMAIN backup snapshots             what there is, a line each

With MACHINE_LOGS=true each line that it prints is a JSON object with `level` and `message`. It ends
with 1 when an app could not be backed up or restored, and with 2 when it was called wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

VOLUMES = Path("/var/lib/docker/volumes")  # where each volume's data lie in `_data`
ENABLED = "backupbot.backup"
OLD_PATH = "backupbot.backup.path"
VOLUME = "backupbot.backup.volumes."
NAMESPACE = "com.docker.stack.namespace"
LATEST = "latest"
# A shell that fails with the first part of a pipe, where there is one.
HOOK = 'if command -v bash >/dev/null 2>&1; then exec bash -o pipefail -c "$1"; fi; exec sh -c "$1"'


class BotError(Exception):
    """An app could not be backed up or restored; the text says why, and `output` is a hook's."""

    def __init__(self, what: str, output: str | None = None) -> None:
        super().__init__(what)
        self.more = {} if output is None else {"output": output}


@dataclass(frozen=True)
class Service:
    """A service that asks to be backed up: its name without the stack's, labels and volumes.

    `volumes` maps a volume's full name to where the service mounts it.
    """

    id: str
    name: str
    stack: str
    labels: Mapping[str, str]
    volumes: Mapping[str, str]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Service:
        """Read a service as the engine describes it."""
        spec = raw["Spec"]
        stack = spec["Labels"].get(NAMESPACE, "")
        mounts = spec["TaskTemplate"]["ContainerSpec"].get("Mounts") or []
        return cls(
            id=raw["ID"],
            name=spec["Name"].removeprefix(f"{stack}_"),
            stack=stack,
            labels=spec["Labels"],
            volumes={
                mount["Source"]: mount["Target"]
                for mount in mounts
                if mount["Type"] == "volume" and mount.get("Source")
            },
        )

    @property
    def enabled(self) -> bool:
        """Whether it asks to be backed up."""
        return self.labels.get(ENABLED, "").lower() == "true"

    def paths(self) -> list[Path]:
        """Return what is backed up of its volumes, as it lies on the node."""
        return [path for volume in self.volumes for path in self._of(volume)]

    def _of(self, volume: str) -> list[Path]:
        short = volume.removeprefix(f"{self.stack}_")
        root = VOLUMES / volume / "_data"
        if self.labels.get(VOLUME + short, "").lower() == "false":
            return []
        if named := _listed(self.labels.get(f"{VOLUME}{short}.path", "")):
            return [root / path.strip("/") for path in named]
        if old := _listed(self.labels.get(OLD_PATH, "")):
            found = [_inside(path, self.volumes[volume]) for path in old]
            return [root / path for path in found if path is not None]
        return [root]


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _inside(path: str, target: str) -> str | None:
    """Return where a path of the container lies in what is mounted there; all of it is empty."""
    path, target = posixpath.normpath(path), posixpath.normpath(target)
    if f"{target}/".startswith(f"{path}/"):
        return ""
    return path[len(target) + 1 :] if path.startswith(f"{target}/") else None


@dataclass
class Bot:
    """One call: the engine, the settings, and how it speaks."""

    client: docker.DockerClient
    environ: Mapping[str, str]
    write: Callable[[str], object] = field(default=lambda line: print(line, flush=True))  # noqa: T201  that is how it speaks

    def say(self, message: str, *, level: str = "INFO", **more: object) -> None:
        """Print a line, for a program or for a person."""
        if self.environ.get("MACHINE_LOGS", "").lower() == "true":
            self.write(json.dumps({"level": level, "message": message, **more}))
        else:
            self.write(f"{level} {message}")

    def create(self) -> None:
        """Back up the app that was named, or each one: a failure of one keeps no other from it."""
        failed = []
        for stack, services in self._apps().items():
            try:
                self._back_up(stack, services)
            except BotError as error:
                self.say(str(error), level="ERROR", app=stack, **error.more)
                failed.append(stack)
        if failed:
            raise BotError(f"not backed up: {', '.join(failed)}")
        self.say("backup finished")

    def restore(self) -> None:
        """Bring a snapshot of the app back: what came later is removed."""
        stack = self._stack()
        if not stack:
            raise BotError("SERVICE has to name the app that is restored")
        services = self._apps()[stack]
        snapshot = self._snapshot(stack, self.environ.get("SNAPSHOT") or LATEST)
        self._hooks(services, "restore.pre-hook")
        for path in snapshot["paths"]:
            _empty(Path(path))
        self._restic("restore", snapshot["id"], "--target", "/")
        self._hooks(services, "restore.post-hook")
        self.say("restore finished", app=stack, snapshot_id=snapshot["id"])

    def snapshots(self) -> None:
        """Name the snapshots of the app, or all, the oldest first."""
        for snapshot in self._found(self._stack()):
            self.say(f"{snapshot['time']} {snapshot['id']}", snapshot_id=snapshot["id"])

    def _stack(self) -> str:
        return self.environ.get("SERVICE", "").replace(".", "_")

    def _apps(self) -> dict[str, list[Service]]:
        """Return what asks to be backed up, by stack.

        Raises:
            BotError: an app was named that does not.
        """
        apps: dict[str, list[Service]] = {}
        every = self.client.api.services()  # type: ignore[no-untyped-call]  # the stubs lack it
        for service in map(Service.of, every):
            if service.enabled and service.stack:
                apps.setdefault(service.stack, []).append(service)
        named = self._stack()
        if named and named not in apps:
            raise BotError(f"no service of {named} has the label {ENABLED}=true")
        return {named: apps[named]} if named else dict(sorted(apps.items()))

    def _back_up(self, stack: str, services: Sequence[Service]) -> None:
        self._hooks(services, "backup.pre-hook")
        paths = list(dict.fromkeys(path for service in services for path in service.paths()))
        missing = [str(path) for path in paths if not path.exists()]
        if missing or not paths:
            raise BotError(f"there is nothing at {', '.join(missing) or 'any path of ' + stack}")
        self._make_repository()
        self._restic("backup", "--host", stack, "--tag", stack, *map(str, paths))
        self._hooks(services, "backup.post-hook")
        self.say("backed up", app=stack, paths=[str(path) for path in paths])

    def _snapshot(self, stack: str, wanted: str) -> Mapping[str, Any]:
        found = self._found(stack)
        if wanted != LATEST:
            found = [one for one in found if one["id"].startswith(wanted)]
        if not found:
            raise BotError(f"{stack} has no snapshot {wanted}")
        return found[-1]

    def _found(self, stack: str) -> list[dict[str, Any]]:
        chosen = ("--tag", stack) if stack else ()
        text = self._restic("snapshots", "--json", *chosen)
        return sorted(json.loads(text) or [], key=lambda one: str(one["time"]))

    def _hooks(self, services: Sequence[Service], label: str) -> None:
        for service in services:
            command = service.labels.get(f"backupbot.{label}", "")
            if command.strip():
                self._hook(service, command, label)

    def _hook(self, service: Service, command: str, label: str) -> None:
        found = self.client.containers.list(
            filters={"label": f"com.docker.swarm.service.id={service.id}", "status": "running"}
        )
        if not found:
            raise BotError(f"the {label} of service {service.name} failed: it has no container")
        code, output = found[0].exec_run(["sh", "-c", HOOK, "hook", command])
        text = output.decode(errors="replace") if isinstance(output, bytes) else ""
        if code != 0:
            raise BotError(
                f"the {label} of service {service.name} failed: `{command}` in {service.name} "
                f"ended with code {code}",
                output=text,
            )
        self.say(f"the {label} of {service.name}", service=service.name, label=label, output=text)

    def _make_repository(self) -> None:
        if _run("restic", "cat", "config").returncode != 0:
            self._restic("init")

    def _restic(self, *words: str) -> str:
        done = _run("restic", *words)
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise BotError(f"restic {words[0]} failed: {said}")
        return done.stdout


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run restic, which finds its repository and its password's file in the environment."""
    return subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603  ours


def _empty(path: Path) -> None:
    """Remove what is there, but not a directory itself, which may be mounted."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    else:
        path.unlink(missing_ok=True)


def serve() -> int:
    """Wait until told to end, to be called into meanwhile."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def main(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do one call and return its exit code."""
    parser = argparse.ArgumentParser(prog="backup", description="Back up apps, and restore them.")
    parser.add_argument("act", choices=("serve", "create", "restore", "snapshots"))
    asked = parser.parse_args([word for word in words if word != "--"])
    if asked.act == "serve":
        return serve()
    bot = Bot(docker.from_env(), environ)
    try:
        {"create": bot.create, "restore": bot.restore, "snapshots": bot.snapshots}[asked.act]()
    except BotError as error:
        bot.say(str(error), level="ERROR", **error.more)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
