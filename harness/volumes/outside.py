"""What an app keeps outside its volumes: in a container's own layer, anonymous volumes, in memory.

All of it is lost with the container, and no backup has it. Findings are warnings, and so is a
volume that a service could write to before and cannot now, because it runs as another user. Places
and names where programs leave what they can do without are passed over.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import docker
from docker.errors import APIError, NotFound

from harness.core.errors import HarnessError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.core.waiting import stretched
from harness.exec.exec import ExecTarget
from harness.swarm.nodes import Nodes
from harness.swarm.states import ServiceState, StackSnapshot
from harness.volumes.census import JOURNALS, Census
from harness.volumes.inside import ADDED, Inside, is_usual, lies_in, seconds_of
from harness.volumes.running import SECONDS, Once, Running

HISTORIES = re.compile(r"^[.](.*_history|wget-hsts|rnd|viminfo|lesshst|dbshell|bashrc|profile)$")
STARTED_SECONDS = 5.0  # a start script that fills in configuration is done by then
DIRECTORY, LINK = 1 << 31, 1 << 27  # of a file's mode, as Go has it
LOOKED_AT = 40  # files of one container
SHOWN = 5


@dataclass(kw_only=True)
class Outside:
    """Finds what one run's app keeps outside its volumes; each finding is told once.

    Args:
        nodes: the engines of the Swarm's nodes.
    """

    nodes: Nodes
    _new: Once = field(default_factory=Once)
    _running: Running = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what looks at processes."""
        self._running = Running(target=self._target)

    def containers(self, look: StackSnapshot) -> tuple[Inside, ...]:
        """Return one running container of each service."""
        found = []
        for service in look.services:
            running = [
                task for task in look.tasks_of(service) if task.container_id in look.containers
            ]
            for task in running[:1]:
                try:
                    client = self.nodes.client_of(task.node_id)
                    found.append(Inside.of(service, client, task.container_id, task.node_id))
                except (NotFound, HarnessError):
                    continue  # it is gone, or its engine cannot be asked
        return tuple(found)

    def ended(self, containers: Sequence[Inside]) -> Iterator[RunWarning]:
        """Yield a warning for each program that ended in a container which runs on."""
        return self._running.ended(containers)

    def anonymous(self, containers: Sequence[Inside]) -> Mapping[str, str]:
        """Return the node of each anonymous volume, by name, so that it can be counted."""
        return {name: one.node for one in containers for name, _ in one.anonymous()}

    def warnings(
        self,
        containers: Sequence[Inside],
        census: Census,
        stage: Stage,
        *,
        in_memory: Sequence[str] = (),
    ) -> Iterator[RunWarning]:
        """Yield what was not told before.

        Args:
            containers: the app's.
            census: what the volumes hold now, the anonymous ones among them.
            stage: the stage that looks.
            in_memory: the short names of volumes that are kept in memory.
        """
        for one in containers:
            yield from self._layer(one, stage)
            yield from self._anonymous(one, census, stage)
            yield from self._tmpfs(one, stage)
            yield from self._links(one, census, stage)
            yield from self._running.warnings(one, stage)
        for name in in_memory:
            if self._new("memory", name):
                yield RunWarning(
                    code=WarningCode.DATA_ON_TMPFS,
                    text=f"volume {name} is kept in memory (tmpfs) and holds files: they are lost "
                    "when the last container that mounts it ends",
                    next="remove its driver_opts, if the files must outlive a restart",
                    stage=stage,
                )

    def _layer(self, one: Inside, stage: Stage) -> Iterator[RunWarning]:
        paths = [path for path in written(one) if self._new("layer", one.service.name, path)]
        if paths:
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            yield RunWarning(
                code=WarningCode.DATA_IN_LAYER,
                text=f"service {one.service.name} writes files outside every volume, which are "
                f"lost with its container: {', '.join(paths[:SHOWN])}{more}",
                next="mount a volume there, if they must outlive the container",
                stage=stage,
            )

    def _anonymous(self, one: Inside, census: Census, stage: Stage) -> Iterator[RunWarning]:
        for name, place in one.anonymous():
            files = census.of(name).files
            asked_for = place in _unnamed(one.service)
            if (files or asked_for) and self._new("anonymous", one.service.name, place):
                why = "its compose file" if asked_for else "its image"
                yield RunWarning(
                    code=WarningCode.ANONYMOUS_VOLUME,
                    text=f"service {one.service.name} keeps {place} in an anonymous volume, which "
                    f"{why} declares ({files} files): each new task starts with another one",
                    next=f"name it in compose.yml: volumes: ['NAME:{place}']",
                    stage=stage,
                )

    def _tmpfs(self, one: Inside, stage: Stage) -> Iterator[RunWarning]:
        for mount in one.mounts:
            place = mount["Destination"]
            if mount["Type"] != "tmpfs" or is_usual(place):
                continue
            files = self._files_in(one, place)
            if files and self._new("tmpfs", one.service.name, place):
                yield RunWarning(
                    code=WarningCode.DATA_ON_TMPFS,
                    text=f"service {one.service.name} keeps {files} in {place}, which is in memory "
                    "(tmpfs): they are lost with its container",
                    next="mount a volume there, if they must outlive the container",
                    stage=stage,
                )

    def _files_in(self, one: Inside, place: str) -> str:
        """Return how many files a folder of a container holds, in words; empty for none.

        The engine's own calls do not see what lies on a tmpfs, so the container is asked.
        """
        try:
            done = self._target(one).exec(
                ["find", place, "-type", "f"], timeout=stretched(SECONDS), check=False
            )
        except HarnessError:
            return "files that cannot be counted"
        names = [name for name in done.text.splitlines() if not _discardable(name)]
        return f"{len(names)} files" if names else ""

    def _target(self, one: Inside) -> ExecTarget:
        return ExecTarget(
            client=one.client, name=one.service.name, resolve=lambda: one.id, nodes=self.nodes
        )

    def _links(self, one: Inside, census: Census, stage: Stage) -> Iterator[RunWarning]:
        for link in census.links:
            for place in (m["Destination"] for m in one.mounts if m.get("Name") == link.volume):
                there = posixpath.join(place, link.path)
                leads = posixpath.normpath(posixpath.join(posixpath.dirname(there), link.target))
                if leaves(one, leads) and self._new("link", one.service.name, there):
                    yield RunWarning(
                        code=WarningCode.LINK_LEAVES_VOLUME,
                        text=f"a link leads out of a volume: {there} of service {one.service.name} "
                        f"points to {leads}, which is lost with the container and in no backup",
                        next="keep the files in the volume itself",
                        stage=stage,
                    )


