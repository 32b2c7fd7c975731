"""The backup driver `backupbot`: what a bot says, what its repository holds, what comes of it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.backups.bot import PROGRAM, VOLUMES, Bot, BotDriver, Direct, Said, Snapshot
from harness.backups.driver import HookRun, Job
from harness.backups.labels import BackupSpec, VolumePart
from harness.core.errors import (
    BackupError,
    ExecFailedError,
    ExecNotStartedError,
    HarnessError,
    TestBedError,
)
from harness.core.model import Adaptation
from harness.exec.exec import ExecResult

STACK, NODE = "made_test", "node1"
PART = VolumePart(volume=f"{STACK}_data", service="app", target="/data")
HOOK = "the backup.pre-hook of service app failed: `dump` in app ended with code 127"


def line(**words: object) -> str:
    """Return a line as a bot writes it for programs."""
    return json.dumps({"level": "INFO", "message": "", **words})


def snapshot(identity: str, *, tag: str = STACK, volume: str = PART.volume) -> dict[str, Any]:
    """Return a snapshot as restic lists it."""
    return {"id": identity, "tags": [tag], "paths": [f"{VOLUMES}/{volume}/_data"]}


@dataclass
class DriverBench:
    """A bot, who has it called, and its repository."""

    scratch: Path
    own: bool = True
    said: Said = field(default_factory=lambda: Said(code=0, text="backup finished"))
    made: Sequence[dict[str, Any]] = (snapshot("aa"),)
    there: list[dict[str, Any]] = field(default_factory=list)
    sizes: Sequence[int] = (3, 4)
    missing: Exception | None = None
    broken: Exception | None = None
    events: list[str] = field(default_factory=list)
    adapted: list[Adaptation] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[Bot]:
        """Give the bot."""
        self.events.append("up")
        container: Any = self
        note = "our own" if self.own else ""
        yield Bot(container=container, name="bot", note=note)
        self.events.append("down")

    def exec(self, argv: Sequence[str], **options: Any) -> ExecResult:  # noqa: ANN401  as the target's
        """Be restic, in the bot's container."""
        if self.broken:
            raise self.broken
        assert argv[:2] == ["restic", "--quiet"]
        self.events.append(" ".join(argv[2:]))
        text = ""
        if argv[2] == "snapshots":
            text = json.dumps(self.there)
        elif argv[2] == "ls":
            nodes = [{"type": "file", "size": size} for size in self.sizes]
            every = [{"struct_type": "snapshot"}, {"type": "dir"}, *nodes]
            options["stdout_to"].write_text("\n".join(map(json.dumps, every)))
        elif argv[2] == "dump":
            options["stdout_to"].write_text("tar")
        return ExecResult(argv=tuple(argv), stdout=text.encode(), stderr=b"", code=0, container="c")

    def create(self, bot: Bot, domain: str) -> Said:
        """Have a backup made."""
        self.events.append(f"create {domain} by {bot.name}")
        self.there += self.made
        return self.said

    def restore(self, bot: Bot, domain: str, snapshot: str) -> Said:
        """Have a backup brought back."""
        self.events.append(f"restore {snapshot} of {domain} by {bot.name}")
        return self.said

    def unpack(self, identity: str, archive: Path) -> None:
        """Take the volumes of a snapshot."""
        self.events.append(f"unpack {identity} {archive.read_text()}")

    def require(self, parts: Sequence[VolumePart]) -> None:
        """Look whether all that is declared exists."""
        assert parts == (PART,)
        if self.missing:
            raise self.missing

    def driver(self) -> BotDriver:
        """Return what is tested."""
        return BotDriver(
            serving=self.serving, caller=self, node=NODE, unpack=self.unpack, scratch=self.scratch
        )

    def job(self, node: str = NODE, *, own_files: int = 1) -> Job:
        """Return an app with one volume."""
        fake: Any = self
        return Job(
            domain="made.test", stack=STACK, parts={node: (PART,)}, own_files=own_files,
            spec=BackupSpec(parts=(PART,), excluded=(), hooks=()), target=fake,
            vault=lambda _: nullcontext(fake), adapted=self.adapted.append,
        )  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> DriverBench:
    """A bot that makes one snapshot."""
    return DriverBench(tmp_path)


def test_a_backup_is_what_the_repository_holds_after_the_call(bench: DriverBench) -> None:
    """Its snapshot is read back, and put where assertions look, while the bot is there."""
    made = bench.driver().back_up(bench.job())
    assert bench.events == [
        "up", "create made.test by bot", "snapshots --json --no-lock",
        f"ls --json --no-lock --recursive aa {VOLUMES}",
        f"dump --no-lock --archive tar aa {VOLUMES}", "unpack aa tar", "down",
    ]  # fmt: skip
    assert (made.snapshots, made.files, made.size) == ({NODE: "aa"}, 2, 7)
    assert [(note.kind, note.detail) for note in bench.adapted] == [("backup-bot", "our own")]
    assert list(bench.scratch.iterdir()) == []


