"""The ops that keep an app's data: the witnesses, the backup with its hooks, the restore.

Each returns when the app has settled again: a hook may stop, start or replace the very container
that is asked next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from harness.backups import witness
from harness.backups.content import require_named
from harness.backups.driver import Job
from harness.backups.dumps import require_whole, written
from harness.backups.labels import BackupSpec, VolumePart, short_name
from harness.backups.placing import located, places, require_containers, require_in_place
from harness.backups.put_back import require_none
from harness.backups.restic import Repository
from harness.backups.shown import not_shown
from harness.backups.unread import SHOWN_FILES, vanished_warnings
from harness.core.errors import BackupError
from harness.core.events import Doing, Step
from harness.core.ledger import Op
from harness.core.model import Adaptation, Origin, Stage
from harness.exec.exec import ExecTarget
from harness.stages.context import Context
from harness.swarm.readiness import Before
from harness.swarm.states import StackSnapshot
from harness.volumes.census import Census, losses
from harness.volumes.mounts import Upgrade
from harness.volumes.outside import Outside
from harness.volumes.watch import Visit, VolumeWatch, witness_problems


@dataclass(kw_only=True)
class BackupOperations:
    """The backup, the restore and the witnesses of one run.

    Args:
        context: what all ops of the run share.
        target: returns where commands for a service are run.
        adaptations: grows by what stood in for what a server has.
    """

    context: Context
    target: Callable[[str], ExecTarget]
    adaptations: dict[Adaptation, None] = field(default_factory=dict)
    _snapshots: Mapping[str, str] = field(default_factory=dict)  # by node
    _parts: tuple[VolumePart, ...] = ()
    _places: Mapping[str, str] = field(default_factory=dict)  # volume to node
    _witnesses: Mapping[str, str] = field(default_factory=dict)
    _census: Census = field(default_factory=Census)  # of before the last upgrade or backup
    _outside: Outside = field(init=False)
    _looked: bool = False  # whether anything outside the volumes was looked at

    def __post_init__(self) -> None:
        """Prepare what looks outside the volumes."""
        self._outside = Outside(nodes=self.context.nodes)

    @property
    def watch(self) -> VolumeWatch:
        """What looks into the volumes."""
        return VolumeWatch(
            nodes=self.context.nodes,
            vault=self.context.tools.vault,
            stack=self.context.target.stack,
        )

    def before_upgrade(self, look: StackSnapshot) -> dict[str, Any]:
        """Count all volumes, put witnesses into those that the base backs up whole; return facts.

        Labels of the base that make no sense are not the head's fault: then there is no witness.
        """
        spec = BackupSpec(parts=(), excluded=(), hooks=())
        with suppress(BackupError):
            spec = self._spec(look)
        stack, exempt = self.context.target.stack, self.context.meta.NO_WITNESS
        self._witnesses = self._sow(spec, look, Stage.UPGRADE)
        return {
            "witnesses": self._witnesses,
            "places": dict(self._places),
            "backed_up_before": {
                volume: paths
                for volume, paths in spec.by_volume().items()
                if short_name(volume, stack) not in exempt
            },
        }

    def after_upgrade(
        self, before: StackSnapshot, after: StackSnapshot, declared: Mapping[str, Collection[str]]
    ) -> dict[str, Any]:
        """Look at all volumes again, and return as facts what became of them.

        Args:
            before: the base's services.
            after: the head's, without those that it dropped.
            declared: by service, the places that the head's images declare as volumes.
        """
        spec = BackupSpec(parts=(), excluded=(), hooks=())
        with suppress(BackupError):
            spec = self._spec(before)
        visit = self._visit(
            after,
            Stage.UPGRADE,
            places={**located(before), **self._places},
            read=self._witnesses,
            since=self._census,
        )
        upgrade = Upgrade(
            stack=self.context.target.stack,
            before=before.services,
            after=after.services,
            held=self._census,
            holds=visit.census,
            backed_up=spec.by_volume(),
            exempt=self.context.meta.NO_WITNESS,
            declared=declared,
        )
        changes = upgrade.changes()
        for change in changes:
            if not change.fails:
                self.context.warn(change.warning())
        return {
            "mounts_lost": [change.failure() for change in changes if change.fails],
            **self._compared(Stage.UPGRADE, visit),
        }

    def look_outside(self) -> None:
        """Look at what the app keeps outside its volumes, or at its programs if a stage has."""
        look = self.context.look()
        if not self._looked:
            self._visit(look, Stage.INSTALL)
            return
        up = [one for one in self._outside.containers(look) if look.containers[one.id].usable]
        for warning in self._outside.ended(up):
            self.context.warn(warning)

    def _visit(
        self,
        look: StackSnapshot,
        stage: Stage,
        *,
        places: Mapping[str, str] | None = None,
        read: Collection[str] = (),
        write: Collection[str] = (),
        since: Census | None = None,
    ) -> Visit:
        """Visit every volume, as `VolumeWatch.visit` does, and warn of what lies outside them."""
        containers = self._outside.containers(look)
        visit = self.watch.visit(
            look,
            places={**(places or {}), **self._outside.anonymous(containers)},
            read=read,
            write=write,
            since=since,
            fresh=min((one.started for one in containers), default=0.0),
        )
        for warning in self._outside.warnings(
            containers, visit.census, stage, in_memory=visit.in_memory
        ):
            self.context.warn(warning)
        self._looked = True
        return visit

    def _compared(
        self, stage: Stage, visit: Visit, *, later: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return as facts what was lost since the last census, and warn of what may have been."""
        stack = self.context.target.stack
        found = losses(self._census, visit.census, stack=stack, most=self.context.meta.MAX_LOSS)
        for loss in found:
            if not loss.fails:
                self.context.warn(loss.warning(stack, stage))
        return {
            "files_lost": [loss.sentence(stack) for loss in found if loss.fails],
            "witness_problems": witness_problems(
                visit, self._census, self._witnesses, stack=stack, later=later
            ),
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
                cause=f"{', '.join(spec.foreign)}: it leads to data that the run did not make"
                if spec.foreign
                else "no service has the label backupbot.backup=true, or all volumes are left out",
                hint="correct the labels, or set BACKUP_CAPABLE = False in recipe_meta.py",
            )
        require_containers(spec, look, "backup")
        self._locate(spec, look)
        self._witnesses = self._sow(spec, look, Stage.BACKUP)
        look, restarted = self._restart(spec, look)
        began = time.time()
        self.context.ledger.begin(Op.BACKUP)
        made = self.context.backups.back_up(self._job(spec))
        self._snapshots = made.snapshots
        self.context.ledger.end(Op.BACKUP, snapshot=self._snapshot)
        for warning in vanished_warnings(made.vanished):
            self.context.warn(warning)
        self._require_named(spec, began)
        after = self._settle_again(Stage.BACKUP, look)
        visit = self._visit(
            after, Stage.BACKUP, places=self._places, read=self._witnesses, since=self._census
        )
        return {
            **restarted,
            **self._compared(Stage.BACKUP, visit),
            "snapshot": self._snapshot,
            "snapshots": dict(self._snapshots),
            "files": made.files,
            "bytes": made.size,
            "vanished": list(made.vanished[:SHOWN_FILES]),
            "volumes": sorted({part.volume for part in spec.parts}),
            "excluded": list(spec.excluded),
            "witnesses": self._witnesses,
            "places": dict(self._places),
            "hooks": [hook.told() for hook in made.hooks],
        }

    def _restart(
        self, spec: BackupSpec, before: StackSnapshot
    ) -> tuple[StackSnapshot, dict[str, Any]]:
        """Restart all services, and return a look at them and what became of the data, as facts.

        Nothing else starts the head a second time, and its first start may have left a trap.

        Raises:
            ConvergenceError: the app does not come up again.
        """
        after, names = self.context.restart(Stage.BACKUP, before)
        self._locate(spec, after)
        visit = self._visit(
            after, Stage.BACKUP, places=self._places, read=self._witnesses, since=self._census
        )
        lost = self._compared(Stage.BACKUP, visit)
        self._census = visit.census
        both = [*lost["witness_problems"], *lost["files_lost"]]
        return after, {"restarted": list(names), "lost_in_restart": both}

    def restore(self) -> dict[str, Any]:
        """Restore the snapshot that the backup made, over witnesses that were changed since.

        Raises:
            BackupError: a hook failed.
        """
        look = self.context.look()
        spec = self._spec(look)
        require_containers(spec, look, "restore")
        self._locate(spec, look)
        visit = self.watch.visit(look, places=self._places, write=self._witnesses)
        changed = visit.written
        self.context.ledger.begin(Op.RESTORE, snapshot=self._snapshot)
        began = time.time()
        hooks = self.context.backups.restore(self._job(spec), self._snapshots)
        self._require_put_back(spec, began)
        self.context.ledger.end(Op.RESTORE, snapshot=self._snapshot)
        self._say_not_shown(spec)
        after = self._settle_again(Stage.RESTORE, look)
        visit = self._visit(
            after, Stage.RESTORE, places=self._places, read=self._witnesses, since=self._census
        )
        return {
            **self._compared(Stage.RESTORE, visit, later=changed),
            "snapshot": self._snapshot,
            "witnesses": self._witnesses,
            "changed_witnesses": changed,
            "places": dict(self._places),
            "hooks": [hook.told() for hook in hooks],
        }

    def _require_named(self, spec: BackupSpec, began: float) -> None:
        """Refuse a snapshot in which a path that the labels name holds nothing, or half a dump.

        Raises:
            BackupError: one does.
        """
        hooked = any(hooks.has("backup") for hooks in spec.hooks)
        for node, snapshot in self._snapshots.items():
            here = {part.volume for part in self._by_node(spec).get(node, ())}
            named = {v: paths for v, paths in spec.by_volume().items() if paths and v in here}
            if not named:
                continue
            with self._vault(node) as repository:
                directory = repository.extract(snapshot)
                entries = repository.entries(directory)
                dumps = written(named, entries, since=began) if hooked else []
                broken = repository.broken_dumps(directory, dumps)
            stack = self.context.target.stack
            for warning in require_named(named, entries, stack=stack, since=began):
                self.context.warn(warning)
            require_whole(broken, stack=stack)

    def _require_put_back(self, spec: BackupSpec, began: float) -> None:
        """Refuse a restore after which something is missing that the snapshot holds.

        Raises:
            TestBedError: something is.
        """
        whole = not any(hooks.has("restore") for hooks in spec.hooks)
        lacking: list[str] = []
        for node, parts in self._by_node(spec).items():
            with self._vault(node) as repository:
                put_back = repository.put_back(self._snapshots[node], parts)
                lacking += put_back.not_put_back(since=began, whole=whole)
        require_none(lacking, driver=self.context.backups.name)

    def _say_not_shown(self, spec: BackupSpec) -> None:
        """Warn of what no assertion shows to be restored; a recipe's own test is taken for one."""
        files = [
            f for one in self.context.plan.stages if one.stage is Stage.RESTORE for f in one.files
        ]
        if any(origin is not Origin.GENERIC for _, origin in files):
            return
        stack = self.context.target.stack
        for warning in not_shown(spec, stack=stack, witnessed=self._witnesses):
            self.context.warn(warning)

    def _job(self, spec: BackupSpec) -> Job:
        return Job(
            domain=self.context.target.domain,
            stack=self.context.target.stack,
            spec=spec,
            parts=self._by_node(spec),
            vault=self._vault,
            own_files=len(self._witnesses),
            target=self.target,
            adapted=self.adaptations.setdefault,
            factor=self.context.factor,
        )

    def _spec(self, look: StackSnapshot) -> BackupSpec:
        """Return what the labels ask for, without volumes that no container has mounted yet."""
        spec = BackupSpec.of(look.services, self.context.target.stack)
        missing = self.watch.missing(look) if spec.parts else ()
        return replace(spec, parts=tuple(p for p in spec.parts if p.volume not in missing))

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

    def _locate(self, spec: BackupSpec, look: StackSnapshot) -> None:
        """Find out on which node each volume lies that is backed up.

        Raises:
            TestBedError: a volume lies on several nodes, or its service was moved to another one.
        """
        now = places(look, spec.parts, name=self.context.nodes.name)
        require_in_place(self._places, now, name=self.context.nodes.name)
        self._parts, self._places = spec.parts, {**self._places, **now}

    def _vault(self, node: str) -> AbstractContextManager[Repository]:
        """Give the repository of a node, beside the volumes there that are backed up."""
        here = {part.volume for part in self._parts if self._places[part.volume] == node}
        other = "" if node == self.context.nodes.own else node
        return self.context.tools.vault(tuple(sorted(here)), node=other)

    def _by_node(self, spec: BackupSpec) -> Mapping[str, tuple[VolumePart, ...]]:
        """Return what is backed up of each node, in order."""
        found: dict[str, tuple[VolumePart, ...]] = {}
        for part in spec.parts:
            node = self._places[part.volume]
            found[node] = (*found.get(node, ()), part)
        return found

    def _sow(self, spec: BackupSpec, look: StackSnapshot, stage: Stage) -> Mapping[str, str]:
        """Count all volumes; put a fresh witness into each that gets one, and return the texts."""
        left_out = self.context.meta.NO_WITNESS
        volumes = witness.volumes_for(spec, self.context.target.stack, left_out)
        if volumes:
            self._locate(spec, look)
        visit = self._visit(look, stage, places=self._places, write=volumes)
        self._census = visit.census
        return visit.written

    def _settle_again(self, stage: Stage, before: StackSnapshot) -> StackSnapshot:
        self.context.step(Doing(step=Step.WAIT, stage=stage))
        return self.context.settle(Before.of(before))
