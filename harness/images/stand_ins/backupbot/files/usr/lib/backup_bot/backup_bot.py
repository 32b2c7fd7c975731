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
import signal
import subprocess
import sys
import tempfile
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
MOST_OUTPUT = 16 << 20  # bytes that a hook may write
SHOWN = 4000  # bytes of it that are told
INCOMPLETE = 3  # restic's exit code: there is a snapshot, and some files are not in it
PUT_BACK = Path(__file__).resolve().with_name("put_back.sh")
# A shell that fails with the first part of a pipe, where there is one.
HOOK = (
    'if command -v bash >/dev/null 2>&1; then exec bash -o pipefail -c "$1"; fi; '
    'if (set -o pipefail) 2>/dev/null; then exec sh -o pipefail -c "$1"; fi; '
    'exec sh -c "$1"'
)


class BotError(Exception):
    """An app could not be backed up or restored; the text says why, and `output` is a hook's."""

    def __init__(self, what: str, output: str | None = None) -> None:
        super().__init__(what)
        self.more = {} if output is None else {"output": output}


@dataclass(frozen=True)
class Mount:
    """A volume, by its full name, and where a service mounts it, or which folder of it."""

    volume: str
    target: str
    subpath: str


@dataclass(frozen=True)
class Service:
    """A service: its name without the stack's, labels and mounts of volumes."""

    id: str
    name: str
    stack: str
    labels: Mapping[str, str]
    mounts: Sequence[Mount]

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
            mounts=[
                Mount(
                    mount["Source"],
                    posixpath.normpath(mount["Target"]),
                    (mount.get("VolumeOptions") or {}).get("Subpath", ""),
                )
                for mount in mounts
                if mount["Type"] == "volume" and mount.get("Source")
            ],
        )

    @property
    def enabled(self) -> bool:
        """Whether it turns the backup of its stack on."""
        return self.labels.get(ENABLED, "").strip().lower() == "true"

    def named(self, volume: str) -> list[str] | None:
        """Return what its old label names of one of its volumes; None without such a label."""
        old = _listed(self.labels.get(OLD_PATH, ""), OLD_PATH)
        found = [inside for path in old for name, inside in self._on(path) if name == volume]
        return found if old else None

    def _on(self, path: str) -> list[tuple[str, str]]:
        """Return which volumes a place in its container is on, and where in each.

        A place above mounts has all of them; of mounts within each other, the innermost has it.
        """
        path = posixpath.normpath(path)
        below = [mount for mount in self.mounts if _holds(path, mount.target)]
        above = [mount for mount in self.mounts if _holds(mount.target, path)]
        found = [(mount.volume, mount.subpath) for mount in below]
        if above and all(mount.target != path for mount in below):
            innermost = max(above, key=lambda mount: len(mount.target))
            rest = path[len(innermost.target.rstrip("/")) + 1 :]
            found.append((innermost.volume, posixpath.join(innermost.subpath, rest)))
        return found


def paths_of(services: Sequence[Service]) -> list[Path]:
    """Return what is backed up of a stack's volumes, whichever service mounts them, on the node.

    Raises:
        BotError: a label names a path that may lead out of its volume.
    """
    found: dict[Path, None] = {}
    for volume in dict.fromkeys(one.volume for service in services for one in service.mounts):
        short = volume.removeprefix(f"{services[0].stack}_")
        if any(_lower(s.labels.get(VOLUME + short, "")) == "false" for s in services):
            continue
        label = f"{VOLUME}{short}.path"
        named = [path for s in services for path in _listed(s.labels.get(label, ""), label)]
        old = [s.named(volume) for s in services if volume in {one.volume for one in s.mounts}]
        if not named and any(old):
            named = [path for paths in old for path in paths or ()]
        elif not named and None not in old:
            continue  # the old labels name other places only
        root = VOLUMES / volume / "_data"
        every = [root / path.strip("/") for path in named]
        found.update(dict.fromkeys([root] if root in every else every or [root]))
    return list(found)


def _lower(value: str) -> str:
    return value.strip().lower()


def _listed(value: str, label: str) -> list[str]:
    paths = [part.strip() for part in value.split(",") if part.strip()]
    for path in paths:
        if ".." in Path(path).parts:
            raise BotError(f"the label {label} names {path}: a path must not contain `..`")
    return paths