def _discardable(path: str) -> bool:
    """Whether a file is one that its program can do without, by its folder or its name."""
    name = posixpath.basename(path)
    known = re.search(JOURNALS, name.lower()) or HISTORIES.match(name)
    return is_usual(posixpath.dirname(path)) or bool(known)


def leaves(one: Inside, path: str) -> bool:
    """Whether what a link leads to is neither on a volume nor unchanged from the image."""
    if one.on_volume(path):
        return False
    in_memory = (m["Destination"] for m in one.mounts if m["Type"] == "tmpfs")
    if any(lies_in(path, place) for place in ("/dev/shm", *in_memory)):  # noqa: S108  a container's
        return True
    if one.changes.get(path) == ADDED:
        return True
    below = [changed for changed in sorted(one.changes) if lies_in(changed, path)]
    return any(is_usual(path) or _is_data(one, changed) for changed in below[:LOOKED_AT])


def written(one: Inside) -> list[str]:
    """Return the files that a container wrote into its own layer and that may be data."""
    given = _given_files(one.service)
    candidates = [
        path
        for path in sorted(one.changes)
        if not _discardable(path)
        and not one.on_volume(path)
        and not any(lies_in(path, place) for place in given)
    ]
    above = {str(parent) for path in candidates for parent in PurePosixPath(path).parents}
    leaves_only = [path for path in candidates if path not in above]
    return [path for path in leaves_only[:LOOKED_AT] if _is_data(one, path)]


def _is_data(one: Inside, path: str) -> bool:
    """Whether a path is a file with content, and no configuration filled in at the start."""
    found = _stat(one.client, one.id, path)
    if found is None or found["mode"] & (DIRECTORY | LINK) or not found["size"]:
        return False
    filled_in = path.startswith("/etc/") or one.changes[path] == 0
    return not filled_in or seconds_of(found["mtime"]) > one.started + STARTED_SECONDS


def _stat(client: docker.DockerClient, container: str, path: str) -> dict[str, Any] | None:
    """Return size, mode and mtime of a file in a container; None if it is gone."""
    url = f"{client.api.base_url}/v{client.api.api_version}/containers/{container}/archive"
    try:
        answer = client.api.head(url, params={"path": path}, timeout=stretched(SECONDS))
    except APIError:
        return None
    header = answer.headers.get("X-Docker-Container-Path-Stat")
    found: dict[str, Any] | None = json.loads(base64.b64decode(header)) if header else None
    return found


def _given_files(service: ServiceState) -> tuple[str, ...]:
    """Return the places of the service's configs and secrets, which Swarm puts into a container."""
    spec = service.template["ContainerSpec"]
    files = [
        (kind, (one.get("File") or {}).get("Name", ""))
        for kind in ("Configs", "Secrets")
        for one in spec.get(kind) or ()
    ]
    bases = {"Configs": "/", "Secrets": "/run/secrets"}
    places = [posixpath.join(bases[kind], name) for kind, name in files if name]
    return (*places, "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv")


def _unnamed(service: ServiceState) -> set[str]:
    """Return the places where the compose file asks for a volume without naming it."""
    mounts = service.template["ContainerSpec"].get("Mounts") or ()
    return {
        str(PurePosixPath(mount["Target"]))
        for mount in mounts
        if mount["Type"] == "volume" and not mount.get("Source")
    }
