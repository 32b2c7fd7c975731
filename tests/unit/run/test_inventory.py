"""What the snapshot holds is told apart by volume, declared or not."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from harness.backups.labels import BackupSpec
from harness.run import inventory
from tests.unit.fake_stack import STACK, service

LABELS = {
    "backupbot.backup": "true",
    "backupbot.backup.volumes.cache": "false",
    "backupbot.backup.volumes.half.path": "a,b",
}
VOLUMES = {"data": "/data", "cache": "/cache", "half": "/half"}


def test_every_volume_is_there_with_what_was_asked_for() -> None:
    """Whole, some paths, left out, and one beside what an old label names."""
    app = service(labels=LABELS, volumes=VOLUMES)
    old = {"backupbot.backup.path": "/shared"}
    other = service("db", labels=old, volumes={"rows": "/rows", "data": "/shared"})
    files = {
        f"/volumes/{STACK}_data/x": 3,
        f"/volumes/{STACK}_data/d/y": 4,
        f"/volumes/{STACK}_half/a": 5,
        f"/volumes/{STACK}_database/z": 100,
    }
    spec = BackupSpec.of((app, other), STACK)
    found = inventory.contents((app, other), spec, files, stack=STACK)
    assert [(one.volume, one.declared, one.files, one.bytes) for one in found] == [
        ("cache", "left out", 0, 0),
        ("data", "whole", 2, 7),
        ("half", "a, b", 1, 5),
        ("rows", "not asked for", 0, 0),
    ]
    assert found[1].mounts == {"app": "/data", "db": "/shared"}


class Repository:
    """A repository with one snapshot."""

    def extract(self, identity: str) -> str:
        """Unpack it, unless that was done before."""
        return f"/extracted/{identity}"

    def files(self, directory: str) -> Mapping[str, int]:
        """List."""
        return {f"/volumes/v{directory}": 1}


def test_the_files_of_all_nodes_snapshots_are_listed() -> None:
    """Each of its own node's repository."""
    view: Any = SimpleNamespace(
        snapshot_ids={"n": "id1", "m": "id2"}, repositories=lambda _: Repository()
    )
    assert inventory.files_in(view) == {
        "/volumes/v/extracted/id1": 1,
        "/volumes/v/extracted/id2": 1,
    }
