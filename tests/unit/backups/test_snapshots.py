"""What a snapshot holds, and where: read from an unpacked one, in a directory of this machine."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.backups.labels import BackupSpec, VolumePart
from harness.backups.restic import EXTRACTED, REPOSITORY, Repository, snapshot_path
from harness.core.errors import BackupError
from tests.unit.fake_vault import FakeVault


def part(service: str, volume: str, target: str = "/data") -> VolumePart:
    """Return a volume that is backed up whole."""
    return VolumePart(volume=volume, service=service, target=target)


def test_every_regular_file_is_listed_with_its_size(tmp_path: Path) -> None:
    """Whatever its name; no folder and no link."""
    vault = FakeVault(tmp_path)
    folder = Path(f"{tmp_path}{EXTRACTED}/0a1b/volumes/v")
    (folder / "empty folder").mkdir(parents=True)
    (folder / "link").symlink_to("none")
    sizes = {"none": 0, "a b": 3, "two\nlines": 70_000, "n\u00e4me": 1}
    for name, size in sizes.items():
        (folder / name).write_bytes(b"x" * size)
    found = Repository(target=vault.target).files(f"{EXTRACTED}/0a1b")
    assert found == {f"/volumes/v/{name}": size for name, size in sizes.items()}


def test_a_snapshot_may_be_empty_where_others_are_not(tmp_path: Path) -> None:
    """A node's share of an app may hold nothing; without that leave, an empty backup is refused."""
    snapshots = Path(f"{tmp_path}{REPOSITORY}/snapshots")

    def restic(_argv: Sequence[str]) -> str:
        snapshots.mkdir(exist_ok=True)
        (snapshots / "0a1b2c").touch()
        return (
            '{"message_type":"summary","snapshot_id":"0a1b","total_bytes_processed":0,'
            '"total_files_processed":0}\n'
        )

    vault = FakeVault(tmp_path, restic)
    vault.volume("v")
    repository = Repository(target=vault.target)
    assert repository.backup([part("app", "v")], host="h", own_files=None).files == 0
    with pytest.raises(BackupError, match="the backup is empty"):
        repository.backup([part("app", "v")], host="h")


def test_a_path_is_looked_for_on_the_volume_of_its_own_service() -> None:
    """Two services mount two volumes at one place; a folder beside the mount is on neither."""
    spec = BackupSpec(parts=(part("db", "s_db"), part("app", "s_app")), excluded=(), hooks=())
    assert snapshot_path(spec, "app", "/data/x") == "/volumes/s_app/x"
    assert snapshot_path(spec, "db", "/data") == "/volumes/s_db"
    for service, path in (("app", "/database"), ("cache", "/data/x")):
        with pytest.raises(BackupError, match=f"{path} of service {service} is on no volume"):
            snapshot_path(spec, service, path)
