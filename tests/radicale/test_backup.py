"""radicale after its backup."""

from collections.abc import Mapping

from harness.api import App, BackupView


def test_the_snapshot_holds_the_event(backup: BackupView, state: Mapping[str, str]) -> None:
    """It is read out of restic, from the collections and from the pre-hook's copy of them."""
    folder = "/data/collections/collection-root/admin/work"
    assert state["summary"] in backup.read(f"{folder}/seeded.ics").decode()
    assert state["summary"].encode() in backup.read("/data/export.tar")


def test_the_post_hook_tidied_up(app: App) -> None:
    """The copy is in the snapshot only."""
    argv = ["test", "-e", "/data/export.tar"]
    done = app.exec_in_app("app", argv, timeout=30, check=False, repeatable=True)
    assert done.code == 1
