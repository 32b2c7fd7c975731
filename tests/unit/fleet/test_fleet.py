"""Many runs at once: their order, what holds one back, what they came to, how they are stopped."""

import io
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from harness.core import proc
from harness.core.errors import UsageError
from harness.core.event_log import COPY, EventReader, append
from harness.core.events import (
    AppKept,
    Doing,
    LockEvent,
    LockState,
    NoteEvent,
    RunBegan,
    RunEnded,
    RunEvent,
    StageEnded,
    Step,
    Stopping,
)
from harness.core.model import Outcome, Stage
from harness.core.settings import Settings
from harness.fleet import fleet
from harness.fleet.fleet import Fleet, Member, exit_code, labels, options, without_results
from harness.fleet.host import MIB, Host
from harness.recipes.catalogue import Entry
from harness.report.results import SCHEMA, RunResult
from harness.report.together import Ending, Row, TogetherView, show_together
from harness.verdict.decide import Verdict


@dataclass
class FakeWorker:
    """A run's process; it ends when the test says so."""

    events: Path
    code: int | None = None
    got: list[int] = field(default_factory=list)
    closed: bool = False

    def poll(self) -> int | None:
        """Return the exit code that the test has set."""
        return self.code

    def send(self, number: int) -> None:
        """Take a signal."""
        self.got.append(number)

    def close(self) -> None:
        """Be over."""
        self.closed = True

    def records(self, *events: RunEvent) -> None:
        """Record events, as the run does."""
        for event in events:
            append(self.events, event.entry())


@dataclass
class Scene:
    """A fleet with fake processes; `script` is what happens at each tick of its clock."""

    directory: Path
    script: list[Callable[[], None]] = field(default_factory=list)
    started: list[FakeWorker] = field(default_factory=list)
    argvs: list[Sequence[str]] = field(default_factory=list)
    printed: io.StringIO = field(default_factory=io.StringIO)
    now: float = 100.0
    free: int = 10**6 * MIB

    def monotonic(self) -> float:
        """Return the scene's time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the next thing happen."""
        self.now += seconds
        assert self.script, "the fleet goes on although nothing will happen any more"
        self.script.pop(0)()

    def start(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str]) -> FakeWorker:
        """Start a fake process."""
        del log
        self.argvs.append(argv)
        self.started.append(FakeWorker(Path(env[COPY])))
        return self.started[-1]

    def look(self) -> Host:
        """Return a host with the scene's memory."""
        return Host(memory=lambda: self.free)

    def fleet(self, *names: str, jobs: int) -> Fleet:
        """Return the fleet."""
        members = [
            Member(
                argv=(name,), events=EventReader(self.directory / f"{number}.jsonl"),
                row=Row(label=name, output=self.directory / f"{number}.log"),
            )
            for number, name in enumerate(names)
        ]  # fmt: skip
        console = Console(file=self.printed, width=200, highlight=False)
        view = TogetherView(console=console, rows=[member.row for member in members])
        return Fleet(
            members=members, jobs=jobs, environ={}, look=self.look, view=view, clock=self
        )  # fmt: skip

    def end(self, which: Mapping[int, Outcome], code: int) -> None:
        """Let several processes end at once."""
        for number, outcome in which.items():
            self.ends(number, outcome, code)

    def ends(self, number: int, outcome: Outcome, code: int) -> None:
        """Let a process end as a run does that wrote its results down."""
        worker = self.started[number]
        run = self.directory / f"run{number}"
        run.mkdir()
        verdict = Verdict(outcome=outcome, exit_code=code, cause="" if code == 0 else "why")
        RunResult(
            run=run.name, recipe="r", source="s", platform="swarm", started="", seconds=7.5,
            repeat="again", verdict=verdict,
        ).write(run)  # fmt: skip
        worker.records(began(run))
        worker.code = code


