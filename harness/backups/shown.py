"""What a restore could not show: pure, from the labels and from who looks at the data.

A witness shows that a volume was written back. Nothing of the harness's own shows that a hook
loaded a dump into a database: for that, a recipe needs a test of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.backups.labels import BackupSpec, short_name
from harness.core.model import RunWarning, Stage, WarningCode

NEXT = "assert restored data in tests/RECIPE/test_restore.py, and change them in a pre_restore hook"


def not_shown(
    spec: BackupSpec, *, stack: str, witnessed: Collection[str]
) -> tuple[RunWarning, ...]:
    """Return a warning of all that no assertion shows to be restored; none where all is shown.

    Args:
        spec: what the labels ask for.
        stack: the stack's name.
        witnessed: the full names of the volumes that have a witness.
    """
    what = [*_volumes(spec, stack, witnessed), *_hooks(spec)]
    if not what:
        return ()
    return (
        RunWarning(
            code=WarningCode.RESTORE_NOT_SHOWN,
            text=f"nothing shows that the restore brought the app's data back: {'; '.join(what)}",
            next=NEXT,
            stage=Stage.RESTORE,
        ),
    )


def _volumes(spec: BackupSpec, stack: str, witnessed: Collection[str]) -> Iterator[str]:
    for volume, paths in spec.by_volume().items():
        name = short_name(volume, stack)
        if paths:
            yield f"only {', '.join(paths)} of volume {name} is backed up"
        elif volume not in witnessed:
            yield f"volume {name} has no witness"


def _hooks(spec: BackupSpec) -> Iterator[str]:
    for hooks in spec.hooks:
        if hooks.has("backup") and hooks.has("restore"):
            yield f"no test looks at what the restore hook of service {hooks.service} loaded"
        elif hooks.has("backup"):
            yield f"service {hooks.service} has a backup hook and no restore hook"
