"""Whether this machine has room for one more run beside those that go on already.

A run's own preflight says whether it can start at all. This guard is for the runs beside it: a
machine without memory kills processes, and then healthy recipes look broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from docker.errors import DockerException
from requests import RequestException

from harness.core import capacity
from harness.core.errors import HarnessError
from harness.core.settings import Settings
from harness.core.waiting import stretched
from harness.engine import engine, preflight
from harness.engine.layout import Paths

MIB = 1024**2
# Measured: a whole run of a sample takes up to 215 MiB of memory at its peak, 95 of them for the
# harness, and 4 MiB of disk. Apps with a database take more, so there is three times as much.
RUN_MEMORY = 700 * MIB
HARNESS_MEMORY = 300 * MIB  # where the apps run on another machine
RUN_DISK = 500 * MIB
START_DISK = int(preflight.DEFAULT_GIB * preflight.GIB)  # without it, a run's preflight says no
YOUNG_SECONDS = 20.0  # after so long, what a run takes has been taken, and is seen as not free
ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much there is of something, and how much there has to be; bytes. None is unknown."""

    what: str
    free: int | None
    wanted: int

    @property
    def short(self) -> bool:
        """Whether there is too little; what is unknown holds nothing back."""
        return self.free is not None and self.free < self.wanted

    def __str__(self) -> str:
        """Return it as the terminal shows it."""
        return f"{(self.free or 0) // MIB} MiB of {self.what} free, {self.wanted // MIB} MiB wanted"


def shortage(rooms: Sequence[Room], *, running: int) -> str:
    """Return why one more run has to wait, or nothing when it may start.

    The only run never waits: it starts, and its own preflight decides. So there is always one that
    goes on, and whatever waits is looked at again when that one ends.

    Args:
        rooms: what there is.
        running: how many runs go on already.
    """
    if running == 0:
        return ""
    return "; ".join(str(room) for room in rooms if room.short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is looked at; tests hand in another.

    Attributes:
        disks: the places that runs write to, by what lies there.
        run_memory: bytes that a run takes on this machine.
    """

    disks: Mapping[str, Path] = field(default_factory=dict)
    run_memory: int = RUN_MEMORY
    memory: Callable[[], int | None] = capacity.free_memory
    free_bytes: Callable[[Path], int | None] = capacity.free_bytes

    def rooms(self, *, young: int) -> tuple[Room, ...]:
        """Look, and return what there is beside what one more run wants.

        Args:
            young: how many runs have not had the time to take what they need.
        """
        memory = Room(what="memory", free=self.memory(), wanted=self.run_memory * (1 + young))
        wanted = START_DISK + RUN_DISK * young
        disks = (
            Room(what=what, free=self.free_bytes(path), wanted=wanted)
            for what, path in self.disks.items()
        )
        return (memory, *disks)


def look(settings: Settings, environ: Mapping[str, str]) -> Host:
    """Return what to look at for runs with these settings.

    No engine is started for that: one that is not up yet is a private one, below the cache.
    """
    disks = {"disk of the cache": settings.cache}
    data: Path | None = Paths.of(settings.cache).data
    memory = RUN_MEMORY
    if settings.engine != engine.Mode.PRIVATE:
        with suppress(HarnessError, DockerException, RequestException):
            found = engine.resolve(
                mode=engine.Mode.EXTERNAL, cache=settings.cache, environment=environ,
                say=lambda _text: None,
            )  # fmt: skip
            data = preflight.engine_data(found.client(stretched(ASK_SECONDS)).info(), found)
            memory = RUN_MEMORY if data is not None else HARNESS_MEMORY
    if data is not None:
        disks["disk of the engine"] = data
    return Host(disks=disks, run_memory=memory)
