"""The ops that keep an app's data: the witnesses, the backup with its hooks, the restore.

Each returns when the app has settled again: a hook may stop, start or replace the very container
that is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.backups import witness
from harness.backups.driver import HookRun, Job
from harness.backups.labels import BackupSpec, VolumePart, short_name
from harness.backups.placing import places, require_in_place
from harness.backups.restic import Repository
from harness.backups.witness import Witnesses
from harness.context import Context
from harness.docker.exec import ExecTarget
from harness.docker.readiness import Before
from harness.docker.snapshot import StackSnapshot
from harness.errors import BackupError
from harness.ledger import Op
from harness.model import Adaptation

SHOWN = 2000  # characters of what a hook printed that are kept


@dataclass(kw_only=True)
class BackupOperations:
    """The backup, the restore and the witnesses of one run.

    `vaults` are the repositories as seen from the containers that have the app's volumes, by their
    node's id, once there are any. Volumes that lie on several nodes have one on each.

    Args:
        context: what all ops of the run share.
        target: returns where commands for a service are run.
        adaptations: grows by what stood in for what a server has.
    """

    context: Context
    target: Callable[[str], ExecTarget]
    adaptations: dict[Adaptation, None] = field(default_factory=dict)
    vaults: dict[str, Repository] = field(default_factory=dict)
    _snapshots: Mapping[str, str] = field(default_factory=dict)  # by node
    _parts: tuple[VolumePart, ...] = ()
    _places: Mapping[str, str] = field(default_factory=dict)  # volume to node
    _witnesses: Mapping[str, str] = field(default_factory=dict)

    def before_upgrade(self, look: StackSnapshot) -> dict[str, Any]:
        """Put a witness into each volume that the base backs up whole, and return the facts.

        Labels of the base that make no sense are not the head's fault: then there is no witness.
        """
        spec = BackupSpec(parts=(), excluded=(), hooks=())
        with suppress(BackupError):
            spec = self._spec(look)
        stack, exempt = self.context.target.stack, self.context.meta.NO_WITNESS
        return {
            "witnesses": self._sow(spec, look),
            "places": dict(self._places),
            "backed_up_before": {
                volume: paths
                for volume, paths in spec.by_volume().items()
                if short_name(volume, stack) not in exempt
            },
            "mounts_before": {s.name: dict(s.volumes) for s in look.services},
        }

    def backup(self) -> dict[str, Any]:
        """Back up as the labels say, with a witness in each volume that is backed up whole.

        Raises:
            BackupError: the labels, a hook or the backup itself would lose data.
        """
        look = self.context.look()
        spec = self._spec(look)
        if not spec.parts:
            raise BackupError(
                "no volume is backed up",
                cause="no service has the label backupbot.backup=true, or all volumes are left out",
                hint="correct the labels, or set BACKUP_CAPABLE = False in recipe_meta.py",
            )
        self._open(spec, look)
        self._witnesses = self._sow(spec, look)
        self.context.ledger.begin(Op.BACKUP)
        made = self.context.backups.back_up(self._job(spec))
        self._snapshots = made.snapshots
        self.context.ledger.end(Op.BACKUP, snapshot=self._snapshot)
        self._settle_again(look)
        return {
            "snapshot": self._snapshot,
            "snapshots": dict(self._snapshots),
            "files": made.files,
            "bytes": made.size,
            "volumes": sorted({part.volume for part in spec.parts}),
            "excluded": list(spec.excluded),
            "witnesses": self._witnesses,
            "places": dict(self._places),
            "hooks": _told(made.hooks),
        }

    def restore(self) -> dict[str, Any]:
        """Restore the snapshot that the backup made, over witnesses that were changed since.

        Raises:
            BackupError: a hook failed.
        """
        look = self.context.look()
        spec = self._spec(look)
        self._open(spec, look)
        changed = self._write(tuple(self._witnesses))
        self.context.ledger.begin(Op.RESTORE, snapshot=self._snapshot)
        hooks = self.context.backups.restore(self._job(spec), self._snapshots)
        self.context.ledger.end(Op.RESTORE, snapshot=self._snapshot)
        self._settle_again(look)
        return {
            "snapshot": self._snapshot,
            "witnesses": self._witnesses,
            "changed_witnesses": changed,
            "places": dict(self._places),
            "hooks": _told(hooks),
        }

    def _job(self, spec: BackupSpec) -> Job:
        return Job(
            domain=self.context.target.domain,
            stack=self.context.target.stack,
            spec=spec,
            parts=self._by_node(spec),
            vaults=self.vaults,
            own_files=len(self._witnesses),
            target=self.target,
            adapted=self.adaptations.setdefault,
            factor=self.context.factor,
        )

    def _spec(self, look: StackSnapshot) -> BackupSpec:
        return BackupSpec.of(look.services, self.context.target.stack)

    def require_in_place(self, look: StackSnapshot) -> None:
        """Refuse to go on when a volume stayed behind on a node that its service has left.

        Raises:
            TestBedError: one did; what is not in it now says nothing of the recipe.
        """
        now = places(look, self._parts, name=self.context.nodes.name)
        require_in_place(self._places, now, name=self.context.nodes.name)

    @property
    def _snapshot(self) -> str:
        """The id of the snapshot; the first one's where there are several."""
        return next(iter(self._snapshots.values()), "")

    def _open(self, spec: BackupSpec, look: StackSnapshot) -> None:
        """Start what has the volumes mounted, on each node that some of them lie on.

        Raises:
            TestBedError: a volume lies on several nodes, or its service was moved to another one.
        """
        now = places(look, spec.parts, name=self.context.nodes.name)
        require_in_place(self._places, now, name=self.context.nodes.name)
        self._parts, self._places = spec.parts, {**self._places, **now}
        for node, parts in self._by_node(spec).items():
            volumes = tuple(sorted({part.volume for part in parts}))
            other = "" if node == self.context.nodes.own else node
            self.vaults[node] = self.context.tools.vault(volumes, node=other)

    def _by_node(self, spec: BackupSpec) -> Mapping[str, tuple[VolumePart, ...]]:
        """Return what is backed up of each node, in order."""
        found: dict[str, tuple[VolumePart, ...]] = {}
        for part in spec.parts:
            node = self._places[part.volume]
            found[node] = (*found.get(node, ()), part)
        return found

    def _sow(self, spec: BackupSpec, look: StackSnapshot) -> Mapping[str, str]:
        """Put a fresh witness into each volume that gets one, and return the texts by volume."""
        left_out = self.context.meta.NO_WITNESS
        volumes = witness.volumes_for(spec, self.context.target.stack, left_out)
        if not volumes:
            return {}
        self._open(spec, look)
        return self._write(volumes)

    def _write(self, volumes: tuple[str, ...]) -> Mapping[str, str]:
        stack = self.context.target.stack
        texts: dict[str, str] = {}
        for node in dict.fromkeys(self._places[volume] for volume in volumes):
            there = [volume for volume in volumes if self._places[volume] == node]
            texts |= Witnesses(vault=self.vaults[node].target, stack=stack).write(there)
        return texts

    def _settle_again(self, before: StackSnapshot) -> None:
        self.context.step("waiting until settled")
        self.context.settle(Before.of(before))


def _told(hooks: tuple[HookRun, ...]) -> list[dict[str, str]]:
    """Return what was run, as facts, with a limit on what each printed."""
    return [{**asdict(hook), "output": hook.output[-SHOWN:]} for hook in hooks]
