"""The ops that keep an app's data: the witnesses, the backup with its hooks, the restore.

Each returns when the app has settled again: a hook may stop, start or replace the very container
that is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.backups import witness
from harness.backups.labels import BackupSpec, short_name
from harness.backups.restic import Repository, run_hook
from harness.backups.witness import Witnesses
from harness.context import Context
from harness.docker.exec import ExecTarget
from harness.docker.readiness import Before
from harness.docker.snapshot import StackSnapshot
from harness.errors import BackupError
from harness.ledger import Op

HOOK_SECONDS = 600.0
SHOWN = 2000  # characters of what a hook printed that are kept


@dataclass(kw_only=True)
class BackupOperations:
    """The backup, the restore and the witnesses of one run.

    `vault` is the repository as seen from the container that has the app's volumes, once there is
    one.

    Args:
        context: what all ops of the run share.
        target: returns where commands for a service are run.
    """

    context: Context
    target: Callable[[str], ExecTarget]
    vault: Repository | None = None
    _snapshot: str = ""
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
            "witnesses": self._sow(spec),
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
        vault = self._open(spec)
        self._witnesses = self._sow(spec)
        self.context.ledger.begin(Op.BACKUP)
        hooks = self._hooks(spec, "backup.pre-hook")
        made = vault.backup(
            spec.parts, host=self.context.target.stack, own_files=len(self._witnesses)
        )
        hooks += self._hooks(spec, "backup.post-hook")
        self.context.ledger.end(Op.BACKUP, snapshot=made.id)
        self._snapshot = made.id
        self._settle_again(look)
        return {
            "snapshot": made.id,
            "files": made.files,
            "bytes": made.size,
            "volumes": sorted({part.volume for part in spec.parts}),
            "excluded": list(spec.excluded),
            "witnesses": self._witnesses,
            "hooks": hooks,
        }

    def restore(self) -> dict[str, Any]:
        """Restore the snapshot that the backup made, over witnesses that were changed since.

        Raises:
            BackupError: a hook failed.
        """
        look = self.context.look()
        spec = self._spec(look)
        vault = self._open(spec)
        changed = self._write(tuple(self._witnesses), vault)
        self.context.ledger.begin(Op.RESTORE, snapshot=self._snapshot)
        hooks = self._hooks(spec, "restore.pre-hook")
        vault.restore(self._snapshot, spec.parts)
        hooks += self._hooks(spec, "restore.post-hook")
        self.context.ledger.end(Op.RESTORE, snapshot=self._snapshot)
        self._settle_again(look)
        return {
            "snapshot": self._snapshot,
            "witnesses": self._witnesses,
            "changed_witnesses": changed,
            "hooks": hooks,
        }

    def _spec(self, look: StackSnapshot) -> BackupSpec:
        return BackupSpec.of(look.services, self.context.target.stack)

    def _open(self, spec: BackupSpec) -> Repository:
        volumes = tuple(sorted({part.volume for part in spec.parts}))
        self.vault = self.context.tools.vault(volumes)
        return self.vault

    def _sow(self, spec: BackupSpec) -> Mapping[str, str]:
        """Put a fresh witness into each volume that gets one, and return the texts by volume."""
        left_out = self.context.meta.NO_WITNESS
        volumes = witness.volumes_for(spec, self.context.target.stack, left_out)
        return self._write(volumes, self._open(spec)) if volumes else {}

    def _write(self, volumes: tuple[str, ...], vault: Repository) -> Mapping[str, str]:
        stack = self.context.target.stack
        return Witnesses(vault=vault.target, stack=stack).write(volumes)

    def _hooks(self, spec: BackupSpec, label: str) -> list[dict[str, str]]:
        """Run every service's hook of that label, and return what each printed."""
        done = []
        for hooks in spec.hooks:
            command = hooks.command(label)
            if command:
                said = run_hook(
                    self.target(hooks.service), command, label=label,
                    timeout=HOOK_SECONDS * self.context.factor,
                )  # fmt: skip
                done.append({"service": hooks.service, "label": label, "output": said[-SHOWN:]})
        return done

    def _settle_again(self, before: StackSnapshot) -> None:
        self.context.step("waiting until settled")
        self.context.settle(Before.of(before))
