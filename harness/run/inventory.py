"""What a snapshot holds of each of the app's volumes, beside what the labels declare of it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.assertions.app import BackupView
from harness.backups.labels import BackupSpec, short_name
from harness.backups.restic import VOLUMES
from harness.core.measured import VolumeContent
from harness.swarm.states import ServiceState


def files_in(view: BackupView) -> Mapping[str, int]:
    """Return every regular file in the snapshot, with its size."""
    found: dict[str, int] = {}
    for node, identity in view.snapshot_ids.items():
        repository = view.repositories(node)
        found.update(repository.files(repository.extract(identity)))
    return found


def contents(
    services: tuple[ServiceState, ...], spec: BackupSpec, files: Mapping[str, int], *, stack: str
) -> tuple[VolumeContent, ...]:
    """Return every volume that a service mounts, declared or not, and what was found of it.

    Args:
        services: of the stack, as it was backed up.
        spec: what their labels ask for.
        files: sizes by path, as in the snapshot.
        stack: the stack's name.
    """
    mounts: dict[str, dict[str, str]] = {}
    for service in services:
        for one in service.volumes:
            places = mounts.setdefault(one.volume, {})
            also = f"{places[service.name]}, " if service.name in places else ""
            places[service.name] = also + one.target
    declared = spec.by_volume()
    found = []
    for volume, places in sorted(mounts.items()):
        sizes = [n for path, n in files.items() if path.startswith(f"{VOLUMES}/{volume}/")]
        word = "left out" if volume in spec.excluded else "not asked for"
        if volume in declared:
            word = ", ".join(declared[volume]) or "whole"
        found.append(
            VolumeContent(
                volume=short_name(volume, stack), mounts=places, declared=word,
                files=len(sizes), bytes=sum(sizes),
            )
        )  # fmt: skip
    return tuple(found)
