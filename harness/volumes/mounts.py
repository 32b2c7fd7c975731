"""What an upgrade does to the mounts of volumes: pure, from looks at the stack before and after.

A volume that the head mounts at no place, or a place at which the head mounts something else, has
lost its data to the app, whatever its labels say of backups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from harness.docker.snapshot import ServiceState
from harness.model import RunWarning, Stage, WarningCode
from harness.volumes.census import Census

ACCEPT = "if that is meant to be, name the volume in NO_WITNESS in recipe_meta.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """Something that a service mounts. `source` is empty for tmpfs and anonymous volumes."""

    service: str
    target: str
    kind: str  # as the engine says it: "volume", "bind", "tmpfs"
    source: str

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
        if any(m.target == old.target for m in there):
            return self._hidden(old, here)
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
        carried = at is not None and self._taken_over(old, at)
        return Change(
            code=WarningCode.VOLUME_MOVED,
            fails=valued and not expected and not carried,
            sentence=f"the head mounts {name} of service {old.service} at {target}, and the base "
            f"at {old.target}",
        )

    def _taken_over(self, old: Mounted, new: Mounted) -> bool:
        """Whether another volume has the data now: the head could read the old one, and did."""
        before, after = self.held.of(old.source).files, self.holds.of(new.source).files
        return new.kind == "volume" and bool(new.source) and 0 < before <= after

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
        )
        for mount in mounts
    )


def _within(path: str, above: str) -> str:
    """Return a path relative to one above it; empty when it is not below it; `.` for the same."""
    inner, outer = PurePosixPath(path), PurePosixPath(above)
    return str(inner.relative_to(outer)) if inner.is_relative_to(outer) else ""