@pytest.fixture(name="scene")
def scene_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene, of which the fleet starts the processes."""
    scene = Scene(tmp_path)
    monkeypatch.setattr(proc, "Worker", scene.start)
    return scene


def began(directory: Path) -> RunBegan:
    """Return the first event of a run that writes there."""
    return RunBegan(run=directory.name, recipe="r", directory=str(directory))


def nothing() -> None:
    """Let a tick pass."""


def test_runs_start_in_order_as_many_as_may_and_end_in_their_rows(scene: Scene) -> None:
    """The third waits for a place; whoever ends first does not change the order of the rows."""
    states: list[list[str]] = []
    one = scene.fleet("a", "b", "c", jobs=2)

    def note() -> None:
        states.append([member.row.state for member in one.members])

    scene.script = [
        note,
        lambda: scene.ends(1, Outcome.FAILED, 1),
        note,
        lambda: scene.end({0: Outcome.PASSED, 2: Outcome.PASSED}, 0),
        nothing,
    ]
    one.run()
    assert states == [["running", "running", "waiting"], ["running", "failed", "running"]]
    assert scene.argvs == [("a",), ("b",), ("c",)]
    assert all(worker.closed for worker in scene.started)
    endings = [member.row.ending for member in one.members]
    assert [ending.exit_code for ending in endings if ending] == [0, 1, 0]
    assert exit_code(endings) == 1
    assert scene.printed.getvalue().count("] b: failed after 7.5 s  (why)") == 1


def test_the_exit_code_is_of_the_first_named_that_did_not_pass() -> None:
    """Whichever ended first; and a run without an end is no pass."""
    bad = [Ending(outcome=Outcome.PASSED, exit_code=code) for code in (0, 3, 1)]
    assert exit_code(bad) == 3
    assert exit_code([bad[0], None]) == 3
    assert exit_code([bad[0]]) == 0


def test_a_machine_that_is_short_holds_back_once_said_and_goes_on_when_one_ends(
    scene: Scene,
) -> None:
    """With no other run going on, the next one starts however little there is."""
    scene.free = 10 * MIB
    one = scene.fleet("a", "b", "c", jobs=3)
    scene.script = [
        nothing,
        lambda: scene.ends(0, Outcome.PASSED, 0),
        nothing,
        lambda: scene.ends(1, Outcome.PASSED, 0),
        nothing,
        lambda: scene.ends(2, Outcome.PASSED, 0),
        nothing,
    ]
    one.run()
    text = scene.printed.getvalue()
    assert text.count("holding back b: 10 MiB of memory free, 1400 MiB wanted") == 1
    assert text.count("holding back c: ") == 1
    assert text.index("a: passed") < text.index("b: started") < text.index("b: passed")


def test_a_run_that_is_held_back_starts_when_there_is_room(scene: Scene) -> None:
    """The machine is looked at again and again."""
    scene.free = 10 * MIB
    one = scene.fleet("a", "b", jobs=2)

    def room() -> None:
        scene.free = 10**6 * MIB
        scene.look()

    def both() -> None:
        assert len(scene.started) == 2
        scene.ends(0, Outcome.PASSED, 0)
        scene.ends(1, Outcome.PASSED, 0)

    scene.script = [nothing, room, both, nothing]
    one.run()
    assert "b: started" in scene.printed.getvalue()


def test_a_signal_is_passed_on_once_and_nothing_is_started_any_more(scene: Scene) -> None:
    """Each run removes its app; the one that had not begun is aborted as well."""
    one = scene.fleet("a", "b", "c", jobs=2)
    scene.script = [
        lambda: signal.raise_signal(signal.SIGINT),
        nothing,
        nothing,
        lambda: scene.end({0: Outcome.ABORTED, 1: Outcome.ABORTED}, 130),
        nothing,
    ]
    one.run()
    assert [worker.got for worker in scene.started] == [[signal.SIGINT], [signal.SIGINT]]
    assert [member.row.state for member in one.members] == ["aborted"] * 3
    assert one.stopped_by == "SIGINT"


def test_the_second_signal_is_passed_on_and_the_fleet_leaves_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean-up of a run may hang."""
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)
    one = scene.fleet("a", jobs=2)
    scene.script = [
        lambda: signal.raise_signal(signal.SIGTERM),
        nothing,
        lambda: signal.raise_signal(signal.SIGINT),
        lambda: scene.ends(0, Outcome.ABORTED, 130),
        nothing,
    ]
    one.run()
    assert scene.started[0].got == [signal.SIGTERM, signal.SIGINT]
    assert left == [130]


def test_the_events_of_a_run_say_what_it_is_at(scene: Scene) -> None:
    """A stage's end, a lock and a signal are worth a line, a step and a note are not."""
    member = scene.fleet("a", jobs=1).members[0]
    worker = FakeWorker(member.events.path)
    assert member.follow() == []
    worker.records(
        began(Path("/there/a-1")), Doing(step=Step.OP, stage=Stage.INSTALL), NoteEvent(text="said")
    )
    assert member.follow() == []
    assert (member.directory, member.row.stage, member.row.step) == (
        Path("/there/a-1"), "install", "install: op",
    )  # fmt: skip
    ended = StageEnded(
        stage=Stage.UPGRADE, outcome=Outcome.PASSED, op_seconds=1, assert_seconds=2, passed=3,
        total=3,
    )  # fmt: skip
    worker.records(ended, Doing(step=Step.WAIT, about="deploy"))
    assert member.follow() == ["upgrade: passed  op 1.0 s, assertions 2.0 s"]
    assert (member.row.stage, member.row.step) == ("upgrade", "deploy: waiting until settled")
    worker.records(
        AppKept(engine="unix:///e", look="docker ps", remove="nox -s reap -- a-1"),
        LockEvent(lock="x", state=LockState.WAITING, holder="b"),
        Stopping(signal="SIGINT", doing="d"),
    )
    assert [text.partition(";")[0] for text in member.follow()] == [
        "waiting for the lock 'x', held by b", "SIGINT: stopping",
    ]  # fmt: skip
    assert member.notes[1:] == ["kept  docker ps", "kept  nox -s reap -- a-1"]
    worker.records(began(Path("/elsewhere")))  # code of a recipe could write this
    assert member.follow() == []
    assert member.directory == Path("/there/a-1")


