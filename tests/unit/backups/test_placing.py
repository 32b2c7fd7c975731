"""On which nodes volumes lie, and what becomes of a backup of several nodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.assertions.app import BackupView
from harness.backups.labels import VolumePart
from harness.backups.placing import places, require_in_place
from harness.backups.restic import Snapshot
from harness.core.errors import BackupError, TestBedError
from harness.stages.backup_operations import BackupOperations
from tests.unit.fake_run import LABELS, Bench
from tests.unit.fake_stack import NODE, STACK, ended, look, service, task

APP, DB = service(volumes={"data": "/d"}), service("db", volumes={"db": "/d"})
DATA, BASE = f"{STACK}_data", f"{STACK}_db"


def part(owner: str = "app", volume: str = DATA) -> VolumePart:
    """Return a volume that is backed up."""
    return VolumePart(volume=volume, service=owner, target="/d")


def names(node: str) -> str:
    """Return a node's name."""
    return f"name of {node}"


def test_a_volume_lies_where_its_services_task_runs() -> None:
    """Each on a node of its own, perhaps; tasks that have ended say nothing any more."""
    old = ended(task(APP, node_id="n9"))
    seen = look(APP, DB, tasks=(old, task(APP, 2, node_id="n2"), task(DB)))
    found = places(seen, [part(), part("db", BASE)], name=names)
    assert found == {DATA: "n2", BASE: NODE}


def test_a_service_that_does_not_run_left_its_volume_where_it_ran_last() -> None:
    """And one that never ran has none anywhere: the manager's node is as good as another."""
    first, last = ended(task(APP, node_id="n1")), ended(task(APP, 2, node_id="n2"))
    assert places(look(APP, tasks=(first, last)), [part()], name=names) == {DATA: "n2"}
    assert places(look(APP, tasks=()), [part()], name=names) == {DATA: NODE}


def test_a_volume_on_several_nodes_is_several_volumes() -> None:
    """A backup of one of them says nothing of the others."""
    seen = look(APP, tasks=(task(APP, node_id="n1"), task(APP, 2, node_id="n2")))
    with pytest.raises(TestBedError, match="lies on several nodes: name of n1, name of n2"):
        places(seen, [part()], name=names)


def test_a_volume_whose_service_moved_stayed_behind() -> None:
    """What the new node's volume lacks was not lost by the recipe."""
    require_in_place({DATA: "n1"}, {DATA: "n1", BASE: "n2"}, name=names)
    with pytest.raises(TestBedError, match="moved from node name of n1 to name of n2"):
        require_in_place({DATA: "n1"}, {DATA: "n2"}, name=names)


# The ops


class Wide(Bench):
    """A bench with a second node, on which the task of the service `side` runs."""

    each = 2  # files that restic finds in each volume, the witness among them

    @contextmanager
    def vault(self, volumes: tuple[str, ...], *, node: str = "") -> Iterator[Any]:
        """Give what has the volumes of a node."""
        self.events.append(f"vault of {node or 'own'}: {' '.join(volumes)}")
        self.mounted = set(volumes)
        yield _Elsewhere(self, node)
        self.mounted = set()


class _Elsewhere:
    """The repository of one node: what is done there is an event with its name."""

    def __init__(self, bench: Wide, node: str) -> None:
        self.bench, self.node = bench, node or "own"

    @property
    def target(self) -> Any:  # noqa: ANN401  where witnesses are written
        """Where commands are run."""
        return self.bench.target

    def backup(self, parts: Any, *, host: str, own_files: int | None) -> Snapshot:  # noqa: ANN401
        """Make a snapshot of one file for each volume, and the witness in it."""
        assert (host, own_files) == (STACK, None)
        self.bench.events.append(f"backup on {self.node}")
        return Snapshot(id=f"id-{self.node}", files=self.bench.each * len(parts), size=10)

    def restore(self, snapshot: str, parts: Any) -> None:  # noqa: ANN401
        """Restore."""
        self.bench.events.append(f"restore {snapshot} on {self.node}: {len(parts)}")

    def put_back(self, snapshot: str, parts: Any) -> Any:  # noqa: ANN401  stands in for a `PutBack`
        """Return what compares the volumes of this node with its snapshot."""
        assert len(parts) == 1

        def compare(**_: object) -> tuple[str, ...]:
            self.bench.events.append(f"compare with {snapshot} on {self.node}")
            return ()

        return SimpleNamespace(not_put_back=compare)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wide:
    """An app with a service on each of two nodes, both of which are backed up."""
    made = Wide(tmp_path)
    monkeypatch.setattr("harness.stages.context.settle", made.settle)
    monkeypatch.setattr("harness.stages.context.read_stack", made.read)
    monkeypatch.setattr("harness.stages.context.restart", made.restart)
    monkeypatch.setattr("harness.backups.native.run_hook", made.hook)
    monkeypatch.setattr("harness.volumes.running.Running._processes", lambda *_: ())
    wide(made)
    return made


def backups(bench: Wide) -> BackupOperations:
    """Return what backs up and restores over that bench."""
    target: Any = SimpleNamespace
    context = bench.operations().context
    context.nodes._clients["n2"] = context.nodes.client  # noqa: SLF001  the fake engine of another node
    return BackupOperations(context=context, target=lambda service: target(name=service))


def wide(bench: Wide, node: str = "n2") -> None:
    """Put a second service with a volume on another node."""
    labels = {"backupbot.backup": "true"}
    side = service("side", volumes={"notes": "/notes"}, labels=labels)
    app = service(volumes={"data": "/d"}, labels=LABELS)
    bench.stack = look(app, side, tasks=(task(app), task(side, node_id=node)))


def test_each_node_has_a_snapshot_of_its_own(bench: Wide) -> None:
    """Witnesses, backup and restore reach each volume where it lies."""
    operations = backups(bench)
    facts = operations.backup()
    assert facts["snapshots"] == {NODE: "id-own", "n2": "id-n2"}
    assert (facts["snapshot"], facts["files"], facts["bytes"]) == ("id-own", 4, 20)
    assert facts["places"] == {DATA: NODE, f"{STACK}_notes": "n2"}
    assert len(bench.written) == 2
    restored = operations.restore()
    assert restored["places"] == facts["places"]
    assert [event for event in bench.events if event.startswith(("restore", "compare"))] == [
        "restore id-own on own: 1", "restore id-n2 on n2: 1",
        "compare with id-own on own", "compare with id-n2 on n2",
    ]  # fmt: skip


def test_backups_of_nothing_but_witnesses_are_empty_together(bench: Wide) -> None:
    """One of them may be; all of them may not."""
    bench.each = 1
    with pytest.raises(BackupError, match="the backup is empty"):
        backups(bench).backup()


def test_a_service_that_moved_ends_the_upgrade_as_an_error(bench: Wide) -> None:
    """Its volume stayed behind: a lost witness would blame the recipe."""
    operations = backups(bench)
    operations.before_upgrade(bench.stack)
    operations.require_in_place(bench.stack)
    moved = tuple(replace(one, node_id=NODE) for one in bench.stack.tasks)
    with pytest.raises(TestBedError, match="moved from node n2 to n"):
        operations.require_in_place(replace(bench.stack, tasks=moved))


# What assertions see


class Unpacked:
    """A repository whose snapshot holds these files."""

    def __init__(self, **files: bytes) -> None:
        self.held = {f"/volumes/{name}": content for name, content in files.items()}

    def extract(self, snapshot: str) -> str:
        """Unpack it."""
        return f"/extracted/{snapshot}"

    def files(self, directory: str) -> dict[str, int]:
        """List it."""
        assert directory.startswith("/extracted/id-")
        return {path: len(content) for path, content in self.held.items()}

    def holds(self, _directory: str, path: str) -> bool:
        """Look for a path."""
        return path in self.held

    def read(self, _directory: str, path: str) -> bytes:
        """Read a file."""
        if path not in self.held:
            raise BackupError(f"the snapshot does not hold {path}")
        return self.held[path]


def test_snapshots_of_several_nodes_are_shown_as_one() -> None:
    """An assertion need not know where a volume lies."""
    there: Any = {"n1": Unpacked(a=b"1"), "n2": Unpacked(b=b"22")}
    seen = {"backup": {"snapshot": "id-1", "snapshots": {"n1": "id-1", "n2": "id-2"}}}
    app: Any = SimpleNamespace(facts=SimpleNamespace(seen=seen))
    view = BackupView(app=app, repositories=there.__getitem__)
    assert view.files == {"/volumes/a": 1, "/volumes/b": 2}
    assert [view.holds(f"/volumes/{name}") for name in "abc"] == [True, True, False]
    assert (view.read_own("/volumes/a"), view.read_own("/volumes/b")) == (b"1", b"22")
    with pytest.raises(BackupError, match="does not hold"):
        view.read_own("/volumes/c")
