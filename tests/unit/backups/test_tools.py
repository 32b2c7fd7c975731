"""The harness's own containers beside an app, and the repository that they share."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from harness.backups.labels import VolumePart
from harness.backups.put_back import LOG
from harness.backups.restic import ENVIRONMENT, FOLDERS, REPOSITORY, Repository, Snapshot, run_hook
from harness.backups.tools import ATTEMPTS, SORTED, ToolContainers
from harness.core import proc
from harness.core.errors import (
    BackupError,
    EngineError,
    ExecFailedError,
    ExecNotStartedError,
    ExecOutputError,
    ExecTimeoutError,
    HarnessError,
    TestBedError,
)
from harness.core.model import Outcome
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import FakeContainer, FakeEngine, FakeNetwork
from tests.unit.fake_vault import FakeVault

LABELS = {"ccci.run": "run1"}
FORGOTTEN = "attaching to network failed: could not find network s3cr"


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that does what it is asked."""
    made = FakeEngine()
    made.networks_by_name = {name: FakeNetwork(made) for name in ("none", "proxy")}
    return made


@pytest.fixture
def notes() -> list[str]:
    """What is noted of starts that had to be tried again."""
    return []


@pytest.fixture
def tools(engine: FakeEngine, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> ToolContainers:
    """The containers of one run."""
    stop_the_clock(monkeypatch)
    return ToolContainers(
        client=engine.client, image="tool:1", stack="s_test", labels=LABELS, note=notes.append
    )


def where(repository: Repository) -> str:
    """Return the id of the container that a repository is seen from."""
    return str(repository.target.resolve())


def mounts(container: FakeContainer) -> dict[str, dict[str, Any]]:
    """Return what is mounted in a container, by target."""
    return {mount["Target"]: mount for mount in container.options["mounts"]}


def on_networks(engine: FakeEngine) -> dict[str, list[str]]:
    """Return the ids of the containers on each network."""
    return {name: network.on_it for name, network in engine.networks_by_name.items()}


# The reader


def test_the_reader_has_the_repository_and_is_on_no_network(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """An empty one is put into it, on a volume that the clean-up finds by the run's labels."""
    identity = tools.start_reader()
    reader = engine.running[identity]
    assert engine.volumes_made == {"s_test_ccci-repository": LABELS}
    assert mounts(reader).keys() == {"/store"}
    assert on_networks(engine) == {"none": [], "proxy": []}
    assert reader.options["labels"] == {**LABELS, "ccci.role": "reader"}


def test_the_reader_is_on_the_apps_network_only_while_it_asks(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """However often it is told to join or leave."""
    identity = tools.start_reader()
    with tools.asking():
        tools.join()
        assert on_networks(engine) == {"none": [], "proxy": [identity]}
    assert on_networks(engine) == {"none": [], "proxy": []}
    tools.leave()
    tools.join()
    assert on_networks(engine)["proxy"] == [identity]


def test_the_reader_leaves_also_when_asking_fails(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """What comes next may replace the app's containers all the same."""
    tools.start_reader()

    def ask() -> None:
        with tools.asking():
            raise TestBedError("no answer")

    with pytest.raises(TestBedError):
        ask()
    assert on_networks(engine)["proxy"] == []


def test_a_network_that_is_gone_needs_no_leaving(
    tools: ToolContainers, engine: FakeEngine, notes: list[str]
) -> None:
    """It is noted, and the run goes on."""
    tools.start_reader()
    tools.join()
    del engine.networks_by_name["proxy"]
    tools.leave()
    assert notes[-1] == "the network proxy is gone already"


def test_a_network_that_the_node_forgot_is_joined_once_it_is_back(
    tools: ToolContainers, engine: FakeEngine, notes: list[str]
) -> None:
    """Each attempt leaves a trace."""
    identity = tools.start_reader()
    engine.refused_joins = [FORGOTTEN, "network s3cr not found"]
    tools.join()
    assert on_networks(engine)["proxy"] == [identity]
    assert [note.partition(":")[0] for note in notes] == [
        "joining the network, 1", "joining the network, 2",
    ]  # fmt: skip


def test_a_network_that_never_comes_back_is_the_engines_fault(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """The attempts are bounded, and what the engine said is in the message."""
    tools.start_reader()
    engine.refused_joins = [FORGOTTEN] * 100
    with pytest.raises(EngineError, match="could not find network"):
        tools.join()
    assert len(engine.refused_joins) == 100 - ATTEMPTS


def test_any_other_refusal_to_join_is_told_at_once(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """It would only be refused again."""
    tools.start_reader()
    engine.refused_joins = ["address pool exhausted"] * 2
    with pytest.raises(APIError):
        tools.join()
    assert len(engine.refused_joins) == 1


# The vault


def test_a_vault_has_the_volumes_and_no_network(tools: ToolContainers, engine: FakeEngine) -> None:
    """Those that a mount makes are found by the clean-up, and nothing of the image is in them."""
    with tools.vault(("s_test_a", "s_test_b")) as repository:
        vault = engine.running[where(repository)]
    found = mounts(vault)
    assert {target: mount["Source"] for target, mount in found.items()} == {
        "/store": "s_test_ccci-repository",
        "/volumes/s_test_a": "s_test_a",
        "/volumes/s_test_b": "s_test_b",
    }
    for name in ("a", "b"):
        options = found[f"/volumes/s_test_{name}"]["VolumeOptions"]
        assert options == {"NoCopy": True, "Labels": LABELS}
    assert vault.options["network"] == "none"
    assert vault.options["labels"] == {**LABELS, "ccci.role": "vault-1"}


def test_a_vault_is_gone_at_the_end_of_its_block(tools: ToolContainers, engine: FakeEngine) -> None:
    """However the block ends: a volume that stays mounted outlives the app's own mount."""
    with tools.vault(("a",)):
        assert engine.started() == ["s_test_ccci-vault-1"]
    assert not engine.running

    def fail() -> None:
        with tools.vault(("a",)):
            raise TestBedError("it hangs")

    with pytest.raises(TestBedError):
        fail()
    assert not engine.running
    assert engine.removed == ["s_test_ccci-vault-1.1", "s_test_ccci-vault-2.2"]


def test_a_vault_that_cannot_be_started_is_removed(
    tools: ToolContainers, engine: FakeEngine
) -> None:
    """It would hold the volumes otherwise."""
    engine.refused_starts = ["no room"]
    with pytest.raises(APIError), tools.vault(("a",)):
        raise AssertionError("the block must not run")
    assert engine.removed == ["s_test_ccci-vault-1.1"]


@pytest.mark.parametrize(
    "found",
    [{"Options": {"o": "bind", "device": "/srv"}}, {"Driver": "nfs", "Options": None}],
)
def test_a_vault_never_mounts_what_leads_to_the_host(
    tools: ToolContainers,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    found: Mapping[str, Any],
) -> None:
    """The last door before a file of the host: whatever a service said, the engine knows."""
    monkeypatch.setattr(engine, "inspect_volume", lambda _: found)
    with pytest.raises(TestBedError, match="did not make"), tools.vault(("a",)):
        raise AssertionError("the block must not run")
    assert not engine.running
    monkeypatch.setattr(engine, "inspect_volume", lambda _: {"Driver": "local", "Options": None})
    with tools.vault(("a",)):
        assert engine.running


# Both


def test_every_container_finds_one_repository(tools: ToolContainers, engine: FakeEngine) -> None:
    """The reader brings it, empty; a vault must not bring it again, over what is in it."""
    tools.start_reader()
    with tools.vault(("a",)):
        reader, vault = engine.running.values()
    assert all(one.options["environment"] == ENVIRONMENT for one in (reader, vault))
    with tarfile.open(fileobj=io.BytesIO(reader.files)) as archive:
        found = {f"/{entry.name}": entry.isdir() for entry in archive.getmembers()}
    assert {path for path, folder in found.items() if folder} == {
        f"{REPOSITORY}{folder}" for folder in FOLDERS
    }
    files = [path for path, folder in found.items() if not folder]
    assert [Path(path).parent.name for path in files] == ["repository", "keys"]
    assert vault.files == b""


# The repository


def parts(*paths: str) -> tuple[VolumePart, ...]:
    """Return what is backed up of one volume."""
    return (VolumePart(volume="v", service="app", target="/data", paths=paths),)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository in which restic finds two files in the volume."""
    return reporting(tmp_path, files=2)


def reporting(place: Path, *, files: int, said: str = "", code: int = 0) -> Repository:
    """Return a repository whose restic reports so many files."""

    def restic(argv: Sequence[str]) -> str:
        assert list(argv[:4]) == ["restic", "--quiet", "backup", "--json"]
        (place / "store/repository/snapshots/0a1b2c").touch()
        return (
            '{"message_type":"summary","snapshot_id":"0a1b","total_bytes_processed":9,'
            f'"total_files_processed":{files}}}\n'
        )

    vault = FakeVault(place, restic, said=said, code=code)
    vault.volume("v")
    (place / "store/repository/snapshots").mkdir()
    return Repository(target=vault.target)


def test_a_backup_names_its_snapshot_in_full(repository: Repository) -> None:
    """With what restic reported of it."""
    assert repository.backup(parts(), host="h") == Snapshot(id="0a1b2c", files=2, size=9)


@pytest.mark.parametrize(("files", "own"), [(0, 0), (1, 1), (2, 2), (1, 2)])
def test_a_backup_of_nothing_but_the_harness_own_files_is_empty(
    tmp_path: Path, files: int, own: int
) -> None:
    """A witness is no data of the app: with it in every volume, no backup would ever be empty."""
    with pytest.raises(BackupError, match="the backup is empty: no file below /volumes/v"):
        reporting(tmp_path, files=files).backup(parts(), host="h", own_files=own)


@pytest.mark.parametrize(("files", "own"), [(1, 0), (2, 1), (3, 1)])
def test_one_file_of_the_app_is_enough(tmp_path: Path, files: int, own: int) -> None:
    """What it has to be is for the recipe's own assertions to say."""
    assert reporting(tmp_path, files=files).backup(parts(), host="h", own_files=own).files == files


def test_a_declared_path_that_is_not_there_fails_the_backup(repository: Repository) -> None:
    """It would be backed up as nothing, quietly."""
    with pytest.raises(BackupError, match="what does not exist: /volumes/v/sub"):
        repository.backup(parts("sub"), host="h")


def test_a_restore_unpacks_the_named_snapshot_and_puts_it_back_by_names(tmp_path: Path) -> None:
    """Not the newest one; names are not patterns. See test_put_back.py for the rest."""
    restored: list[Sequence[str]] = []

    def restic(argv: Sequence[str]) -> str:
        restored.append(argv)
        (tmp_path / argv[-1].lstrip("/")).mkdir()
        return ""

    vault = FakeVault(tmp_path, restic)
    Repository(target=vault.target).restore("0a1b", parts("album [2024]", "a/b*"))
    assert restored == [
        ["restic", "--quiet", "restore", "0a1b", "--target", "/store/extracted/0a1b.part"]
    ]
    names = ["v/album [2024]", "v/a/b*"]
    assert vault.handed == [["/store/extracted/0a1b/volumes", "/volumes", LOG, *names]]


def test_a_restore_that_breaks_off_says_what_it_left(tmp_path: Path) -> None:
    """An operator has to know whether data are gone before restoring by hand."""
    log = (
        "written v/\nwritten v/a\ndeleting v/f/x\nwritten v/b c\nwritten v/d\n"
        "lacks v/d\nremoved v/later\n"
    )
    (tmp_path / "store/extracted/0a1b").mkdir(parents=True)
    vault = FakeVault(tmp_path, put_back=(1, log))
    with pytest.raises(TestBedError) as caught:
        Repository(target=vault.target).restore("0a1b", parts())
    assert caught.value.what == (
        "the restore failed: it broke off after 2 file(s) were written, the last one v/b c, "
        "1 were not; 2 were deleted"
    )
    assert caught.value.cause == "rsync: no room"


GONE = '{"message_type":"error","error":{"Op":"lstat","Path":"/volumes/v/x","Err":2},'
NEWER = '{"message_type":"error","error":{"message":"open /x: no such file or directory"},'
DENIED = '{"message_type":"error","error":{"Op":"open","Path":"/volumes/v/x","Err":13},'
BROKEN = '{"message_type":"error","error":{"Op":"read","Path":"/volumes/v/x","Err":5},'
ITEM = '"during":"archival","item":"/volumes/v/x"}'


@pytest.mark.parametrize("said", [GONE, NEWER, DENIED], ids=["gone", "worded", "gone by now"])
def test_a_file_that_vanishes_while_it_is_backed_up_is_no_error(tmp_path: Path, said: str) -> None:
    """An app goes on writing; restic's snapshot is whole all the same, and its code is 3."""
    repository = reporting(tmp_path, files=2, said=f"{said}{ITEM}\n\n", code=3)
    assert repository.backup(parts(), host="h").vanished == ("/volumes/v/x",)


@pytest.mark.parametrize(("said", "reason"), [(DENIED, "open: EACCES"), (BROKEN, "read: EIO")])
def test_a_file_that_is_there_and_cannot_be_read_fails_the_backup(
    tmp_path: Path, said: str, reason: str
) -> None:
    """Its data are in no snapshot."""
    repository = reporting(tmp_path, files=2, said=f"{said}{ITEM}\n", code=3)
    (tmp_path / "volumes/v/x").touch()
    with pytest.raises(TestBedError) as caught:
        repository.backup(parts(), host="h")
    assert caught.value.cause == f"/volumes/v/x: {reason}"


@pytest.mark.parametrize("code", [1, 130])
def test_any_other_code_of_restic_is_a_failure(tmp_path: Path, code: int) -> None:
    """However many files vanished."""
    repository = reporting(tmp_path, files=2, said=f"{GONE}{ITEM}\n", code=code)
    with pytest.raises(TestBedError, match=rf"exit code {code}\b"):
        repository.backup(parts(), host="h")


def test_a_path_behind_a_link_is_refused(tmp_path: Path) -> None:
    """It may lead out of the volume, into another app's or the tool container's own files."""
    repository = reporting(tmp_path, files=2)
    (tmp_path / "volumes/v/out").symlink_to(tmp_path)
    with pytest.raises(BackupError, match=r"/volumes/v/out/store, which leads through a link"):
        repository.backup(parts("out/store"), host="h")


# The hooks


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true | cat", 0),
        ("false | cat", 1),
        ("exit 7", 7),
        ("no-such-dump | gzip > /dev/null", 127),
    ],
)
def test_a_hook_fails_if_any_part_of_its_pipe_does(tmp_path: Path, command: str, code: int) -> None:
    """Half a dump, compressed without an error, is not a dump. Every machine here has bash."""
    vault = FakeVault(tmp_path)
    vault.name = "app"
    if code == 0:
        assert run_hook(vault.target, command, label="backup.pre-hook", timeout=30) == ""
        return
    with pytest.raises(BackupError, match=rf"backup.pre-hook of service app .* code {code}\b"):
        run_hook(vault.target, command, label="backup.pre-hook", timeout=30)


def test_a_hook_that_prints_without_end_has_failed(tmp_path: Path) -> None:
    """The recipe's hook is named, with the limit and the end of what it printed."""
    said = ExecOutputError("`sh` in app wrote more", detail="x" * 9000 + "the end")
    vault = FakeVault(tmp_path, broken=said)
    vault.name = "app"
    with pytest.raises(BackupError, match=r"backup.pre-hook of service app wrote more") as one:
        run_hook(vault.target, "yes", label="backup.pre-hook", timeout=30)
    assert one.value.detail.endswith("the end")
    assert "the recipe" in one.value.cause


def test_a_snapshot_is_unpacked_once(tmp_path: Path) -> None:
    """It is there for whoever looks next, but not before all of it is: restic takes a second."""
    targets: list[str] = []

    def restic(argv: Sequence[str]) -> str:
        assert list(argv[2:5]) == ["restore", "0a1b", "--target"]
        targets.append(argv[5])
        (tmp_path / argv[5].lstrip("/") / "volumes").mkdir(parents=True)
        return ""

    repository = Repository(target=FakeVault(tmp_path, restic).target)
    assert repository.extract("0a1b") == repository.extract("0a1b") == "/store/extracted/0a1b"
    assert targets == ["/store/extracted/0a1b.part"]
    assert [path.name for path in (tmp_path / "store/extracted").iterdir()] == ["0a1b"]


def test_a_bots_volumes_are_put_where_ours_would_be(tmp_path: Path) -> None:
    """Without the directory that the engine keeps a volume's data in; nothing is left beside."""
    place = tmp_path / "0a1b"
    for volume in ("s_data", "s_a b"):
        data = tmp_path / "0a1b.raw/var/lib/docker/volumes" / volume / "_data"
        data.mkdir(parents=True)
        (data / "file").touch()
    (tmp_path / "0a1b.part/volumes").mkdir(parents=True)
    proc.run(["sh", "-ec", SORTED, "ccci", str(place)], timeout=30)
    found = sorted(str(path.relative_to(place)) for path in place.rglob("file"))
    assert found == ["volumes/s_a b/file", "volumes/s_data/file"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_bots_snapshot_without_a_volume_is_refused(tmp_path: Path) -> None:
    """Then it keeps them elsewhere, and an empty place would look like an empty backup."""
    (tmp_path / "0a1b.raw").mkdir()
    (tmp_path / "0a1b.part/volumes").mkdir(parents=True)
    words = ["sh", "-ec", SORTED, "ccci", str(tmp_path / "0a1b")]
    assert proc.run(words, timeout=30, check=False).code != 0
    assert not (tmp_path / "0a1b").exists()


CALLS: Mapping[str, Callable[[Repository], object]] = {
    "backup": lambda repository: repository.backup(parts(), host="h"),
    "restore": lambda repository: repository.restore("0a1b", parts()),
    "extract": lambda repository: repository.extract("0a1b"),
    "files": lambda repository: repository.files("/store/extracted/0a1b"),
    "holds": lambda repository: repository.holds("/store/extracted/0a1b", "/volumes/v"),
    "read": lambda repository: repository.read("/store/extracted/0a1b", "/volumes/v/a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "kind", [ExecFailedError, ExecTimeoutError, ExecNotStartedError, EngineError]
)
def test_a_restic_that_does_not_work_says_nothing_of_the_recipe(
    tmp_path: Path, kind: type[HarnessError], call: Callable[[Repository], object]
) -> None:
    """It fails, hangs, or cannot be started, in a container of our own: whatever was asked."""
    broken = Repository(target=FakeVault(tmp_path, broken=kind("it hangs")).target)
    with pytest.raises(TestBedError, match="it hangs") as caught:
        call(broken)
    assert caught.value.outcome is Outcome.ERROR


def test_what_fails_in_our_own_container_is_not_the_recipes_fault(tmp_path: Path) -> None:
    """A repository without the snapshot, or a tool that is not there."""
    broken = reporting(tmp_path, files=2)
    (tmp_path / "store/repository/snapshots/0a1bff").touch()
    with pytest.raises(TestBedError, match="holds 2 snapshots 0a1b"):
        broken.backup(parts(), host="h")
    with pytest.raises(TestBedError):
        broken.files("/volumes/none")