def test_the_words_of_people_change_nothing(scene: Scene) -> None:
    """Whatever a run prints and whatever its notes say, its state is what its events are."""
    member = scene.fleet("a", jobs=1).members[0]
    member.row.output.write_text("[   0.0s] run  /there\n[   1.0s] install: passed  op 1.0 s\n")
    FakeWorker(member.events.path).records(NoteEvent(text="waiting for the lock 'x', held by b"))
    assert member.follow() == []
    assert (member.directory, member.row.stage, member.row.step) == (None, "", "")


@pytest.mark.parametrize(
    ("code", "case", "came"),
    [
        (-9, (False, ""), ("error", 3, "killed by SIGKILL at 'upgrade: op'")),
        (-9, (True, ""), ("aborted", 130, "it was stopped at 'upgrade: op', and did not clean up")),
        (130, (True, ""), ("aborted", 130, "did not clean up")),
        (130, (False, ""), ("aborted", 130, "told to leave at once")),
        (2, (False, "no such thing"), ("error", 2, "no such thing")),
        (5, (False, ""), ("error", 5, "code 5")),
        (1, (False, ""), ("error", 3, "code 1")),
        (0, (False, ""), ("error", 3, "code 0")),
        (-64, (False, ""), ("error", 3, "killed by SIGRTMAX")),
        (-40, (False, ""), ("error", 3, "killed by signal 40")),
    ],
)
def test_a_run_that_wrote_no_results_has_not_judged_the_recipe(
    code: int, case: tuple[bool, str], came: tuple[str, int, str]
) -> None:
    """Neither passed nor failed, whatever code its process ended with."""
    (stopped, said), (outcome, shown, cause) = case, came
    ended = RunEnded(outcome=Outcome.ERROR, exit_code=code, cause=said) if said else None
    word, exits, why = without_results(code, at="upgrade: op", ended=ended, stopped=stopped)
    assert (str(word), exits) == (outcome, shown)
    assert cause in why


def test_a_killed_run_is_an_error_that_says_how_to_clean_up(scene: Scene) -> None:
    """Its neighbours are none the worse for it."""
    one = scene.fleet("a", "b", jobs=2)

    def killed() -> None:
        run = scene.directory / "half"
        run.mkdir()
        scene.started[0].records(began(run), Doing(step=Step.OP, stage=Stage.INSTALL))
        scene.started[0].code = -9
        scene.ends(1, Outcome.PASSED, 0)

    scene.script = [killed, nothing]
    one.run()
    ending = one.members[0].row.ending
    assert ending is not None
    assert (ending.outcome, ending.exit_code) == (Outcome.ERROR, 3)
    assert "nox -s reap" in ending.hint
    assert one.members[1].row.state == "passed"
    show_together(one.view.console, one.view.rows)
    text = scene.printed.getvalue()
    assert "cause    its process was killed by SIGKILL at 'install: op'" in text
    assert "next     nox -s reap removes what it left" in text
    assert text.rstrip().endswith("1 passed, 1 error")


@pytest.mark.parametrize("content", ["{", "{}", "[]", json.dumps({"schema": SCHEMA}), "null"])
def test_results_that_cannot_be_read_are_no_results(scene: Scene, content: str) -> None:
    """A run's broken file ends neither the fleet nor in a pass."""
    one = scene.fleet("a", jobs=2)

    def broken() -> None:
        scene.started[0].records(began(scene.directory))
        (scene.directory / "results.json").write_text(content)
        scene.started[0].code = 0

    scene.script = [broken, nothing]
    one.run()
    assert one.members[0].row.state == "error"


def test_a_process_that_cannot_be_started_is_an_error_of_its_own(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory for a fork: the others go on."""

    def start(*_: object, **__: object) -> FakeWorker:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(proc, "Worker", start)
    one = scene.fleet("a", "b", jobs=2)
    scene.script = [nothing]
    one.run()
    assert [member.row.state for member in one.members] == ["error", "error"]
    assert "could not be started: Cannot allocate memory" in scene.printed.getvalue()


def test_each_run_is_called_something_else() -> None:
    """By its ref, or by its number among those of one name."""
    named = [Entry(name=name, source="s", ref=ref) for name, ref in zip("aaba", ["", "", "", "x"],
                                                                        strict=True)]  # fmt: skip
    assert labels(named) == ("a (1)", "a (2)", "b", "a#x")


def test_runs_get_every_option_but_the_number_of_jobs() -> None:
    """Each is one run, and the settings that it says it had are those that it was given."""
    assert options(["a", "--jobs", "4", "b", "--keep", "--ref=x"]) == ("--ref", "x", "--keep")


def test_runs_that_would_share_one_domain_are_refused(tmp_path: Path) -> None:
    """They would wait for one another's stack; nothing is made for them."""
    entry = Entry(name="a", source="s")
    settings = Settings(jobs=2, domain="x.test", selectors=("a", "a"), output=tmp_path)
    with pytest.raises(UsageError, match="cannot share the domain"):
        fleet.run([entry, entry], [], settings, {}, Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []
