"""What dead runs left behind: known by their free locks, spared while they live or are kept."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.locks import file_lock as locks
from harness.platforms.base import Target
from harness.run import reaper
from harness.run.reaper import Keep, Reaped, make_work, reap, running, scope, stack_lock
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import KINDS, FakeEngine, one_of_each


def labels(cache: Path, run: str, stack: str, *, of: str = "") -> dict[str, str]:
    """Return the labels of everything that a run makes."""
    return {RUN_LABEL: run, STACK_LABEL: stack, SCOPE_LABEL: of or scope(cache)}


def left_by(cache: Path, *runs: str) -> FakeEngine:
    """Return an engine with one object of each kind from each run; run R has the stack s-R."""
    things = [t for run in runs for t in one_of_each(run, labels(cache, run, f"s-{run}"))]
    return FakeEngine(things=things)


def names(engine: FakeEngine) -> set[str]:
    """Return the runs of which something is still there."""
    return {thing.labels[RUN_LABEL] for thing in engine.things}


def target(run: str) -> Target:
    """Return where a run deploys."""
    return Target(recipe="r", run=run, scope="x", domain=f"s-{run}")


def call(engine: FakeEngine, cache: Path, said: list[str] | None = None) -> tuple[Reaped, ...]:
    """Reap, as a user does who gives no options."""
    heard = [] if said is None else said
    return reap(engine.client, cache=cache, say=heard.append)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def test_a_dead_run_is_removed_and_said(tmp_path: Path) -> None:
    """Its lock is free, so it is dead; each run has one line."""
    engine, said = left_by(tmp_path, "dead1", "dead2"), list[str]()
    reaped = call(engine, tmp_path, said)
    assert engine.things == []
    assert [one.run for one in reaped] == ["dead1", "dead2"]
    counts = ", ".join(f"1 {kind}(s)" for kind in sorted(KINDS))
    assert said == [f"dead1: removed {counts}", f"dead2: removed {counts}"]


def test_a_run_that_holds_its_lock_is_spared(tmp_path: Path) -> None:
    """It is alive: not even its directory is touched."""
    engine = left_by(tmp_path, "alive", "dead")
    work = make_work(tmp_path, target("alive"))
    lock = stack_lock("s-alive")
    with locks.hold(tmp_path / "locks", lock, purpose="p", timeout=0, say=print):
        assert [one.run for one in call(engine, tmp_path)] == ["dead"]
    assert names(engine) == {"alive"}
    assert work.exists()


def test_the_lock_is_held_while_a_dead_run_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run of that stack must not begin in the middle of it; afterwards it may."""
    engine, free = left_by(tmp_path, "dead"), list[bool]()
    remove = engine.remove_service

    def watch(identity: str) -> None:
        free.append(locks.is_free(tmp_path / "locks", stack_lock("s-dead")))
        remove(identity)

    monkeypatch.setattr(engine, "remove_service", watch)
    call(engine, tmp_path)
    assert free == [False]
    assert locks.is_free(tmp_path / "locks", stack_lock("s-dead"))


def test_what_a_run_before_left_in_the_callers_own_stack_is_removed(tmp_path: Path) -> None:
    """The caller holds that lock itself, so nobody else can be running it."""
    engine = left_by(tmp_path, "dead", "alive")
    directory = tmp_path / "locks"
    with (
        locks.hold(directory, stack_lock("s-dead"), purpose="p", timeout=0, say=print),
        locks.hold(directory, stack_lock("s-alive"), purpose="p", timeout=0, say=print),
    ):
        reap(engine.client, cache=tmp_path, held="s-dead", say=print)
        assert not locks.is_free(directory, stack_lock("s-dead"))
    assert names(engine) == {"alive"}


def test_another_scope_is_never_even_listed(tmp_path: Path) -> None:
    """Its locks lie on another host or in another cache: whether it lives cannot be known here."""
    engine = FakeEngine(
        things=one_of_each("x", labels(tmp_path, "x", "s", of=scope(tmp_path / "other")))
    )
    assert call(engine, tmp_path) == ()
    assert set(engine.asked) == {f"{SCOPE_LABEL}={scope(tmp_path)}"}
    assert len(engine.things) == len(KINDS)


def test_a_scope_is_of_a_host_and_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts with the same path on one engine do not see each other's locks."""
    here = scope(tmp_path)
    assert here == scope(tmp_path)
    assert here != scope(tmp_path / "other")
    monkeypatch.setattr("harness.run.reaper.socket.gethostname", lambda: "another-host")
    assert here != scope(tmp_path)


@pytest.mark.parametrize("missing", [RUN_LABEL, STACK_LABEL])
def test_what_lacks_a_label_is_left_alone(tmp_path: Path, missing: str) -> None:
    """Without a stack there is no lock to judge by; without a run, nothing to sweep by."""
    partly = {k: v for k, v in labels(tmp_path, "r", "s").items() if k != missing}
    engine = FakeEngine(things=one_of_each("x", partly))
    assert call(engine, tmp_path) == ()
    assert len(engine.things) == len(KINDS)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    """It spares the living as well, and makes no lock."""
    engine, said = left_by(tmp_path, "alive", "dead"), list[str]()
    make_work(tmp_path, target("dead"))
    with locks.hold(tmp_path / "locks", stack_lock("s-alive"), purpose="p", timeout=0, say=print):
        reap(engine.client, cache=tmp_path, dry_run=True, say=said.append)
    assert engine.removed == []
    assert (tmp_path / "work" / "dead").exists()
    assert len(said) == 1
    assert said[0].startswith("dead: would remove service dead-service, container dead-container,")
    assert "checkout" in said[0]
    assert not locks.lock_path(tmp_path / "locks", stack_lock("s-dead")).exists()


def test_a_kept_run_is_spared_until_its_time_is_over(tmp_path: Path) -> None:
    """And its note goes with it, so that no later run of that name is spared by mistake."""
    engine = left_by(tmp_path, "kept", "over")
    Keep(run="kept", until=time.time() + 3600).write(tmp_path)
    Keep(run="over", until=time.time() - 1).write(tmp_path)
    assert [one.run for one in call(engine, tmp_path)] == ["over"]
    assert names(engine) == {"kept"}
    assert Keep.path(tmp_path, "kept").exists()
    assert not Keep.path(tmp_path, "over").exists()


def test_a_kept_run_goes_when_it_is_named(tmp_path: Path) -> None:
    """Only the one that was named."""
    engine = left_by(tmp_path, "kept1", "kept2")
    for run in ("kept1", "kept2"):
        Keep(run=run, until=time.time() + 3600).write(tmp_path)
    reap(engine.client, cache=tmp_path, kept_too=frozenset({"kept1"}), say=print)
    assert names(engine) == {"kept2"}
    assert not Keep.path(tmp_path, "kept1").exists()


def test_a_run_that_is_kept_at_the_last_moment_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes its note and then frees its lock, while we look at what it has."""
    engine, hold = left_by(tmp_path, "kept"), locks.hold

    def freed_by_a_kept_run(*words: Any, **options: Any) -> Any:  # noqa: ANN401  as `hold`
        Keep(run="kept", until=time.time() + 3600).write(tmp_path)
        return hold(*words, **options)

    monkeypatch.setattr(locks, "hold", freed_by_a_kept_run)
    assert call(engine, tmp_path) == ()
    assert names(engine) == {"kept"}


def test_a_dry_run_spares_what_is_kept(tmp_path: Path) -> None:
    """It says what the real one would do, for the runs that are named too."""
    engine, said = left_by(tmp_path, "kept"), list[str]()
    Keep(run="kept", until=time.time() + 3600).write(tmp_path)
    for named in (frozenset[str](), frozenset({"kept"})):
        reap(engine.client, cache=tmp_path, dry_run=True, kept_too=named, say=said.append)
        assert len(said) == len(named)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"until": null}', '{"until": "soon"}'])
def test_a_note_that_says_nothing_keeps_nothing(tmp_path: Path, text: str) -> None:
    """A torn note must neither keep a dead run for ever nor stop the reaper."""
    path = Keep.path(tmp_path, "dead")
    path.parent.mkdir()
    path.write_text(text)
    engine = left_by(tmp_path, "dead")
    call(engine, tmp_path)
    assert engine.things == []


def test_only_a_lock_that_nobody_will_take_again_is_deleted(tmp_path: Path) -> None:
    """The name of a random domain never comes back; that of a domain that was asked for does."""
    directory = tmp_path / "locks"
    chosen, random = "app_example_test", "made-0a1b2c3d_test"
    for stack in (chosen, random):
        run = "made-20260101T120000-0a1b2c3d"
        call(FakeEngine(things=one_of_each("x", labels(tmp_path, run, stack))), tmp_path)
    assert [path.name for path in directory.iterdir()] == [f"{stack_lock(chosen)}.lock"]


def test_what_runs_right_now_is_known_by_its_locks(tmp_path: Path) -> None:
    """Whoever wants to stop the engine has to know whom that would hit."""
    call(left_by(tmp_path, "dead"), tmp_path)
    assert running(tmp_path) == ()
    with (
        locks.hold(tmp_path / "locks", stack_lock("s-alive"), purpose="p", timeout=0, say=print),
        locks.hold(tmp_path / "locks", "image-nginx", purpose="p", timeout=0, say=print),
    ):
        assert running(tmp_path) == ("s-alive",)


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """The next reap tries again, and the user is told."""
    engine, said = left_by(tmp_path, "dead"), list[str]()
    engine.refusals = Counter({"dead-network": 10**9})
    (reaped,) = call(engine, tmp_path, said)
    assert reaped.swept is not None
    assert reaped.swept.left == ("network dead-network",)
    assert said[0].endswith("; could not remove network dead-network")


def test_a_checkout_without_anything_in_the_engine_is_removed(tmp_path: Path) -> None:
    """A run that died while it was cloning left only this."""
    work = make_work(tmp_path, target("dead"))
    (work / "recipe").mkdir()
    engine, said = FakeEngine(), list[str]()
    assert [one.stack for one in call(engine, tmp_path, said)] == ["s-dead"]
    assert not work.exists()
    assert said == ["dead: removed nothing"]


def test_a_checkout_that_vanishes_meanwhile_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run beside this one removes its own directory when it ends."""
    work = make_work(tmp_path, target("ending"))
    read = Path.read_text

    def gone(self: Path) -> str:
        if self == work / reaper.STACK_NOTE:
            self.unlink()
        return read(self)

    monkeypatch.setattr(Path, "read_text", gone)
    assert call(FakeEngine(), tmp_path) == ()


