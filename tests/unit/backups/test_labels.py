"""What the backupbot labels ask for, and where a snapshot holds it."""

from typing import Any

import pytest

from harness.backups.labels import BackupSpec, short_name
from harness.backups.restic import Snapshot, paths_of, snapshot_path
from harness.core.errors import BackupError
from harness.swarm.states import ServiceState


def service(name: str, labels: dict[str, str], **volumes: str) -> ServiceState:
    """Return a service that mounts each volume at a target, or at several (`/a, /b`).

    A folder of the volume may stand before a target: `folder:/a`.
    """
    mounts: list[dict[str, Any]] = []
    for volume, targets in volumes.items():
        for target in targets.split(", "):
            subpath, _, place = target.rpartition(":")
            options = {"VolumeOptions": {"Subpath": subpath}} if subpath else {}
            mounts.append({"Type": "volume", "Source": f"s_{volume}", "Target": place, **options})
    mounts.append({"Type": "bind", "Source": "/etc", "Target": "/host"})
    template: dict[str, Any] = {"ContainerSpec": {"Image": "i", "Mounts": mounts}}
    return ServiceState(
        id=name, name=name, image="i", labels=labels, replicas=1, job=False, restart="any",
        update_state="", update_started="", update_message="", template=template,
    )  # fmt: skip


ON = {"backupbot.backup": "true"}


def spec(labels: dict[str, str], **volumes: str) -> BackupSpec:
    """Return what one service with these labels asks for."""
    return BackupSpec.of((service("app", {**ON, **labels}, **volumes),), "s")


def test_one_label_backs_up_every_volume_of_the_stack() -> None:
    """Whichever service mounts it, as the published specification says."""
    services = (service("app", ON, data="/data"), service("db", {}, db="/db", more="/more"))
    got = BackupSpec.of(services, "s")
    assert [(part.service, part.volume) for part in got.parts] == [
        ("app", "s_data"), ("db", "s_db"), ("db", "s_more"),
    ]  # fmt: skip
    assert all(part.whole for part in got.parts)


@pytest.mark.parametrize("value", ["true", "True", "TRUE", " true "])
def test_the_switch_is_read_in_upper_case_as_well(value: str) -> None:
    """As it comes out of YAML that was written by other programs."""
    got = BackupSpec.of((service("app", {"backupbot.backup": value}, data="/data"),), "s")
    assert got.by_volume() == {"s_data": []}


def test_labels_of_volumes_may_be_on_any_service() -> None:
    """Those of one service about the volume of another one, with or without the switch."""
    app = service("app", {**ON, "backupbot.backup.volumes.cache": "false"}, data="/data")
    other = {"backupbot.backup.volumes.data.path": "x"}
    got = BackupSpec.of((app, service("db", other, cache="/cache", db="/db")), "s")
    assert got.by_volume() == {"s_data": ["x"], "s_db": []}
    assert got.excluded == ("s_cache",)


def test_hooks_of_every_service_are_run() -> None:
    """Whether it has the switch itself or not; none where no service has it."""
    db = service("db", {"backupbot.backup.pre-hook": "dump"}, db="/db")
    got = BackupSpec.of((service("app", ON, data="/data"), db), "s")
    assert [(hooks.service, hooks.command("backup.pre-hook")) for hooks in got.hooks] == [
        ("db", "dump")
    ]
    assert BackupSpec.of((db,), "s") == BackupSpec(parts=(), excluded=(), hooks=())


@pytest.mark.parametrize("label", ["backupbot.backup.volumes.data.path", "backupbot.backup.path"])
@pytest.mark.parametrize("path", ["..", "a,../../etc", "a/../b", "/data/../etc"])
def test_a_path_that_may_leave_its_volume_is_refused(label: str, path: str) -> None:
    """It would reach the files of another app, or of the container that backs up."""
    with pytest.raises(BackupError, match=r"a path must not contain `\.\.`"):
        spec({label: path}, data="/data")


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("./a//b/ , c", ["a/b", "c"]),
        ("//a, /b c/ ,./ümläut/,", ["a", "b c", "ümläut"]),
        ("album [2024],-x,..a", ["-x", "..a", "album [2024]"]),
        ("a,.", []),
        ("/", []),
        ("", []),
        (" , ", []),
    ],
)
def test_paths_are_relative_to_their_volume(value: str, paths: list[str]) -> None:
    """However they are written; `.` is all of it."""
    got = spec({"backupbot.backup.volumes.data.path": value}, data="/data")
    assert got.by_volume() == {"s_data": paths}


