"""The program of the harness's own backup bot, over an engine and a restic that only write down."""

import importlib.util
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.backups.labels import BackupSpec
from harness.core import proc
from harness.exec.exec_stream import MOST_OUTPUT
from harness.images.image_definitions import FOLDER, shipped
from harness.swarm.states import ServiceState

PROGRAM = FOLDER / "backupbot" / "files" / "usr" / "lib" / "backup_bot" / "backup_bot.py"
STACK, FIXED = "made_test", "shared"  # a volume with a name of its own has no stack's before it
# Says what it was asked, and answers from files beside it.
RESTIC = """#!/bin/sh
echo "$@" >> {here}/asked
case "$1" in
  cat) test -e {here}/made ;;
  init) touch {here}/made ;;
  snapshots) cat {here}/snapshots ;;
  backup) test ! -e {here}/broken || {{ cat {here}/broken >&2; exit "$(cat {here}/code)"; }} ;;
esac
"""


# Writes down what it was to put back, and ends as a file beside it says.
PUT_BACK = """
shift 2
printf 'written a\\nremoved b\\n' > "$1"
shift
echo "put back $@" >> {here}/asked
test ! -e {here}/broken || {{ echo 'no room' >&2; exit 1; }}
"""


def load() -> ModuleType:
    """Return the program as a module."""
    spec = importlib.util.spec_from_file_location("backup_bot", PROGRAM)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def service(
    name: str = "app",
    labels: Mapping[str, str] | None = None,
    *,
    stack: str = STACK,
    volumes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a service as the engine describes it, which asks to be backed up.

    A volume may be mounted at several targets (`/a, /b`), and so may a folder of it (`folder:/a`).
    """
    mounts = [
        {"Type": "volume", "Source": volume if volume == FIXED else f"{stack}_{volume}",
         "Target": place, "VolumeOptions": {"Subpath": subpath} if subpath else {}}
        for volume, targets in ({"data": "/data"} if volumes is None else volumes).items()
        for subpath, _, place in (target.rpartition(":") for target in targets.split(", "))
    ]  # fmt: skip
    ours = {"com.docker.stack.namespace": stack, "backupbot.backup": "true"}
    given = {f"backupbot.{key}": value for key, value in (labels or {}).items()}
    return {
        "ID": f"id-{stack}-{name}",
        "Spec": {
            "Name": f"{stack}_{name}",
            "Labels": ours | given,
            "TaskTemplate": {"ContainerSpec": {"Mounts": mounts}},
        },
    }


@dataclass
class ProgramBench:
    """The program, a node's volumes, a restic, and what is deployed."""

    program: ModuleType
    here: Path
    services: list[dict[str, Any]]
    environ: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def volumes(self) -> Path:
        """Where the volumes lie."""
        return self.here / "volumes"

    def volume(self, name: str, *files: str) -> Path:
        """Make a volume with these files."""
        root = self.volumes / f"{STACK}_{name}" / "_data"
        root.mkdir(parents=True)
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(file)
        return root

    def call(self, act: str, **environ: str) -> int:
        """Call the program's act, as `main` does."""
        bot = self.program.Bot(self.client, {**self.environ, **environ}, self.printed.append)
        try:
            getattr(bot, act)()
        except self.program.BotError as error:
            bot.say(str(error), level="ERROR")
            return 1
        return 0

    @property
    def asked(self) -> list[str]:
        """What restic was asked, in order."""
        return (self.here / "asked").read_text().splitlines()

    @property
    def client(self) -> Any:  # noqa: ANN401  stands in for a docker client
        """The engine: its services, and a container for each that runs hooks."""

        def run(container: str, argv: list[str]) -> dict[str, str]:
            assert container == "c"
            self.hooks.append(argv[-1])
            return {"Id": argv[-1]}

        def said(identity: str, *, stream: bool) -> Iterator[bytes]:
            assert stream
            endless = itertools.repeat(b"y\n" * 4096)
            yield from endless if identity == "yes" else (b"said ", f"by {identity}".encode())

        def found(filters: Mapping[str, str]) -> list[Any]:
            assert filters["status"] == "running"
            return [] if "gone" in filters["label"] else [SimpleNamespace(id="c")]

        return SimpleNamespace(
            api=SimpleNamespace(
                services=lambda: self.services,
                exec_create=run,
                exec_start=said,
                exec_inspect=lambda identity: {"ExitCode": self.codes.get(identity, 0)},
            ),
            containers=SimpleNamespace(list=found),
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgramBench:
    """An app with one volume that asks to be backed up."""
    restic = tmp_path / "bin" / "restic"
    restic.parent.mkdir()
    restic.write_text(RESTIC.format(here=tmp_path))
    restic.chmod(0o755)
    put_back = tmp_path / "put_back"
    put_back.write_text(PUT_BACK.format(here=tmp_path))
    (tmp_path / "asked").touch()
    (tmp_path / "snapshots").write_text("null")
    monkeypatch.setenv("PATH", f"{restic.parent}:{os.environ['PATH']}")
    program = load()
    monkeypatch.setattr(program, "VOLUMES", tmp_path / "volumes")
    monkeypatch.setattr(program, "PUT_BACK", put_back)
    return ProgramBench(program, tmp_path, [service()])


def paths(bench: ProgramBench, labels: Mapping[str, str]) -> list[str]:
    """Return what is backed up of a service with these labels, below the node's volumes."""
    one = service("app", labels, volumes={"data": "/var/data", "cache": "/cache"})
    found = bench.program.paths_of([bench.program.Service.of(one)])
    return [str(path.relative_to(bench.volumes)) for path in found]


DATA, CACHE = f"{STACK}_data/_data", f"{STACK}_cache/_data"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, [DATA, CACHE]),
        ({"backup.volumes.cache": "false"}, [DATA]),
        ({"backup.volumes.cache": "FALSE", "backup.volumes.data.path": "a, b/c"},
         [f"{DATA}/a", f"{DATA}/b/c"]),
        ({"backup.path": "/var/data/dump"}, [f"{DATA}/dump"]),
        ({"backup.path": "/var/data/"}, [DATA]),
        ({"backup.path": "/var"}, [DATA]),
        ({"backup.path": "/var/database"}, []),
    ],
)  # fmt: skip
def test_labels_say_which_paths_are_backed_up(
    bench: ProgramBench, labels: Mapping[str, str], expected: list[str]
) -> None:
    """Volumes left out, parts of one, and the old label's absolute paths."""
    assert paths(bench, labels) == expected


def test_an_app_is_backed_up_between_its_hooks(bench: ProgramBench) -> None:
    """Into a repository that is made the first time, with the stack as tag and host."""
    root = bench.volume("data", "x")
    hooks = {"backup.pre-hook": "dump", "backup.post-hook": "tidy"}
    bench.services = [service("app", hooks), service("web", hooks, volumes={})]
    assert bench.call("create", SERVICE="made.test") == 0
    assert bench.hooks == ["dump", "dump", "tidy", "tidy"]
    backup = f"backup --json --host {STACK} --tag {STACK} {root}"
    assert bench.asked == ["cat config", "init", backup]
    bench.call("create", SERVICE="made.test")
    assert bench.asked[3:] == ["cat config", backup]


def test_every_app_is_backed_up_where_none_is_named(bench: ProgramBench) -> None:
    """One that fails keeps no other from it, and the call has failed all the same."""
    other = service(stack="a_test", volumes={"none": "/none"})
    silent = service(stack="b_test")
    silent["Spec"]["Labels"]["backupbot.backup"] = "false"
    bench.volume("data", "x")
    bench.services = [bench.services[0], other, silent]
    assert bench.call("create") == 1
    assert [line.split()[-1] for line in bench.asked if line.startswith("backup")] == [
        str(bench.volumes / DATA)
    ]
    assert any("there is nothing at" in line for line in bench.printed)
    assert bench.printed[-1] == "ERROR not backed up: a_test"


