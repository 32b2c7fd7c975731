"""What holds for every recipe that has just been backed up."""

from harness.api import App, BackupView, Facts, Witnesses
from harness.backups.restic import paths_of
from harness.backups.witness import path_in_vault


def test_a_restart_leaves_the_data_as_they_were(facts: Facts) -> None:
    """All services were restarted before the backup, as by a reboot of their server.

    What the head does at its second start is seen nowhere else.
    """
    assert not (lost := facts.seen["backup"]["lost_in_restart"]), "; ".join(lost)


def test_the_snapshot_named_by_the_op_is_there_and_holds_files(
    backup: BackupView, facts: Facts
) -> None:
    """An exit code of 0 and an id are not a backup: the repository is asked for the content."""
    assert {len(identity) for identity in backup.snapshot_ids.values()} == {64}
    assert len(backup.files) == facts.seen["backup"]["files"]


def test_the_snapshot_holds_files_of_the_app(backup: BackupView, witnesses: Witnesses) -> None:
    """The harness's own witness files are no data of anybody."""
    own = {path_in_vault(volume) for volume in witnesses.expected()}
    assert backup.files.keys() - own


def test_every_declared_volume_is_in_the_snapshot(backup: BackupView) -> None:
    """A volume that is declared and not in the snapshot is data that nobody will get back."""
    for part in backup.spec.parts:
        for path in paths_of(part):
            assert backup.holds(path), f"{path} is not in the snapshot"


def test_the_snapshot_holds_every_witness(backup: BackupView, witnesses: Witnesses) -> None:
    """The volume that was saved is the one that the app uses, as it was at that moment."""
    for volume, text in witnesses.expected().items():
        found = backup.read_own(path_in_vault(volume))
        assert found.decode() == text, f"the snapshot holds another witness of volume {volume}"


def test_the_backup_leaves_the_data_as_they_were(witnesses: Witnesses, facts: Facts) -> None:
    """A hook that tidies up too much would be repaired by the restore, and never be seen."""
    lost = witnesses.problems() + facts.seen["backup"]["files_lost"]
    assert not lost, "; ".join(lost)


def test_no_excluded_volume_is_in_the_snapshot(backup: BackupView) -> None:
    """What the labels leave out is left out."""
    for volume in backup.spec.excluded:
        assert not [name for name in backup.files if name.startswith(f"/volumes/{volume}/")]


def test_what_the_base_backed_up_is_backed_up_still(backup: BackupView, facts: Facts) -> None:
    """A volume or a path that the head's labels leave out, or forget, is lost with the disk."""
    before = facts.seen.get("upgrade", {}).get("backed_up_before", {})
    now = backup.spec.by_volume()
    left_out = sorted(before.keys() - now.keys())
    assert not left_out, f"the base backs up a volume that the head does not back up: {left_out}"
    for volume, paths in before.items():
        narrowed = now[volume] and not (paths and set(paths) <= set(now[volume]))
        assert not narrowed, (
            f"the head backs up only {now[volume]} of volume {volume}, "
            f"and the base {paths or 'all of it'}"
        )


def test_the_app_still_answers(app: App) -> None:
    """A backup leaves the app as it found it."""
    assert not (problem := app.health_problem()), problem
