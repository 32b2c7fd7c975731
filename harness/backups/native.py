"""The backup driver `restic`: the harness runs the hooks, and restic beside the app's volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.backups.driver import HookRun, Job, Made
from harness.backups.restic import require_data, run_hook

HOOK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ResticDriver:
    """Backs up by itself, into a repository of the run on each node that volumes lie on."""

    name: str = "restic"

    def back_up(self, job: Job) -> Made:
        """See `Driver.back_up`."""
        several = len(job.parts) > 1
        hooks = _hooks(job, "backup.pre-hook")
        made = {}
        for node, parts in job.parts.items():
            with job.vault(node) as repository:
                made[node] = repository.backup(
                    parts, host=job.stack, own_files=None if several else job.own_files
                )
        files = sum(snapshot.files for snapshot in made.values())
        if several:  # that one of them is empty may be as it should
            require_data(files - job.own_files, job.spec.parts)
        hooks += _hooks(job, "backup.post-hook")
        return Made(
            snapshots={node: snapshot.id for node, snapshot in made.items()},
            files=files,
            size=sum(snapshot.size for snapshot in made.values()),
            hooks=hooks,
            vanished=tuple(path for snapshot in made.values() for path in snapshot.vanished),
        )

    def restore(self, job: Job, snapshots: Mapping[str, str]) -> tuple[HookRun, ...]:
        """See `Driver.restore`."""
        hooks = _hooks(job, "restore.pre-hook")
        for node, parts in job.parts.items():
            with job.vault(node) as repository:
                repository.restore(snapshots[node], parts)
        return hooks + _hooks(job, "restore.post-hook")


def _hooks(job: Job, label: str) -> tuple[HookRun, ...]:
    """Run every service's hook of that label."""
    return tuple(
        HookRun(
            service=hooks.service,
            label=label,
            output=run_hook(
                job.target(hooks.service), command, label=label, timeout=HOOK_SECONDS * job.factor
            ),
        )
        for hooks in job.spec.hooks
        if (command := hooks.command(label))
    )
