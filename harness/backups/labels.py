"""What the backupbot labels of a stack ask for: pure, from a snapshot of its services.

Source of the rules: the published backup specification (docs.coopcloud.tech/specs/backup/spec),
as docs/enroll-recipe.md, "Backup labels", restates it. One label turns the whole stack on. Only
labels under `deploy.labels` count, since those are the ones on the Swarm service.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.core.errors import BackupError
from harness.core.nearest import nearest
from harness.swarm.states import ServiceState

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
    subpath: str = ""  # the folder of it that is mounted there, or empty for all of it
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
    def of(cls, service: str, labels: Mapping[str, str]) -> Hooks:
        """Read a service's hook labels."""
        found = {label: labels.get(f"backupbot.{label}", "") for label in HOOKS}
        return cls(service=service, commands={k: v for k, v in found.items() if v.strip()})

    def command(self, label: str) -> str:
        """Return the command of `backup.pre-hook` and the like; empty means none."""
        return self.commands.get(label, "")

    def has(self, op: str) -> bool:
        """Whether there is a hook around that op: `backup` or `restore`."""
        return any(label.startswith(f"{op}.") for label in self.commands)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLabels:
    """What the `backupbot.backup.volumes.*` labels of a whole stack say, by short volume name."""

    left_out: frozenset[str] = frozenset()
    paths: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, services: Mapping[str, Mapping[str, str]], volumes: Sequence[str]) -> VolumeLabels:
        """Read the labels of every service.

        Args:
            services: the labels of each service, by its name.
            volumes: the short names of the volumes that the stack mounts.

        Raises:
            BackupError: a label names a volume that the stack lacks, or a path outside the volume.
        """
        left_out: set[str] = set()
        paths: dict[str, dict[str, None]] = {}
        for service, labels in services.items():
            for label, value in labels.items():
                if not label.startswith(VOLUME):
                    continue
                name = label.removeprefix(VOLUME)
                if name in volumes:
                    left_out.update({name} if value.strip().lower() == "false" else ())
                elif name.endswith(".path") and name.removesuffix(".path") in volumes:
                    named = _listed_paths(value, label=label, service=service)
                    paths.setdefault(name.removesuffix(".path"), {}).update(dict.fromkeys(named))
                else:
                    raise _unknown_volume(label, service, volumes)
        # `.` is the whole volume, whatever else is named of it
        return cls(
            left_out=frozenset(left_out),
            paths={v: () if "." in found else tuple(found) for v, found in paths.items() if found},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSpec:
    """What is backed up, what is left out on purpose, and the hooks around it.

    A volume that is mounted twice is there twice, once for each place, and is backed up once.
    `foreign` are the volumes that the labels ask for and that lead to data which the run did not
    make: the harness neither reads nor writes them, so they are among those left out.
    """

    parts: tuple[VolumePart, ...]
    excluded: tuple[str, ...]
    hooks: tuple[Hooks, ...]
    foreign: tuple[str, ...] = ()

    @classmethod
    def of(cls, services: tuple[ServiceState, ...], stack: str) -> BackupSpec:
        """Read the labels of every service: one that asks for a backup asks for all of them.

        Raises:
            BackupError: a label names a path or a volume that cannot be backed up.
        """
        if not any(is_enabled(service.labels) for service in services):
            return cls(parts=(), excluded=(), hooks=())
        mounted = {mount.volume for service in services for mount in service.volumes}
        labels = VolumeLabels.of(
            {service.name: service.labels for service in services},
            sorted(short_name(volume, stack) for volume in mounted),
        )
        short = {volume: short_name(volume, stack) for volume in mounted}
        left_out = {volume for volume, name in short.items() if name in labels.left_out}
        foreign = {one.volume for service in services for one in service.volumes if one.foreign}
        excluded = left_out | foreign
        named_paths = {v: labels.paths[name] for v, name in short.items() if name in labels.paths}
        paths = {**_by_old_label(services), **named_paths}
        return cls(
            parts=tuple(
                VolumePart(
                    volume=one.volume,
                    service=service.name,
                    target=one.target,
                    subpath=one.subpath,
                    paths=named,
                )
                for service in services
                for one in service.volumes
                if one.volume not in excluded and (named := paths.get(one.volume, ())) is not None
            ),
            excluded=tuple(sorted(excluded)),
            hooks=tuple(
                hooks
                for service in services
                if (hooks := Hooks.of(service.name, service.labels)).commands
            ),
            foreign=tuple(sorted(foreign - left_out)),
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


def is_enabled(labels: Mapping[str, str]) -> bool:
    """Whether a service with these labels turns the backup of its stack on."""
    return labels.get(ENABLED, "").strip().lower() == "true"


def _unknown_volume(label: str, service: str, volumes: Sequence[str]) -> BackupError:
    known = [f"{VOLUME}{volume}{end}" for volume in volumes for end in ("", ".path")]
    return BackupError(
        f"the label {label} of service {service} names no volume of the stack",
        cause=f"the stack mounts {', '.join(volumes) or 'no volume'}",
        hint=nearest(label, known, most=1, otherwise="correct the volume's name in the label"),
    )


def _listed_paths(value: str, *, label: str, service: str) -> Iterator[str]:
    """Return the paths of a comma-separated list, relative to their volume; `.` is all of it.

    Raises:
        BackupError: one leads out of the volume, or may.
    """
    for one in value.split(","):
        if one.strip() and not _leaves(one, label=label, service=service):
            yield str(PurePosixPath(one.strip().lstrip("/")))


def _by_old_label(services: Sequence[ServiceState]) -> Mapping[str, tuple[str, ...] | None]:
    """Return which paths of which volume the old label names; None where it leaves it out.

    It is about the volumes of its own service. One that another service mounts as well is left out
    only where the label of each of them names other places.

    Raises:
        BackupError: it names a place on no volume.
    """
    found: dict[str, dict[str, None]] = {}
    unasked: set[str] = set()
    for service in services:
        old = _old_paths(service)
        for volume, inside in (one for path in old for one in _on_volumes(path, service)):
            found.setdefault(volume, {})[inside] = None
        unasked.update(mount.volume for mount in service.volumes if not old)
    every = {mount.volume for service in services for mount in service.volumes}
    named = {v: () if "." in paths else tuple(paths) for v, paths in found.items()}
    return {**dict.fromkeys(every - unasked), **named}


def _old_paths(service: ServiceState) -> list[str]:
    """Return the places that the old label names, each on a volume of its service.

    Raises:
        BackupError: one is not.
    """
    label = service.labels.get(OLD_PATH, "")
    found = [
        posixpath.normpath(path.strip())
        for path in label.split(",")
        if path.strip() and not _leaves(path, label=OLD_PATH, service=service.name)
    ]
    for path in found:
        if not _on_volumes(path, service):
            raise BackupError(
                f"the label {OLD_PATH} of service {service.name} names {path}, "
                "which is on no volume",
                cause="files that a container keeps outside its volumes are lost with it",
                hint="put it on a volume, or take it out of the label",
            )
    return found


def _leaves(path: str, *, label: str, service: str) -> bool:
    """Refuse a path that leads out of its volume, or may.

    Raises:
        BackupError: it has `..` in it.
    """
    if ".." in PurePosixPath(path.strip()).parts:
        raise BackupError(
            f"the label {label} of service {service} names {path.strip()}: "
            "a path must not contain `..`",
            cause="it could leave the volume and reach another app's data",
            hint="name the path as seen from the volume's root",
        )
    return False


def _on_volumes(path: str, service: ServiceState) -> list[tuple[str, str]]:
    """Return which volumes a place in a container is on, and where in each; `.` is all of it.

    A place above mounts has all of them in it. Of mounts within each other, the innermost has it.
    """
    place = PurePosixPath(path)
    below = [one for one in service.volumes if PurePosixPath(one.target).is_relative_to(place)]
    above = [one for one in service.volumes if place.is_relative_to(one.target)]
    found = [(one.volume, one.subpath or ".") for one in below]
    if above and all(PurePosixPath(one.target) != place for one in below):
        one = max(above, key=lambda mount: len(PurePosixPath(mount.target).parts))
        found.append((one.volume, str(PurePosixPath(one.subpath) / place.relative_to(one.target))))
    return found