@pytest.mark.parametrize(
    ("labels", "code", "expected"),
    [
        ({"backup.pre-hook": "dump"}, 127, "backup.pre-hook of service app failed: `dump` in app"),
        ({"backup.post-hook": "dump"}, 1, "backup.post-hook of service app failed"),
    ],
)
def test_a_hook_that_fails_fails_the_backup(
    bench: ProgramBench, labels: Mapping[str, str], code: int, expected: str
) -> None:
    """With the words of the harness's own driver, and with what the hook has printed."""
    bench.volume("data", "x")
    bench.services, bench.codes = [service("app", labels)], {"dump": code}
    assert bench.call("create", SERVICE="made.test", MACHINE_LOGS="true") == 1
    first = json.loads(bench.printed[0])
    assert first["level"] == "ERROR"
    assert expected in first["message"]
    assert first["message"].endswith(f"ended with code {code}")
    assert first["output"] == "said by dump"
    assert any(line.startswith("backup") for line in bench.asked) is ("backup.post-hook" in labels)


def test_a_hook_that_prints_without_end_fails(bench: ProgramBench) -> None:
    """At the limit of the harness's own driver; the end of what it printed is told."""
    bench.volume("data", "x")
    bench.services = [service("app", {"backup.pre-hook": "yes"})]
    assert bench.call("create", SERVICE="made.test", MACHINE_LOGS="true") == 1
    first = json.loads(bench.printed[0])
    assert first["message"].endswith(f"`yes` in app wrote more than {MOST_OUTPUT} bytes")
    assert len(first["output"]) == bench.program.SHOWN
    assert bench.program.MOST_OUTPUT == MOST_OUTPUT


def test_a_hook_whose_service_has_no_container_fails(bench: ProgramBench) -> None:
    """It did not run, so whatever it was to dump is not there."""
    gone = service("gone", {"backup.pre-hook": "dump"})
    bench.services = [gone]
    assert bench.call("create", SERVICE="made.test") == 1
    assert "it has no container" in bench.printed[0]


@pytest.mark.parametrize("act", ["create", "restore"])
def test_an_app_that_asks_for_nothing_is_refused(bench: ProgramBench, act: str) -> None:
    """A backup of nothing would be taken for one."""
    assert bench.call(act, SERVICE="other.test") == 1
    assert bench.printed[-1] == "ERROR no service of other_test has the label backupbot.backup=true"


def test_a_restic_that_fails_fails_the_backup(bench: ProgramBench) -> None:
    """With its own words."""
    bench.volume("data", "x")
    (bench.here / "broken").write_text("no room")
    (bench.here / "code").write_text("1")
    assert bench.call("create", SERVICE="made.test") == 1
    assert bench.printed[0] == "ERROR restic backup failed: no room"


def snapshots(bench: ProgramBench, *ids: str) -> None:
    """Let the repository hold these, the newest first, as no restic promises any order."""
    found = [
        {"id": one, "time": f"2026-01-0{number}", "paths": [str(bench.volumes / DATA)]}
        for number, one in enumerate(ids, start=1)
    ]
    (bench.here / "snapshots").write_text(json.dumps(found[::-1]))


@pytest.mark.parametrize(("wanted", "restored"), [("", "bb2"), ("latest", "bb2"), ("aa", "aa1")])
def test_a_named_snapshot_is_restored(bench: ProgramBench, wanted: str, restored: str) -> None:
    """Or the newest one: unpacked beside the repository, put back by names, between the hooks."""
    (bench.here / "unpacked").mkdir()
    bench.environ["UNPACKED"] = str(bench.here / "unpacked")
    bench.volume("data", "later")
    snapshots(bench, "aa1", "bb2")
    hooks = {"restore.pre-hook": "stop", "restore.post-hook": "load"}
    bench.services = [service("app", hooks)]
    assert bench.call("restore", SERVICE="made.test", SNAPSHOT=wanted) == 0
    assert bench.hooks == ["stop", "load"]
    asked = [line.replace(str(bench.here), "") for line in bench.asked]
    assert asked[0] == f"snapshots --json --tag {STACK}"
    assert re.fullmatch(rf"restore {restored} --target /unpacked/\w+", asked[1])
    assert asked[2:] == [f"put back {DATA}"]
    assert list((bench.here / "unpacked").iterdir()) == []


def test_a_snapshot_that_is_not_there_leaves_everything_as_it_is(bench: ProgramBench) -> None:
    """Nothing is removed for a restore that cannot be made."""
    root = bench.volume("data", "x")
    assert bench.call("restore", SERVICE="made.test", SNAPSHOT="cc") == 1
    assert bench.printed == ["ERROR made_test has no snapshot cc"]
    assert [path.name for path in root.iterdir()] == ["x"]


