"""As whom a container's programs run, and which of them ended while the container runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.core.errors import HarnessError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.core.waiting import SYSTEM_CLOCK, stretched
from harness.exec.exec import ExecTarget
from harness.swarm.programs import (
    JUDGED_SECONDS,
    READ,
    Process,
    Programs,
    age_of,
    processes,
)
from harness.volumes.inside import Inside

SECONDS = 10.0
ROOT = ("", "0", "root")


class Once:
    """Says of each thing whether it was not told before; from then on it was."""

    def __init__(self) -> None:
        self._told: set[tuple[str, ...]] = set()

    def __call__(self, *key: str) -> bool:
        """Return whether a thing, known by these words, is new."""
        new = key not in self._told
        self._told.add(key)
        return new


@dataclass(kw_only=True)
class Running:
    """Looks at the processes of the app's containers; each finding is told once.

    Args:
        target: returns where commands for a container are run.
    """

    target: Callable[[Inside], ExecTarget]
    _new: Once = field(default_factory=Once)
    # services and places, and who could write there: "any", or "other" than root
    _writable: set[tuple[str, str, str]] = field(default_factory=set)
    _programs: Programs = field(default_factory=Programs)

    def warnings(self, one: Inside, stage: Stage) -> Iterator[RunWarning]:
        """Yield what was not told before of a container."""
        seen = self._processes(one)
        yield from self._access(one, stage, seen)
        yield from self._ended(one, stage, seen)

    def ended(self, containers: Sequence[Inside]) -> Iterator[RunWarning]:
        """Yield a warning for each program that ended in a container which runs on.

        One that is missing in a container which has just begun may come yet, so that is waited for.
        """
        for one in containers:
            seen = self._processes(one)
            if (left := JUDGED_SECONDS - age_of(seen)) > 0.0:
                if not self._programs.missing(one.service.name, seen):
                    continue
                SYSTEM_CLOCK.sleep(left)
                seen = self._processes(one)
            yield from self._ended(one, None, seen)

    def _processes(self, one: Inside) -> tuple[Process, ...]:
        """Return the processes of a container; nothing where it has no program that lists them."""
        try:
            done = self.target(one).exec(
                ["sh", "-c", READ], timeout=stretched(SECONDS), check=False, user="0"
            )
        except HarnessError:
            return ()
        return processes(done.text)

    def _ended(
        self, one: Inside, stage: Stage | None, seen: Sequence[Process]
    ) -> Iterator[RunWarning]:
        for program in self._programs.gone(one.service.name, seen):
            if self._new(one.service.name, "program", program):
                yield RunWarning(
                    code=WarningCode.PROGRAM_ENDED,
                    text=f"service {one.service.name} ran {program} beside its first program, and "
                    "now it does not, or starts it again and again; its container runs on",
                    next="look at its log; let the container end with that program, or let the "
                    "health check ask for it",
                    stage=stage,
                )

    def _access(self, one: Inside, stage: Stage, seen: Sequence[Process]) -> Iterator[RunWarning]:
        """Warn of volumes that a service could write at an earlier look and cannot now."""
        users = _users(one, seen)
        # What starts as root may give that up for the programs that it starts: these are asked.
        who = "other" if any(p.user.startswith("0:") for p in seen) and not _root(users[0]) else ""
        for mount in one.mounts:
            if mount["Type"] != "volume" or not mount.get("RW"):
                continue
            place, name = mount["Destination"], one.service.name
            if any(self._can_write(one, user, place) for user in users):
                self._writable.add((name, place, "any"))
                if not _root(users[0]):
                    self._writable.add((name, place, "other"))
            elif (name, place, who or "any") in self._writable and self._new(name, "access", place):
                yield RunWarning(
                    code=WarningCode.VOLUME_NOT_WRITABLE,
                    text=f"service {name} runs as user {', '.join(users)}, who cannot write to "
                    f"{place}; before, the service could",
                    next="change the owner of the files in an entrypoint, or keep the user",
                    stage=stage,
                )

    def _can_write(self, one: Inside, user: str, place: str) -> bool:
        """Whether a user may write to a place in a container, as far as it can be asked."""
        if _root(user):
            return True
        try:
            done = self.target(one).exec(
                ["test", "-w", place], timeout=stretched(SECONDS), check=False, user=user
            )
        except HarnessError:
            return True
        return done.code != 1


def _users(one: Inside, seen: Sequence[Process]) -> list[str]:
    """Return as whom a container's programs run: the users but root, if there are any."""
    users = sorted({p.user for p in seen if p.user and not _root(p.user)})
    return users or ["0" if seen else one.user]


def _root(user: str) -> bool:
    return user.partition(":")[0] in ROOT
