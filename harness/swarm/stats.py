"""How much memory services took, and how large their images and volumes are.

The kernel's own peak of a container is exact, with the page cache in it. Engines hand it on for
cgroups of version 1 (`max_usage`); of version 2 it is read from the cgroup itself, which takes an
engine on this machine. Elsewhere it is what is in use at the moment, and said to be that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from harness.core.image_names import parsed
from harness.swarm.nodes import Nodes
from harness.swarm.states import NAMESPACE_LABEL, StackSnapshot

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The bytes that a service's containers took. `exact` is False for a moment's value."""

    bytes: int
    exact: bool


def memory(nodes: Nodes, look: StackSnapshot, *, local: bool) -> Mapping[str, Memory]:
    """Return the peak of each service: that of its containers that run now, summed.

    Args:
        nodes: the engines of the Swarm's nodes.
        look: a look at the stack.
        local: whether the manager's engine runs on this machine.
    """
    found = {}
    for service in look.services:
        peaks = [
            peak
            for task in look.tasks_of(service)
            if task.state == "running" and look.sees(task.node_id)
            if (peak := _peak(nodes, task.container_id, own=local and task.node_id == nodes.own))
        ]
        if peaks:
            found[service.name] = Memory(
                bytes=sum(peak.bytes for peak in peaks), exact=all(peak.exact for peak in peaks)
            )
    return found


def _peak(nodes: Nodes, container: str, *, own: bool) -> Memory | None:
    api = nodes.having(container).api
    try:
        found = api.stats(container, stream=False, one_shot=True).get("memory_stats") or {}
        if "max_usage" in found:
            return Memory(bytes=int(found["max_usage"]), exact=True)
        pid = int(api.inspect_container(container)["State"]["Pid"]) if own else 0
    except NotFound:
        return None
    if pid and (peak := peak_of(pid)):
        return Memory(bytes=peak, exact=True)
    return Memory(bytes=int(found["usage"]), exact=False) if "usage" in found else None


def peak_of(pid: int, *, proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """Return the peak of the cgroup that a process is in, or 0 where none is kept (cgroups(7))."""
    with suppress(OSError, ValueError):
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            if line.startswith("0::"):
                path = cgroup / line.removeprefix("0::").strip().lstrip("/") / "memory.peak"
                return int(path.read_text())
    return 0


def image_sizes(client: docker.DockerClient, images: Iterable[str]) -> Mapping[str, int]:
    """Return the size of each image that the engine has."""
    found = {}
    for image in dict.fromkeys(images):
        with suppress(NotFound, APIError):
            found[image] = int(client.images.get(image).attrs["Size"])
    return found


def image_digests(client: docker.DockerClient, images: Iterable[str]) -> Mapping[str, str]:
    """Return the digest of each image that the engine has: the registry's, else the engine's id."""
    found = {}
    for image in dict.fromkeys(images):
        with suppress(NotFound, APIError):
            attributes = client.images.get(image).attrs
            known = [one.partition("@") for one in attributes.get("RepoDigests") or ()]
            name = parsed(image)
            digests = [digest for repository, _, digest in known if repository == name.repository]
            found[image] = name.digest or next(iter(digests), str(attributes["Id"]))
    return found


def volume_sizes(nodes: Nodes, stack: str) -> Mapping[str, int]:
    """Return the size of each volume of the stack, on any node, by its full name."""
    found: dict[str, int] = {}
    for client in (nodes.client, *(client for _, client in nodes.each_other())):
        for raw in client.api.df().get("Volumes") or ():
            if (raw.get("Labels") or {}).get(NAMESPACE_LABEL) == stack:
                used: Mapping[str, Any] = raw.get("UsageData") or {}
                taken = max(0, int(used.get("Size", 0)))  # -1 where its driver cannot say
                found[raw["Name"]] = found.get(raw["Name"], 0) + taken
    return found