def _holds(place: str, path: str) -> bool:
    return f"{path}/".startswith(f"{place.rstrip('/')}/")


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
        self._put_back(snapshot)
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
        stacks: dict[str, list[Service]] = {}
        every = self.client.api.services()  # type: ignore[no-untyped-call]  # the stubs lack it
        for service in map(Service.of, every):
            if service.stack:
                stacks.setdefault(service.stack, []).append(service)
        apps = {name: found for name, found in stacks.items() if any(s.enabled for s in found)}
        named = self._stack()
        if named and named not in apps:
            raise BotError(f"no service of {named} has the label {ENABLED}=true")
        return {named: apps[named]} if named else dict(sorted(apps.items()))

    def _back_up(self, stack: str, services: Sequence[Service]) -> None:
        paths = paths_of(services)
        self._hooks(services, "backup.pre-hook")
        wrong = [str(path) for path in paths if not _is_in_place(path)]
        if wrong or not paths:
            raise BotError(f"there is nothing at {', '.join(wrong) or 'any path of ' + stack}")
        self._make_repository()
        vanished = self._snapshot_of(stack, paths)
        self._hooks(services, "backup.post-hook")
        self.say("backed up", app=stack, paths=[str(path) for path in paths], vanished=vanished)

    def _snapshot_of(self, stack: str, paths: Sequence[Path]) -> list[str]:
        """Make a snapshot, and return the files that were gone before they could be read.

        Raises:
            BotError: restic failed, or could not read a file that is still there.
        """
        words = ("backup", "--json", "--host", stack, "--tag", stack, *map(str, paths))
        done = _run("restic", *words)
        unread = _unread(done.stderr)
        there = [path for path in unread if os.path.lexists(path)]
        if done.returncode not in (0, INCOMPLETE) or (done.returncode == INCOMPLETE and there):
            raise BotError(f"restic backup failed: {done.stderr.strip() or done.stdout.strip()}")
        return unread

    def _put_back(self, snapshot: Mapping[str, Any]) -> None:
        """Write a snapshot over the volumes, then delete what came later.

        Raises:
            BotError: that failed half way; it says what is left.
        """
        with tempfile.TemporaryDirectory(dir=self.environ.get("UNPACKED")) as directory:
            self._restic("restore", snapshot["id"], "--target", directory)
            names = [str(Path(path).relative_to(VOLUMES)) for path in snapshot["paths"]]
            log = Path(directory) / "log"
            source = f"{directory}{VOLUMES}"
            done = _run("bash", str(PUT_BACK), source, str(VOLUMES), str(log), *names)
            if done.returncode != 0:
                raise BotError(f"{_left_by(log)}: {done.stderr.strip()}")

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
        code, text = self._exec(str(found[0].id), ["sh", "-c", HOOK, "hook", command])
        if code != 0:
            ended = f"ended with code {code}" if code else f"wrote more than {MOST_OUTPUT} bytes"
            raise BotError(
                f"the {label} of service {service.name} failed: `{command}` in {service.name} "
                f"{ended}",
                output=text,
            )
        self.say(f"the {label} of {service.name}", service=service.name, label=label, output=text)

    def _exec(self, container: str, argv: Sequence[str]) -> tuple[int | None, str]:
        """Run a command in a container; return its code, None if it wrote too much, and output."""
        api = self.client.api
        identity = api.exec_create(container, list(argv))["Id"]
        said = bytearray()
        for piece in api.exec_start(identity, stream=True):
            said += piece
            if len(said) > MOST_OUTPUT:
                return None, said[-SHOWN:].decode(errors="replace")
        code: int = api.exec_inspect(identity)["ExitCode"]
        return code, said.decode(errors="replace")

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
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603  ours


def _unread(said: str) -> list[str]:
    """Return the files that restic could not read, from its lines for programs."""
    found = []
    for line in said.splitlines():
        if line.startswith("{"):
            message = json.loads(line)
            found.append(str(message.get("item", "")))
    return [path for path in dict.fromkeys(found) if path]


def _left_by(log: Path) -> str:
    """Return what a restore that broke off has left, from the script's log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line.partition(" ") for line in lines if not line.endswith("/")]
    lacks = {name for word, _, name in said if word == "lacks"}
    written = [name for word, _, name in said if word == "written" and name not in lacks]
    deleted = [name for word, _, name in said if word in ("removed", "deleting")]
    return (
        f"the restore broke off after {len(written)} file(s) were written, {len(lacks)} were not, "
        f"and {len(deleted)} were deleted"
    )


def _is_in_place(path: Path) -> bool:
    """Whether something is there, and no link leads there: that could leave the volume."""
    return os.path.lexists(path) and path.parent.resolve() == path.parent


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