def test_a_bot_is_not_called_where_it_would_write_to_the_host(bench: DriverBench) -> None:
    """It goes by the labels, and these ask for such a volume."""
    job = bench.job()
    job = replace(job, spec=replace(job.spec, foreign=("made_test_host",)))
    with pytest.raises(TestBedError, match="made_test_host, which leads to data"):
        bench.driver().back_up(job)
    with pytest.raises(TestBedError, match="made_test_host, which leads to data"):
        bench.driver().restore(job, {NODE: "aa"})
    assert bench.events == []


def test_a_servers_own_bot_is_used_as_it_is(bench: DriverBench) -> None:
    """What its repository held before is told apart, and the report says of nothing stood in."""
    bench.own, bench.there = False, [snapshot("old")]
    made = bench.driver().back_up(bench.job())
    assert bench.events[:3] == ["up", "snapshots --json --no-lock", "create made.test by bot"]
    assert (made.snapshots, bench.adapted) == ({NODE: "aa"}, [])


@pytest.mark.parametrize(
    "made", [(), (snapshot("aa", tag="other_test", volume="other_test_data"),)]
)
def test_a_bot_that_makes_no_snapshot_has_made_no_backup(
    bench: DriverBench, made: Sequence[dict[str, Any]]
) -> None:
    """Whatever it says, and whatever it does for other apps."""
    bench.made = made
    with pytest.raises(BackupError, match="created no snapshot of the app"):
        bench.driver().back_up(bench.job())


def test_a_snapshot_is_known_by_its_volumes_too(bench: DriverBench) -> None:
    """Not every bot tags as ours does."""
    bench.made = (snapshot("aa", tag="backup"),)
    assert bench.driver().back_up(bench.job()).snapshots == {NODE: "aa"}


def test_several_snapshots_at_once_prove_nothing(bench: DriverBench) -> None:
    """A bot's own schedule fell into it: which of them is the one that was asked for?"""
    bench.made = (snapshot("aa"), snapshot("bb"))
    with pytest.raises(TestBedError, match="2 snapshots of made_test"):
        bench.driver().back_up(bench.job())


@pytest.mark.parametrize(("sizes", "own"), [((), 0), ((9,), 1)])
def test_a_snapshot_without_a_file_of_the_app_is_empty(
    bench: DriverBench, sizes: Sequence[int], own: int
) -> None:
    """The harness's own witness is no data of anybody."""
    bench.sizes = sizes
    with pytest.raises(BackupError, match="the backup is empty: no file below"):
        bench.driver().back_up(bench.job(own_files=own))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, line(level="ERROR", message=HOOK) + "\n" + line(level="ERROR", message="not all")),
        (0, line(level="ERROR", message=HOOK) + "\n" + line(message="backup finished")),
        (1, "Backing up\r\n" + HOOK),
    ],
)
def test_a_hook_that_fails_is_the_recipes_fault(bench: DriverBench, code: int, text: str) -> None:
    """In the bot's own words; a bot that goes on after an error and ends with 0 is not believed."""
    bench.said = Said(code=code, text=text)
    with pytest.raises(BackupError) as caught:
        bench.driver().back_up(bench.job())
    assert caught.value.what == HOOK
    assert bench.events == ["up", "create made.test by bot"]
    assert len(bench.adapted) == 1, "what stood in is said, also when it failed"


def test_a_failed_hooks_own_output_is_shown(bench: DriverBench) -> None:
    """And not the lines around it, where the bot hands it on."""
    bench.said = Said(code=1, text=line(level="ERROR", message=HOOK, output="sh: no dump"))
    with pytest.raises(BackupError) as caught:
        bench.driver().back_up(bench.job())
    assert caught.value.detail == "sh: no dump"


def perform(bench: DriverBench, act: str, node: str = NODE) -> object:
    """Back up, or restore, an app whose volume is on that node."""
    if act == "restore":
        return bench.driver().restore(bench.job(node), {node: "aa"})
    return bench.driver().back_up(bench.job(node))


RAN = "the backup.pre-hook of app"


@pytest.mark.parametrize("text", [line(message=RAN), f"INFO {RAN}"])
def test_a_hook_that_went_well_is_not_blamed_for_what_came_after_it(
    bench: DriverBench, text: str
) -> None:
    """A bot says of each hook that it ran; only a line about a fault can be about a hook's."""
    bench.said = Said(code=1, text=f"{text}\nFatal: no room")
    with pytest.raises(TestBedError, match="could not back up"):
        bench.driver().back_up(bench.job())


RESTIC = "restic failed with exit code 3: error: lstat /v/x: no such file or directory"


def test_a_bot_that_fails_for_files_that_vanished_has_made_a_backup(tmp_path: Path) -> None:
    """Its snapshot is whole all the same; bots hand restic's exit code 3 on."""
    said = f"{line(message=RAN)}\n{line(level='ERROR', message=RESTIC)}"
    bench = DriverBench(tmp_path, said=Said(code=1, text=said))
    made = bench.driver().back_up(bench.job())
    assert (made.snapshots, made.vanished) == ({NODE: "aa"}, ("/v/x",))


