"""custom-html after its backup."""

from collections.abc import Mapping

from harness.api import BackupView

SITE = "/usr/share/nginx/html"


def test_the_snapshot_holds_the_seeded_bytes(backup: BackupView, state: Mapping[str, str]) -> None:
    """They are read out of restic, not out of the app."""
    assert backup.read(f"{SITE}/seeded.html").decode() == state["page"]
    assert backup.read(f"{SITE}/notes/note.txt").decode() == state["note"]


def test_the_access_log_is_not_backed_up(backup: BackupView) -> None:
    """The label names the site's path only."""
    assert not [path for path in backup.files if path.endswith("access.log")]