def test_a_runs_directory_is_its_own(tmp_path: Path) -> None:
    """Nobody else reads a recipe's secrets in it, and no two runs ever share one."""
    work = make_work(tmp_path, target("r1"))
    assert work.stat().st_mode & 0o777 == 0o700
    assert (work / reaper.STACK_NOTE).read_text() == "s-r1"
    with pytest.raises(FileExistsError):
        make_work(tmp_path, target("r1"))


def test_a_note_can_be_read_by_people(tmp_path: Path) -> None:
    """It names its run and the moment."""
    Keep(run="r1", until=7.5).write(tmp_path)
    note = json.loads(Keep.path(tmp_path, "r1").read_text())
    assert (note["run"], note["until"]) == ("r1", 7.5)


def test_a_run_that_died_while_it_made_its_directory_is_removed(tmp_path: Path) -> None:
    """It has no note yet, but its name says which lock it was made under."""
    draft = tmp_path / "work" / f"{reaper.DRAFT}s-dead"
    draft.mkdir(parents=True)
    with locks.hold(tmp_path / "locks", stack_lock("s-dead"), purpose="p", timeout=0, say=print):
        assert call(FakeEngine(), tmp_path) == ()
    assert draft.exists()
    assert [one.stack for one in call(FakeEngine(), tmp_path)] == ["s-dead"]
    assert not draft.exists()


def test_a_run_that_died_with_nothing_but_its_lock_is_forgotten(tmp_path: Path) -> None:
    """Before it had made anything that carries a label; what a dry run looks at stays."""
    directory = tmp_path / "locks"
    directory.mkdir()
    for name in (stack_lock("made-0a1b2c3d_test"), stack_lock("chosen_test")):
        locks.lock_path(directory, name).touch()
        locks.holder_path(directory, name).write_text("{}")
    reap(FakeEngine().client, cache=tmp_path, dry_run=True, say=print)
    assert len(list(directory.iterdir())) == 4
    call(FakeEngine(), tmp_path)
    assert [path.name for path in directory.iterdir()] == ["stack-chosen_test.lock"]


def test_a_note_of_a_run_that_is_gone_goes_with_its_time(tmp_path: Path) -> None:
    """Somebody removed the app by hand; nothing else would ever remove the note."""
    Keep(run="gone", until=time.time() - 1).write(tmp_path)
    Keep(run="still", until=time.time() + 60).write(tmp_path)
    call(FakeEngine(), tmp_path)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["still.json"]


@pytest.mark.parametrize("jump", [-1e9, -7200.0, 7200.0, 1e9])
def test_a_clock_that_jumps_neither_ends_nor_prolongs_a_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """Until the host is started again, the clock that nobody can set decides."""
    wall, ticks = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    Keep(run="kept", until=wall + 3600).write(tmp_path)
    monkeypatch.setattr("harness.run.reaper.time.time", lambda: wall + jump)
    assert Keep.holds(tmp_path, "kept")
    monkeypatch.setattr("harness.run.reaper.time.clock_gettime", lambda _: ticks + 3700)
    assert not Keep.holds(tmp_path, "kept")


@pytest.mark.parametrize(("until", "holds"), [(60.0, True), (-60.0, False), (1e9, False)])
def test_after_a_restart_of_the_host_a_keep_goes_by_the_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: float, *, holds: bool
) -> None:
    """One that says more than anybody can ask for was written by a wrong clock: not for ever."""
    Keep(run="kept", until=time.time() + until).write(tmp_path)
    monkeypatch.setattr("harness.locks.file_lock.boot_id", lambda: "another start")
    assert Keep.holds(tmp_path, "kept") is holds
