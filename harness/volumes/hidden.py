"""Files of an image that a volume hides: docker fills a volume only while that is empty.

An upgrade whose volume still has the base's pages or programs serves the old version, in part or in
whole, and looks like a success. Where the app itself brings the files up to date, nothing is told.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

import docker
from docker.errors import APIError

from harness.core.model import RunWarning, Stage, WarningCode
from harness.swarm.nodes import Nodes
from harness.swarm.states import ServiceState, StackSnapshot
from harness.volumes.census import JOURNALS

JOURNAL = re.compile(JOURNALS)
LARGEST = 64 << 20  # bytes of an image's folder that are read, 512 more for each file
HEAD = 512  # bytes of an archive before each file: there may be any number of empty ones
PIECE = 1 << 16  # bytes
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Compares what images of the base and the head have at the places of volumes.

    Args:
        nodes: the engines of the Swarm's nodes.
        labels: the run's, for containers that are made to read an image, and never started.
        sums: returns the checksums of files of a volume, by path; what it lacks is left out.
        stack: the stack's name.
    """

    nodes: Nodes
    labels: Mapping[str, str]
    sums: Callable[[str, str, Collection[str]], Mapping[str, str]]
    stack: str

    def warnings(self, before: StackSnapshot, after: StackSnapshot) -> Iterator[RunWarning]:
        """Yield a warning for each volume that still has what the base's image put there."""
        for service in after.services:
            old = before.service(service.name)
            if old is None or old.image == service.image:
                continue
            node = next((t.node_id for t in after.tasks_of(service) if t.container_id), "")
            for volume, place in sorted(_places(old) & _places(service)) if node else ():
                paths = self._stale(old.image, service.image, volume, place, node)
                if paths:
                    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                    yield RunWarning(
                        code=WarningCode.VOLUME_HIDES_IMAGE,
                        text=f"volume {volume.removeprefix(f'{self.stack}_')} of service "
                        f"{service.name} hides files of the head's image at {place}: it still has "
                        f"those of the base's ({', '.join(paths[:SHOWN])}{more})",
                        next="copy them at the start; docker fills a volume only while it is empty",
                        stage=Stage.UPGRADE,
                    )

    def _stale(self, old: str, new: str, volume: str, place: str, node: str) -> list[str]:
        """Return the files that differ between two images, and are as in the old one."""
        client = self.nodes.client_of(node)
        base = contents(client, old, place, self.labels)
        head = contents(client, new, place, self.labels) if base else {}
        changed = sorted(path for path in base.keys() & head.keys() if base[path] != head[path])
        there = self.sums(volume, node, changed) if changed else {}
        return [path for path in changed if there.get(path) == base[path]]


def _places(service: ServiceState) -> set[tuple[str, str]]:
    """Return the named volumes of the app that a service mounts in whole, and where."""
    return {(m.volume, m.target) for m in service.volumes if not m.subpath and not m.foreign}


def contents(
    client: docker.DockerClient, image: str, place: str, labels: Mapping[str, str]
) -> dict[str, str]:
    """Return the checksums of the files that an image has in a folder, by their path in it.

    Nothing where it has no such folder, or where that is too large to be read.
    """
    try:
        made = client.api.create_container(image, ["true"], labels=dict(labels))["Id"]
    except APIError:
        return {}
    try:
        stream, _ = client.api.get_archive(made, place, chunk_size=PIECE)
        return _sums(stream)
    except (APIError, tarfile.TarError):
        return {}
    finally:
        client.api.remove_container(made, v=True, force=True)


def _sums(stream: Iterator[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    size = 0
    with tarfile.open(fileobj=cast("Any", _Reader(stream)), mode="r|") as archive:
        for member in archive:
            size += HEAD + member.size
            if size > LARGEST:
                return {}
            file = archive.extractfile(member) if member.isreg() else None
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if file and not JOURNAL.search(path.name.lower()):
                found[str(path)] = hashlib.sha256(file.read()).hexdigest()
    return found


class _Reader:
    """A file to read from, made of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer at the end."""
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        found, self._left = self._left[:size], self._left[size:]
        return found