def test_the_old_label_is_about_the_volumes_of_its_own_service() -> None:
    """Another service's are backed up whole; one that both mount is left out by neither."""
    app = service("app", {**ON, "backupbot.backup.path": "/data/a"}, data="/data", both="/both")
    got = BackupSpec.of((app, service("db", {}, db="/db", both="/b")), "s")
    assert got.by_volume() == {"s_both": [], "s_data": ["a"], "s_db": []}


@pytest.mark.parametrize("value", ["false", "", "no", "1"])
def test_only_true_is_true(value: str) -> None:
    """As the tool that reads the labels has it; an empty variable is not."""
    assert BackupSpec.of((service("app", {"backupbot.backup": value}, d="/d"),), "s").parts == ()


def test_a_volume_can_be_left_out_or_named_in_part() -> None:
    """By `volumes.<name>` and `volumes.<name>.path`."""
    got = spec(
        {
            "backupbot.backup.volumes.cache": "false",
            "backupbot.backup.volumes.data.path": "a/b, /c/",
        },
        data="/data",
        cache="/cache",
    )
    assert got.excluded == ("s_cache",)
    assert paths_of(got.parts[0]) == ["/volumes/s_data/a/b", "/volumes/s_data/c"]


def test_the_old_label_names_a_place_in_the_container() -> None:
    """The volume mounted there is meant, or a part of it; other volumes are not."""
    whole = spec({"backupbot.backup.path": "/data"}, data="/data", logs="/logs")
    assert [(p.volume, p.paths) for p in whole.parts] == [("s_data", ())]
    part = spec({"backupbot.backup.path": "/data/a,/data/b"}, data="/data")
    assert part.parts[0].paths == ("a", "b")


def test_a_label_for_a_volume_that_is_not_mounted_is_a_fault_of_the_recipe() -> None:
    """A misspelt name would back up nothing, quietly."""
    for label, meant in (("dta", "data"), ("data.pth", "data.path")):
        with pytest.raises(BackupError) as caught:
            spec({f"backupbot.backup.volumes.{label}": "false"}, data="/data")
        assert caught.value.cause == "the stack mounts data"
        assert caught.value.hint == f"did you mean backupbot.backup.volumes.{meant}?"


def test_a_volume_has_the_name_of_the_compose_file() -> None:
    """The stack's name goes before it, once; an external volume has nothing to be taken away."""
    assert short_name("s_test_my_data", "s_test") == "my_data"
    assert short_name("s_test_s_test_data", "s_test") == "s_test_data"
    assert short_name("shared", "s_test") == "shared"


def test_hooks_are_read_from_the_labels() -> None:
    """Four of them, each on its own service."""
    got = spec({"backupbot.backup.pre-hook": "dump", "backupbot.restore.post-hook": "load"})
    assert got.hooks[0].command("backup.pre-hook") == "dump"
    assert got.hooks[0].command("restore.post-hook") == "load"
    assert got.hooks[0].command("backup.post-hook") == ""


def test_a_path_in_a_container_is_found_in_the_snapshot() -> None:
    """And one that is on no backed-up volume is said to be."""
    got = spec({}, data="/data")
    assert snapshot_path(got, "app", "/data/x/y") == "/volumes/s_data/x/y"
    assert snapshot_path(got, "app", "/data") == "/volumes/s_data"
    with pytest.raises(BackupError):
        snapshot_path(got, "app", "/database/x")


def test_a_snapshot_is_named_by_the_last_message_of_restic() -> None:
    """Its id, files and bytes; without a summary there was no backup, whatever the exit code."""
    output = (
        '{"message_type":"status"}\n{"message_type":"summary","snapshot_id":"abc",'
        '"total_files_processed":2,"total_bytes_processed":9}\n'
    )
    assert Snapshot.parse(output) == Snapshot(id="abc", files=2, size=9)
    with pytest.raises(BackupError):
        Snapshot.parse("done\n")


