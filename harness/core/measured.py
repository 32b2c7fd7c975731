"""What is seen of a run beside its verdict, as frozen records. Sizes are bytes, times seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Measure(StrEnum):
    """What of a run is compared with the last green one."""

    MEMORY = "memory"
    IMAGE = "image"
    VOLUME = "volume"
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResources:
    """What a stage took. `healthy_seconds` is None when the app did not get so far.

    `exact` says whether `memory` (by service) is the peak that the kernel kept; where it keeps
    none, it is what was in use at the stage's end. `images` (by service) and `volumes` (by short
    name) are what lay on the disk by then, in bytes.
    """

    stage: str
    healthy_seconds: float | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    exact: bool = True
    images: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Something that has grown past its limit since the last green run."""

    measure: Measure
    subject: str  # the service, image or volume; empty for a time
    before: float
    now: float
    stage: str = ""  # empty for what belongs to the whole run
    fails: bool = False  # whether the recipe's meta asks for a failure

    def __str__(self) -> str:
        """Say it in one line."""
        what = {
            Measure.MEMORY: f"peak memory of {self.subject}",
            Measure.IMAGE: f"size of the image {self.subject}",
            Measure.VOLUME: f"size of the volume {self.subject}",
            Measure.HEALTHY: "time to healthy",
        }[self.measure]
        where = f" in {self.stage}" if self.stage else ""
        ratio = f" ({self.now / self.before:.1f} times)" if self.before else ""
        shown = seconds if self.measure is Measure.HEALTHY else size
        return f"{what}{where}: {shown(self.now)}, was {shown(self.before)}{ratio}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run took, and how that compares. `compared_with` is a run, or empty for none."""

    stages: tuple[StageResources, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)  # as the recipe names them
    volumes: Mapping[str, int] = field(default_factory=dict)  # by short name, at the run's end
    compared_with: str = ""
    jumps: tuple[Jump, ...] = ()
    notes: tuple[str, ...] = ()  # what could not be measured, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeContent:
    """A volume of the app, what the labels declare of it, and what the snapshot holds of it."""

    volume: str  # the short name
    mounts: Mapping[str, str]  # where each service mounts it
    declared: str  # "whole", "left out", "not asked for", or the paths
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Screenshot:
    """The app's page after a stage. `file` lies in the run's directory; empty means none."""

    stage: str
    file: str = ""
    url: str = ""
    status: int = 0  # of the page itself
    said: str = ""  # why there is none, or what the page lacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Something that was tried again, and when."""

    at: str
    text: str


def size(number: float) -> str:
    """Return a number of bytes as a person reads it."""
    for unit in ("B", "KiB", "MiB"):
        if abs(number) < 1024:  # noqa: PLR2004  what the units are made of
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def seconds(number: float) -> str:
    """Return a time as a person reads it."""
    return f"{number:.1f} s"
