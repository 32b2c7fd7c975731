"""What a backup driver has to do, whatever program does it underneath."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Protocol

from harness.backups.labels import BackupSpec, VolumePart
from harness.backups.restic import Repository
from harness.core.model import Adaptation
from harness.exec.exec import ExecTarget

SHOWN = 2000  # characters of what a hook printed that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """A hook that was run: of which service and label, and what it printed."""

    service: str
    label: str
    output: str

    def told(self) -> dict[str, str]:
        """Return it as facts, with a limit on what it printed."""
        return {**asdict(self), "output": self.output[-SHOWN:]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An app that is backed up or restored.

    Args:
        domain: the app's domain.
        stack: its stack's name.
        spec: what its labels ask for.
        parts: the same by the id of the node that the volumes lie on.
        vault: gives the repository of a node, for the length of a block, as seen from a container
            that has the volumes mounted; no hook may run meanwhile.
        own_files: how many files on them are the harness's own, and no data of the app.
        target: returns where commands for a service are run.
        adapted: is told what stands in for what a server has, as soon as it does.
        factor: multiplies every time-out.
    """

    domain: str
    stack: str
    spec: BackupSpec
    parts: Mapping[str, tuple[VolumePart, ...]]
    vault: Callable[[str], AbstractContextManager[Repository]]
    own_files: int
    target: Callable[[str], ExecTarget]
    adapted: Callable[[Adaptation], object] = lambda _: None
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was made: its snapshots' ids by node, its files and bytes, its hooks.

    `vanished` are the files that the app removed before they could be read.
    """

    snapshots: Mapping[str, str]
    files: int
    size: int
    hooks: tuple[HookRun, ...] = ()
    vanished: tuple[str, ...] = ()


class Driver(Protocol):
    """Backs apps up and restores them."""

    @property
    def name(self) -> str:
        """What `--backup-driver` calls it."""

    def back_up(self, job: Job) -> Made:
        """Back an app up, with its hooks around it.

        Raises:
            BackupError: a hook failed, a declared path does not exist, or no file was found.
            TestBedError: the driver itself failed.
        """

    def restore(self, job: Job, snapshots: Mapping[str, str]) -> tuple[HookRun, ...]:
        """Bring back what those snapshots hold, by node, with the hooks around it.

        Raises:
            BackupError: a hook failed.
            TestBedError: the driver itself failed.
        """
