"""What an upgrade does to the mounts of volumes: pure, from looks at the stack before and after.

A volume that the head mounts at no place, or a place at which the head mounts something else, has
lost its data to the app, whatever its labels say of backups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from harness.core.model import RunWarning, Stage, WarningCode
from harness.swarm.states import ServiceState
from harness.volumes.census import Census

ACCEPT = "if that is meant to be, name the volume in NO_WITNESS in recipe_meta.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """Something that a service mounts. `source` is empty for tmpfs and anonymous volumes.

    `driver` are the name and options of a volume's driver, `subpath` the folder of it that is
    mounted.
    """

    service: str
    target: str
    kind: str  # as the engine says it: "volume", "bind", "tmpfs"
    source: str
    driver: Mapping[str, Any] = field(default_factory=dict)
    subpath: str = ""

    def called(self, stack: str) -> str:
        """Return what it is, for a sentence."""
        if self.kind == "volume" and self.source:
            return f"volume {self.source.removeprefix(f'{stack}_')}"
        kind = "an anonymous volume" if self.kind == "volume" else self.kind
        return f"{kind} {self.source}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a volume's mount; `fails` when the data that it holds are lost to the app."""

    code: WarningCode
    sentence: str
    fails: bool

    def failure(self) -> str:
        """Return it as the reason of a failure."""
        return f"{self.sentence}; {ACCEPT}"

    def warning(self) -> RunWarning:
        """Return it as a warning."""
        return RunWarning(code=self.code, text=self.sentence, next=ACCEPT, stage=Stage.UPGRADE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """An upgrade, as far as volumes go.

    Args:
        stack: the stack's name.
        before: the services of the base.
        after: those of the head, without the ones that it dropped.
        held: what the volumes held before it.
        holds: what they hold after it.
        backed_up: the full names of the volumes that the base backs up.
        exempt: the short names of volumes that the recipe's meta gives up.
        declared: by service of the head, the places that its image declares as volumes.
    """

    stack: str
    before: tuple[ServiceState, ...]
    after: tuple[ServiceState, ...]
    held: Census
    holds: Census
    backed_up: Collection[str]
    exempt: Collection[str]
    declared: Mapping[str, Collection[str]]

    def changes(self) -> tuple[Change, ...]:
        """Return what became of each mount of a volume that the head does not have as the base."""
        now = [mount for service in self.after for mount in mounts_of(service)]
        names = {service.name for service in self.after}
        kept = {mount.source for mount in now if mount.kind == "volume"}
        found: dict[str, Change] = {}
        for old in self._base():
            if old.source not in kept:
                found.setdefault(old.source, self._orphaned(old, now))
                continue
            if changed := self._options(old, now):
                found.setdefault(f"options {old.source}", changed)
            if old.service not in names and (moved := self._renamed(old, now)):
                found.setdefault(old.source, moved)
            here = [mount for mount in now if mount.service == old.service]
            if old.service in names and (change := self._elsewhere(old, here)):
                found.setdefault(f"{old.service} {old.source}", change)
        return tuple(found.values())

    def _base(self) -> Iterator[Mounted]:
        for service in self.before:
            for mount in mounts_of(service):
                if mount.kind == "volume" and mount.source and not self._given_up(mount.source):
                    yield mount

    def _given_up(self, volume: str) -> bool:
        return volume.removeprefix(f"{self.stack}_") in self.exempt

    def _orphaned(self, old: Mounted, now: list[Mounted]) -> Change:
        files = self.held.of(old.source).files
        fails = files > 0 or old.source in self.backed_up
        instead = next((m for m in now if (m.service, m.target) == (old.service, old.target)), None)
        return Change(
            code=WarningCode.VOLUME_ORPHANED,
            fails=fails,
            sentence=f"the head does not mount {old.called(self.stack)}, which the base mounts at "
            f"{old.target} of service {old.service}: {self._value(old.source)}"
            + (f"; the head mounts {instead.called(self.stack)} in its place" if instead else ""),
        )

    def _options(self, old: Mounted, now: list[Mounted]) -> Change | None:
        """Return that a volume's driver or its options changed: docker keeps the first ones.

        See https://github.com/docker/cli/issues/1279.
        """
        new = next(mount for mount in now if (mount.kind, mount.source) == ("volume", old.source))
        if new.driver == old.driver:
            return None
        return Change(
            code=WarningCode.OPTION_IGNORED,
            fails=False,
            sentence=f"the head declares {old.called(self.stack)} with another driver or other "
            "driver_opts than the base: docker ignores them where the volume exists already",
        )

    def _renamed(self, old: Mounted, now: list[Mounted]) -> Change | None:
        """Return that a volume of a service that was dropped or renamed is mounted elsewhere."""
        there = [mount for mount in now if mount.source == old.source]
        base = {m.target for s in self.before if s.name != old.service for m in mounts_of(s)}
        if any(m.target == old.target or m.target in base for m in there):
            return None
        if not self.held.of(old.source).files and old.source not in self.backed_up:
            return None
        return Change(
            code=WarningCode.VOLUME_MOVED,
            fails=False,
            sentence=f"the head mounts {old.called(self.stack)} at {there[0].target} of service "
            f"{there[0].service}, and the base at {old.target} of service {old.service}, which "
            "the head does not have",
        )

    def _value(self, volume: str) -> str:
        """Return what would be lost with a volume."""
        held = self.held.of(volume)
        value = f"it holds {held.files} files with {held.bytes} bytes"
        if volume in self.held.unknown:
            value = "its files could not be counted"
        elif not held.files:
            value = "it is empty"
        return f"{value}, and the base backs it up" if volume in self.backed_up else value

    def _elsewhere(self, old: Mounted, here: list[Mounted]) -> Change | None:
        """Return what is wrong with a volume's mount in a service that is still there."""
        there = [m for m in here if m.kind == "volume" and m.source == old.source]
        at = next((m for m in here if m.target == old.target), None)
        if same := [m for m in there if m.target == old.target]:
            return self._hidden(old, here) or self._other_folder(old, same[0])
        valued = self.held.of(old.source).files > 0 or old.source in self.backed_up
        name = old.called(self.stack)
        if not there:
            instead = f", and {at.called(self.stack)} at {old.target}" if at else ""
            return Change(
                code=WarningCode.VOLUME_MOVED,
                fails=valued and at is not None and not self._taken_over(old, at),
                sentence=f"the head mounts {name} in other services only{instead}, and the base at "
                f"{old.target} of service {old.service}",
            )
        target = there[0].target
        expected = any(_within(place, target) for place in self.declared.get(old.service, ()))
        expected = expected or any(self._in_base(old, mount.target) for mount in there)
        carried = at is not None and self._taken_over(old, at)
        return Change(
            code=WarningCode.VOLUME_MOVED,
            fails=valued and not expected and not carried,
            sentence=f"the head mounts {name} of service {old.service} at {target}, and the base "
            f"at {old.target}",
        )

    def _in_base(self, old: Mounted, target: str) -> bool:
        """Whether the base mounts the same volume at that place too, in the same service."""
        return any(
            (m.service, m.source, m.target) == (old.service, old.source, target)
            for service in self.before
            for m in mounts_of(service)
        )

    def _other_folder(self, old: Mounted, new: Mounted) -> Change | None:
        """Return that another folder of the same volume is mounted in its place."""
        if new.subpath == old.subpath:
            return None
        return Change(
            code=WarningCode.VOLUME_MOVED,
            fails=self.held.of(old.source).files > 0 or old.source in self.backed_up,
            sentence=f"the head mounts the folder {new.subpath or '/'} of "
            f"{old.called(self.stack)} at {old.target} of service {old.service}, and the base "
            f"{old.subpath or '/'}",
        )

    def _taken_over(self, old: Mounted, new: Mounted) -> bool:
        """Whether another volume has got the data: the head could read the old one, and did."""
        before = self.held.of(old.source).files
        got = self.holds.of(new.source).files - self.held.of(new.source).files
        return new.kind == "volume" and bool(new.source) and 0 < before <= got

    def _hidden(self, old: Mounted, here: list[Mounted]) -> Change | None:
        """Return whether something new is mounted over a folder of the volume that held files."""
        base = {m.target for s in self.before if s.name == old.service for m in mounts_of(s)}
        for mount in here:
            inside = _within(mount.target, old.target)
            if not inside or mount.target in base:
                continue
            files = self.held.of(f"{old.source}/{inside}").files
            if files:
                return Change(
                    code=WarningCode.VOLUME_MOVED,
                    fails=not self._taken_over_folder(files, mount),
                    sentence=f"the head mounts {mount.called(self.stack)} at {mount.target} of "
                    f"service {old.service}, over {files} files in "
                    f"{old.called(self.stack)}",
                )
        return None

    def _taken_over_folder(self, files: int, new: Mounted) -> bool:
        return new.kind == "volume" and self.holds.of(new.source).files >= files


def mounts_of(service: ServiceState) -> tuple[Mounted, ...]:
    """Return what a service mounts."""
    mounts: list[Mapping[str, Any]] = service.template["ContainerSpec"].get("Mounts") or []
    return tuple(
        Mounted(
            service=service.name,
            target=str(PurePosixPath(mount["Target"])),
            kind=mount["Type"],
            source=mount.get("Source", ""),
            driver={k: v for k, v in (options.get("DriverConfig") or {}).items() if v},
            subpath=options.get("Subpath", ""),
        )
        for mount in mounts
        for options in (mount.get("VolumeOptions") or {},)
    )


def _within(path: str, above: str) -> str:
    """Return a path relative to one above it; empty when it is not below it; `.` for the same."""
    inner, outer = PurePosixPath(path), PurePosixPath(above)
    return str(inner.relative_to(outer)) if inner.is_relative_to(outer) else ""
