"""What the backupbot labels of a stack ask for: pure, from a snapshot of its services.

Source of the rules: docs/enroll-recipe.md, "Backup labels". Only labels under `deploy.labels`
count, since those are the ones on the Swarm service.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.docker.snapshot import ServiceState
from harness.errors import BackupError

ENABLED = "backupbot.backup"
OLD_PATH = "backupbot.backup.path"
VOLUME = "backupbot.backup.volumes."
HOOKS = tuple(f"{op}.{when}-hook" for op in ("backup", "restore") for when in ("pre", "post"))
KNOWN = frozenset({ENABLED, OLD_PATH, *(f"backupbot.{hook}" for hook in HOOKS)})


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePart:
    """A volume that is backed up. `paths` are relative to it; empty means the whole volume."""

    volume: str  # the full name, as the engine knows it
    service: str
    target: str  # where that service mounts it
    paths: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all of it is backed up."""
        return not self.paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The commands that one service wants run around a backup and a restore, by label."""

    service: str
    commands: Mapping[str, str]

    @classmethod
    def of(cls, service: ServiceState) -> Hooks:
        """Read a service's hook labels."""
        found = {label: service.labels.get(f"backupbot.{label}", "") for label in HOOKS}
        return cls(service=service.name, commands={k: v for k, v in found.items() if v.strip()})

    def command(self, label: str) -> str:
        """Return the command of `backup.pre-hook` and the like; empty means none."""
        return self.commands.get(label, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSpec:
    """What is backed up, what is left out on purpose, and the hooks around it.

    A volume that two services mount is there twice, once for each, and is backed up once.
    """

    parts: tuple[VolumePart, ...]
    excluded: tuple[str, ...]
    hooks: tuple[Hooks, ...]

    @classmethod
    def of(cls, services: tuple[ServiceState, ...], stack: str) -> BackupSpec:
        """Read the labels of every service that asks for a backup.

        Raises:
            BackupError: a label names a path or a volume that the service does not mount.
        """
        asking = [s for s in services if is_enabled(s.labels)]
        parts: list[VolumePart] = []
        excluded: set[str] = set()
        for service in asking:
            mounted = service.volumes
            _refuse_unknown_volumes(service, stack, mounted)
            _refuse_paths_on_no_volume(service, mounted)
            for volume, target in mounted.items():
                if _setting(service, stack, volume) == "false":
                    excluded.add(volume)
                elif part := _part(service, stack, volume, target):
                    parts.append(part)
        return cls(
            parts=tuple(parts),
            # A volume that one service leaves out and another one does not is backed up.
            excluded=tuple(sorted(excluded - {part.volume for part in parts})),
            hooks=tuple(Hooks.of(service) for service in asking),
        )

    def by_volume(self) -> dict[str, list[str]]:
        """Return which paths of each volume are backed up, sorted; none means all of it."""
        found: dict[str, set[str]] = {}
        for part in self.parts:
            found.setdefault(part.volume, set()).update(part.paths or ("",))
        return {v: [] if "" in paths else sorted(paths) for v, paths in sorted(found.items())}


def short_name(volume: str, stack: str) -> str:
    """Return a volume's name as the compose file has it."""
    return volume.removeprefix(f"{stack}_")


def unknown_labels(labels: Mapping[str, str]) -> list[str]:
    """Return the labels of a service that look like a backup's, and are none that is known."""
    return sorted(
        name
        for name in labels
        if name.startswith("backupbot.") and name not in KNOWN and not name.startswith(VOLUME)
    )


def is_enabled(labels: Mapping[str, str]) -> bool:
    """Whether a service with these labels asks to be backed up."""
    return labels.get(ENABLED, "").lower() == "true"


def _setting(service: ServiceState, stack: str, volume: str) -> str:
    return service.labels.get(VOLUME + short_name(volume, stack), "").lower()


def _refuse_unknown_volumes(service: ServiceState, stack: str, mounted: Mapping[str, str]) -> None:
    short = {short_name(volume, stack) for volume in mounted}
    for label in service.labels:
        name = label.removeprefix(VOLUME).removesuffix(".path")
        if label.startswith(VOLUME) and name not in short:
            raise BackupError(
                f"the label {label} of service {service.name} names no volume that it mounts",
                cause=f"it mounts {', '.join(sorted(short)) or 'no volume'}",
                hint="correct the volume's name in the label",
            )


def _part(service: ServiceState, stack: str, volume: str, target: str) -> VolumePart | None:
    named = service.labels.get(f"{VOLUME}{short_name(volume, stack)}.path", "")
    paths = tuple(path.strip().strip("/") for path in named.split(",") if path.strip().strip("/"))
    old = _old_paths(service)
    if not paths and old:
        inside = [found for path in old if (found := _inside(path, target)) is not None]
        if not inside:
            return None  # the old label names other places only
        paths = () if "." in inside else tuple(inside)
    return VolumePart(volume=volume, service=service.name, target=target, paths=paths)


def _old_paths(service: ServiceState) -> list[str]:
    named = (path.strip() for path in service.labels.get(OLD_PATH, "").split(","))
    return [posixpath.normpath(path) for path in named if path]


def _inside(path: str, target: str) -> str | None:
    """Return where a path of the container lies in the volume mounted there, or None.

    A path above the mount has all of the volume in it: `.`.
    """
    if PurePosixPath(target).is_relative_to(path):
        return "."
    if PurePosixPath(path).is_relative_to(target):
        return str(PurePosixPath(path).relative_to(target))
    return None


def _refuse_paths_on_no_volume(service: ServiceState, mounted: Mapping[str, str]) -> None:
    for path in _old_paths(service):
        if all(_inside(path, target) is None for target in mounted.values()):
            raise BackupError(
                f"the label {OLD_PATH} of service {service.name} names {path}, "
                "which is on no volume",
                cause="what a container keeps outside of its volumes is gone when it is replaced",
                hint="put it on a volume, or take it out of the label",
            )
