"""What holds for every recipe that has just been backed up."""

from harness.assertions.app import App, BackupView
from harness.assertions.protocol import Facts
from harness.backups.restic import paths_of


def test_the_snapshot_named_by_the_op_is_there_and_holds_files(
    backup: BackupView, facts: Facts
) -> None:
    """An exit code of 0 and an id are not a backup: the repository is asked for the content."""
    assert len(backup.snapshot_id) == 64
    assert len(backup.files) >= 1
    assert len(backup.files) == facts.seen["backup"]["files"]


def test_every_declared_volume_is_in_the_snapshot(backup: BackupView) -> None:
    """A volume that is declared and not in the snapshot is data that nobody will get back."""
    for part in backup.spec.parts:
        for path in paths_of(part):
            assert backup.holds(path), f"{path} is not in the snapshot"


def test_no_excluded_volume_is_in_the_snapshot(backup: BackupView) -> None:
    """What the labels leave out is left out."""
    for volume in backup.spec.excluded:
        assert not [name for name in backup.files if name.startswith(f"/volumes/{volume}/")]


def test_the_app_still_answers(app: App) -> None:
    """A backup leaves the app as it found it."""
    assert app.health_problem() == ""