@pytest.mark.parametrize("path", ["/tmp/dump.sql", "/database"])  # noqa: S108  in a container
def test_a_place_on_no_volume_is_in_no_backup(path: str) -> None:
    """A dump beside the volumes is gone with its container, and nobody would notice."""
    with pytest.raises(BackupError, match="which is on no volume"):
        spec({"backupbot.backup.path": f"/data,{path}"}, data="/data")


@pytest.mark.parametrize("path", ["/srv", "/", "/srv/data/."])
def test_a_place_above_a_volume_has_all_of_it(path: str) -> None:
    """However it is written."""
    (part,) = spec({"backupbot.backup.path": path}, data="/srv/data").parts
    assert part.whole


@pytest.mark.parametrize(
    ("volumes", "path", "expected"),
    [
        # one volume at two places of a service: the label may name either
        ({"data": "/a, /b"}, "/a/x", {"data": ["x"]}),
        ({"data": "/a, /b"}, "/b/x", {"data": ["x"]}),
        ({"data": "/a, /b"}, "/a/x,/b/y", {"data": ["x", "y"]}),
        ({"data": "/a, /b"}, "/a/x,/b", {"data": []}),
        ({"data": "/a, /a/b"}, "/a/b/x", {"data": ["x"]}),
        # a volume within another one: the innermost has the place, and what lies above has both
        ({"data": "/a", "media": "/a/m"}, "/a/m/x", {"media": ["x"]}),
        ({"data": "/a", "media": "/a/m"}, "/a/m", {"media": []}),
        ({"data": "/a", "media": "/a/m"}, "/a/x", {"data": ["x"]}),
        ({"data": "/a", "media": "/a/m"}, "/a", {"data": [], "media": []}),
        ({"data": "/a", "media": "/a/b/m"}, "/a/b", {"data": ["b"], "media": []}),
        # folders of a volume
        ({"data": "one:/a, two:/b"}, "/b/x", {"data": ["two/x"]}),
        ({"data": "one:/a, two:/b"}, "/a,/b", {"data": ["one", "two"]}),
    ],
)
def test_the_old_label_of_a_volume_that_is_mounted_more_than_once(
    volumes: dict[str, str], path: str, expected: dict[str, list[str]]
) -> None:
    """Every mount counts, not only the last one of a volume."""
    app = service("app", {**ON, "backupbot.backup.path": path}, **volumes)
    got = BackupSpec.of((app,), "s")
    assert got.by_volume() == {f"s_{volume}": paths for volume, paths in expected.items()}


def test_two_services_name_places_of_one_volume_by_the_old_label() -> None:
    """Each as its own containers see it; the paths of both are backed up."""
    app = service("app", {**ON, "backupbot.backup.path": "/a/x"}, data="/a, /b")
    db = service("db", {"backupbot.backup.path": "/d/y"}, data="/c, /d")
    got = BackupSpec.of((app, db), "s")
    assert got.by_volume() == {"s_data": ["x", "y"]}
    assert [(part.service, part.target) for part in got.parts] == [
        ("app", "/a"), ("app", "/b"), ("db", "/c"), ("db", "/d"),
    ]  # fmt: skip


def test_a_file_is_found_at_each_place_of_its_volume() -> None:
    """Also where another volume, or a folder of one, is mounted within."""
    got = BackupSpec.of((service("app", ON, data="/a, /b", media="/a/m", x="deep/er:/x"),), "s")
    assert snapshot_path(got, "app", "/a/f") == "/volumes/s_data/f"
    assert snapshot_path(got, "app", "/b/f") == "/volumes/s_data/f"
    assert snapshot_path(got, "app", "/a/m/f") == "/volumes/s_media/f"
    assert snapshot_path(got, "app", "/x/f") == "/volumes/s_x/deep/er/f"


def test_which_paths_of_a_volume_are_backed_up_is_known_by_volume() -> None:
    """Sorted, and of all services that mount it; none means all of it."""
    app = service("app", {**ON, "backupbot.backup.volumes.data.path": "b, a"}, data="/d", x="/x")
    assert BackupSpec.of((app,), "s").by_volume() == {"s_data": ["a", "b"], "s_x": []}
    db = service("db", {"backupbot.backup.volumes.data.path": "c"}, data="/d")
    assert BackupSpec.of((app, db), "s").by_volume()["s_data"] == ["a", "b", "c"]