def test_a_restore_needs_a_name(bench: ProgramBench) -> None:
    """Nobody wants to have all apps restored by a slip."""
    assert bench.call("restore") == 1
    assert bench.asked == []


def test_snapshots_are_named_oldest_first(bench: ProgramBench) -> None:
    """Of the app, a line each."""
    snapshots(bench, "aa1", "bb2")
    assert bench.call("snapshots", SERVICE="made.test", MACHINE_LOGS="true") == 0
    assert [json.loads(line)["snapshot_id"] for line in bench.printed] == ["aa1", "bb2"]


def test_a_restore_that_breaks_off_says_what_it_left(bench: ProgramBench) -> None:
    """An operator has to know whether data are gone."""
    bench.volume("data", "x")
    snapshots(bench, "aa1")
    (bench.here / "broken").touch()
    assert bench.call("restore", SERVICE="made.test") == 1
    (said,) = bench.printed
    assert said == (
        "ERROR the restore broke off after 1 file(s) were written, 0 were not, "
        "and 1 were deleted: no room"
    )


def unreadable(bench: ProgramBench, path: Path, *, code: int = 3) -> None:
    """Let restic find that it cannot read a file."""
    message = {"message_type": "error", "error": {"Op": "open", "Err": 2}, "item": str(path)}
    (bench.here / "broken").write_text(f"{json.dumps(message)}\n")
    (bench.here / "code").write_text(str(code))


def test_a_file_that_vanishes_while_it_is_backed_up_is_no_error(bench: ProgramBench) -> None:
    """The snapshot is whole all the same; the caller is told which file it was."""
    gone = bench.volume("data", "x") / "gone"
    unreadable(bench, gone)
    assert bench.call("create", SERVICE="made.test", MACHINE_LOGS="true") == 0
    assert json.loads(bench.printed[0])["vanished"] == [str(gone)]


@pytest.mark.parametrize(("name", "code"), [("x", 3), ("gone", 1)])
def test_a_file_that_is_there_and_cannot_be_read_fails_the_backup(
    bench: ProgramBench, name: str, code: int
) -> None:
    """And so does any other code of restic."""
    unreadable(bench, bench.volume("data", "x") / name, code=code)
    assert bench.call("create", SERVICE="made.test") == 1
    assert bench.printed[0].startswith("ERROR restic backup failed: ")


def test_a_path_behind_a_link_is_refused(bench: ProgramBench) -> None:
    """The bot has the volumes of all apps: a link of one must not lead into another one's."""
    root = bench.volume("data", "x")
    bench.volume("other", "secret")
    (root / "out").symlink_to("../../made_test_other/_data")
    bench.services = [service("app", {"backup.volumes.data.path": "out/secret"})]
    assert bench.call("create", SERVICE="made.test") == 1
    assert bench.printed[0].startswith("ERROR there is nothing at ")
    assert not any(line.startswith("backup") for line in bench.asked)


# The bot and the harness read labels alike

SWITCH = {"backup": "true"}
STACKS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "one switch": {"app": SWITCH, "db": {}},
    "switch in capitals": {"app": {"backup": "True"}, "db": {}},
    "on the other service": {"app": {}, "db": SWITCH},
    "unknown value": {"app": SWITCH, "db": {"backup.volumes.db": "no"}},
    "left out by another service": {"app": {**SWITCH, "backup.volumes.db": "false"}, "db": {}},
    "paths of another service": {"app": SWITCH, "db": {"backup.volumes.data.path": "b, a/ ,/c"}},
    "whole by a dot": {"app": {**SWITCH, "backup.volumes.data.path": ".,a"}, "db": {}},
    "no path": {"app": {**SWITCH, "backup.volumes.data.path": " ,"}, "db": {}},
    "old label": {"app": {**SWITCH, "backup.path": "/var/data/x,/both"}, "db": {}},
    "old label above": {"app": {**SWITCH, "backup.path": "/"}, "db": {"backup.path": "/db"}},
    "old and new": {"app": {**SWITCH, "backup.path": "/var/data/x"},
                    "db": {"backup.volumes.data.path": "y"}},
    "a fixed name": {"app": {**SWITCH, f"backup.volumes.{FIXED}": "false"}, "db": {}},
    "paths of a fixed name": {"app": SWITCH, "db": {f"backup.volumes.{FIXED}.path": "x"}},
    "mounted twice": {"app": {**SWITCH, "backup.path": "/one/x,/two/y"}, "db": {}},
    "mounted twice, whole": {"app": {**SWITCH, "backup.path": "/one/x,/two"}, "db": {}},
    "within another": {"app": {**SWITCH, "backup.path": "/var/data/in/x"}, "db": {}},
    "within and above": {"app": {**SWITCH, "backup.path": "/var/data"}, "db": {}},
    "a folder of it": {"app": {**SWITCH, "backup.path": "/folder/x"}, "db": {}},
    "all of a folder": {"app": {**SWITCH, "backup.path": "/folder"}, "db": {}},
}  # fmt: skip


