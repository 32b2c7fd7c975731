"""What a restore would have to begin with."""

from harness.api import BackupView


def test_the_dump_holds_a_table(backup: BackupView) -> None:
    """A file of that name is not a dump."""
    assert b"CREATE TABLE" in backup.read("/usr/share/nginx/html/dump.sql")
