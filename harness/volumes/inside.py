"""A running container of the app, as what looks into it sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import docker

from harness.swarm.states import ServiceState
from harness.volumes.census import DISPOSABLE

ADDED, DELETED = 1, 2  # the kind of a change, as `docker diff` has it; 0 is changed
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
USUAL = re.compile(
    r"^/(tmp|run|dev|proc|sys|var/(tmp|run|cache|log|lock|spool))(/|$)|/[.](cache|npm|local|gnupg)(/|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A running container of the app, as its engine shows it.

    Args:
        service: its service.
        client: a client of its node's engine.
        id: the container's id.
        node: the node's id.
        mounts: what is mounted in it, as inspected.
        changes: what was changed in its own layer: kinds by path.
        started: when it was started, in seconds since 1970.
        user: whom it runs as; empty for root.
    """

    service: ServiceState
    client: docker.DockerClient
    id: str
    node: str
    mounts: Sequence[Mapping[str, Any]]
    changes: Mapping[str, int]
    started: float
    user: str = ""

    @classmethod
    def of(
        cls, service: ServiceState, client: docker.DockerClient, identity: str, node: str
    ) -> Inside:
        """Look at a container.

        Raises:
            NotFound: it is gone.
        """
        inspected = client.api.inspect_container(identity)
        changes = client.api.diff(identity) or ()
        return cls(
            service=service,
            client=client,
            id=identity,
            node=node,
            mounts=inspected.get("Mounts") or (),
            changes={one["Path"]: one["Kind"] for one in changes if one["Kind"] != DELETED},
            started=seconds_of(inspected["State"]["StartedAt"]),
            user=str((inspected.get("Config") or {}).get("User") or ""),
        )

    def anonymous(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the place of each anonymous volume where data may be kept."""
        for mount in self.mounts:
            name, place = mount.get("Name", ""), mount["Destination"]
            if mount["Type"] == "volume" and ANONYMOUS.fullmatch(name) and not is_usual(place):
                yield name, place

    def on_volume(self, path: str) -> bool:
        """Whether a path lies on something mounted that outlives the container."""
        kept = (mount["Destination"] for mount in self.mounts if mount["Type"] != "tmpfs")
        return any(lies_in(path, place) for place in kept)


def is_usual(path: str) -> bool:
    """Whether a place is one where programs keep what they can do without."""
    return bool(USUAL.search(path) or re.search(DISPOSABLE, path.lower()))


def lies_in(path: str, place: str) -> bool:
    """Whether a path is a place, or lies below it."""
    return PurePosixPath(path).is_relative_to(place)


def seconds_of(text: str) -> float:
    """Read an engine's time, whose fraction has up to nine digits; 0 if it cannot be read."""
    whole, _, rest = text.partition(".")
    zone = re.sub(r"^\d+", "", rest) if rest else ""
    try:
        return datetime.fromisoformat(f"{whole}{zone}").timestamp()
    except ValueError:
        return 0.0