@pytest.mark.parametrize("labels", STACKS.values(), ids=STACKS)
def test_the_bot_backs_up_what_the_harness_expects_of_it(
    bench: ProgramBench, labels: Mapping[str, Mapping[str, str]]
) -> None:
    """The specification is read in two places: here, and where a backup is judged."""
    mounts = {
        "app": {
            "data": "/var/data", "both": "/both", "twice": "/one, /two/", "inner": "/var/data/in",
            "part": "deep/er:/folder", FIXED: "/fixed",
        },
        "db": {"db": "/db", "both": "/b", FIXED: "/f"},
    }  # fmt: skip
    raw = [service(name, given, volumes=mounts[name]) for name, given in labels.items()]
    for one, given in zip(raw, labels.values(), strict=True):
        one["Spec"]["Labels"]["backupbot.backup"] = given.get("backup", "")
        one["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = "i"
    found = bench.program.paths_of([bench.program.Service.of(one) for one in raw])
    spec = BackupSpec.of(tuple(ServiceState.parse(one, STACK) for one in raw), STACK)
    assert {str(path.relative_to(bench.volumes)) for path in found} == {
        f"{volume}/_data/{path}".rstrip("/")
        for volume, paths in spec.by_volume().items()
        for path in paths or [""]
    }


def test_neither_takes_a_path_that_may_leave_its_volume(bench: ProgramBench) -> None:
    """Whichever label names it."""
    for label in ("backup.volumes.data.path", "backup.path"):
        bench.services = [service("app", {label: "/data/../x"})]
        assert bench.call("create", SERVICE="made.test") == 1
        assert "a path must not contain `..`" in bench.printed[-2]


def test_hooks_of_services_without_the_switch_are_run(bench: ProgramBench) -> None:
    """Each in its own container; one switch turns the whole stack on."""
    bench.volume("data", "x")
    other = service("db", {"backup.pre-hook": "dump"}, volumes={})
    del other["Spec"]["Labels"]["backupbot.backup"]
    bench.services.append(other)
    assert bench.call("create", SERVICE="made.test") == 0
    assert bench.hooks == ["dump"]


def test_the_image_calls_the_program_by_the_name_that_abra_uses() -> None:
    """It is started by that name, too."""
    definition = shipped()["backupbot"]
    assert definition.links["/usr/bin/backup"] == "/usr/lib/backup_bot/backup_bot.py"
    assert definition.cmd == ("/usr/bin/backup", "serve")
    assert definition.repositories == ()


@pytest.mark.parametrize("words", [[], ["explode"], ["--", "explode"]])
def test_other_words_are_refused(
    bench: ProgramBench, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of a wrong call."""
    with pytest.raises(SystemExit) as caught:
        bench.program.main(words, {})
    assert caught.value.code == 2
    assert "usage: backup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "code"), [("true | cat", 0), ("false | cat", 1), ("exit 7", 7)]
)
def test_a_hook_of_the_bot_fails_if_any_part_of_its_pipe_does(command: str, code: int) -> None:
    """Half a dump that was compressed well is not a dump."""
    done = proc.run(["sh", "-c", load().HOOK, "hook", command], timeout=30, check=False)
    assert done.code == code
