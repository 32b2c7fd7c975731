"""What the snapshot holds is told apart by volume, declared or not."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from harness import inventory
from harness.backups.labels import BackupSpec
from tests.unit.fake_stack import STACK, service

LABELS = {
    "backupbot.backup": "true",
    "backupbot.backup.volumes.cache": "false",
    "backupbot.backup.volumes.half.path": "a,b",
}
VOLUMES = {"data": "/data", "cache": "/cache", "half": "/half"}


def test_every_volume_is_there_with_what_was_asked_for() -> None:
    """Whole, some paths, left out, and that of a service that asks for nothing."""
    app = service(labels=LABELS, volumes=VOLUMES)
    other = service("db", volumes={"rows": "/rows", "data": "/shared"})
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
    """A repository whose snapshot was unpacked already, or was not."""

    def __init__(self, *, unpacked: bool) -> None:
        self.unpacked = unpacked
        self.done: list[str] = []

    def holds(self, directory: str, path: str) -> bool:
        """Whether there is that path."""
        assert (directory, path) == ("/", "/extracted/id1")
        return self.unpacked

    def extract(self, identity: str) -> None:
        """Unpack."""
        self.done.append(identity)

    def files(self, directory: str) -> Mapping[str, int]:
        """List."""
        assert directory == "/extracted/id1"
        return {"/volumes/v/x": 1}


def test_a_snapshot_is_unpacked_once() -> None:
    """An assertion has done so as a rule; restic takes most of a second for it."""
    for unpacked, done in ((True, []), (False, ["id1"])):
        repository = Repository(unpacked=unpacked)
        view: Any = SimpleNamespace(
            snapshot_ids={"n": "id1"}, repositories=lambda _, made=repository: made
        )
        assert inventory.files_in(view) == {"/volumes/v/x": 1}
        assert repository.done == done