@pytest.mark.parametrize(
    "text",
    [
        f"{RESTIC}\nerror: open /v/y: permission denied",
        RESTIC.replace("code 3", "code 1"),
        "restic failed with exit code 3",
        f"{RESTIC}\nERROR {HOOK}",
        "exit code 3: error: read /v/x: input/output error",
    ],
)
def test_a_bot_that_fails_for_more_than_that_has_failed(tmp_path: Path, text: str) -> None:
    """A file that cannot be read is in no snapshot."""
    bench = DriverBench(tmp_path, said=Said(code=1, text=text))
    with pytest.raises((TestBedError, BackupError), match=r"could not back up|pre-hook"):
        bench.driver().back_up(bench.job())


@pytest.mark.parametrize("act", ["back_up", "restore"])
def test_a_bot_that_fails_by_itself_says_nothing_of_the_recipe(
    bench: DriverBench, act: str
) -> None:
    """Its repository, or its disk, after a hook that it says went well."""
    error = line(level="ERROR", message="restic backup failed: no room")
    bench.said = Said(code=1, text=f"{line(message=RAN)}\n{error}")
    with pytest.raises(TestBedError) as caught:
        perform(bench, act)
    assert "(exit code 1)" in caught.value.what
    assert caught.value.cause == "restic backup failed: no room"


def test_labels_that_name_what_does_not_exist_are_the_recipes_fault(bench: DriverBench) -> None:
    """The bot has failed, and not for its own sake: what is declared is looked for."""
    bench.said = Said(code=1, text=line(level="ERROR", message="there is nothing at /x"))
    bench.missing = BackupError("the labels name what does not exist: /volumes/v/x")
    with pytest.raises(BackupError, match="what does not exist"):
        bench.driver().back_up(bench.job())


def test_a_named_snapshot_is_restored(bench: DriverBench) -> None:
    """That which the backup made, and the hooks that the bot has run are reported."""
    hook = line(message="ran", service="app", label="restore.post-hook", output="loaded")
    bench.said = Said(code=0, text=f"{hook}\n{{no json\n[1]\n")
    assert bench.driver().restore(bench.job(), {NODE: "aa"}) == (
        HookRun(service="app", label="restore.post-hook", output="loaded"),
    )
    assert bench.events == ["up", "restore aa of made.test by bot", "down"]


@pytest.mark.parametrize("act", ["back_up", "restore"])
def test_volumes_on_another_node_are_refused(bench: DriverBench, act: str) -> None:
    """The bot would leave them out, and say nothing."""
    with pytest.raises(TestBedError, match=f"does not see {PART.volume}"):
        perform(bench, act, "node2")
    assert bench.events == []


@pytest.mark.parametrize("kind", [ExecFailedError, ExecNotStartedError])
def test_a_repository_that_cannot_be_read_says_nothing_of_the_recipe(
    bench: DriverBench, kind: type[HarnessError]
) -> None:
    """A bot whose container does not know its repository."""
    bench.broken = kind("Fatal: wrong password")
    with pytest.raises(TestBedError, match="the backup bot bot cannot be read"):
        bench.driver().back_up(bench.job())


def test_a_servers_bot_that_has_no_repository_yet_makes_one(bench: DriverBench) -> None:
    """Then there was no snapshot before; one that cannot be read afterwards either is an error."""
    bench.own, bench.broken = False, ExecFailedError("Is there a repository?")
    with pytest.raises(TestBedError, match="cannot be read"):
        bench.driver().back_up(bench.job())
    assert bench.events == ["up", "create made.test by bot"]


def test_no_snapshot_at_all() -> None:
    """Restic says null, or nothing."""
    assert Snapshot.parse("null") == Snapshot.parse("") == Snapshot.parse("[]") == ()


@dataclass
class Container:
    """Writes down what is run in it."""

    broken: Exception | None = None
    argv: Sequence[str] = ()

    def exec(self, argv: Sequence[str], *, timeout: float, check: bool) -> ExecResult:
        """Run it."""
        assert (timeout, check) == (3600.0, False)
        if self.broken:
            raise self.broken
        self.argv = argv
        return ExecResult(argv=tuple(argv), stdout=b"out", stderr=b"err", code=3, container="c")


def test_without_abra_the_bot_is_called_as_abra_calls_it() -> None:
    """The exact program, words and variables."""
    container: Any = Container()
    bot = Bot(container=container, name="bot")
    said = Direct(factor=2.0).create(bot, "made.test")
    shown = ["env", "SERVICE=made.test", "MACHINE_LOGS=true", PROGRAM, "--", "create"]
    assert (container.argv, said) == (shown, Said(code=3, text="out\nerr"))
    Direct(factor=2.0).restore(bot, "made.test", "aa")
    assert container.argv == [*shown[:2], "SNAPSHOT=aa", *shown[2:-1], "restore"]


def test_a_bot_without_that_program_says_nothing_of_the_recipe() -> None:
    """It is another one than abra knows."""
    container: Any = Container(broken=ExecNotStartedError("no such file"))
    with pytest.raises(TestBedError, match="the backup bot bot could not be called"):
        Direct(factor=2.0).create(Bot(container=container, name="bot"), "made.test")
