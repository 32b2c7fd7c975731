"""What dead runs of any host left on a shared Swarm: judged by Swarm locks, without clocks."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.core.errors import LockLostError
from harness.core.waiting import SYSTEM_CLOCK
from harness.locks import file_lock as locks
from harness.locks import swarm_lock
from harness.locks.swarm_lock import LEASE_SECONDS, OWNER, RELEASED, Lease
from harness.platforms.base import Target
from harness.run import reaper
from harness.run.reaper import KEPT_LABEL, Keep, Reaped, Shared, reap, stack_lock
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_configs import FakeConfigs
from tests.unit.fake_engine import FakeEngine, Thing, one_of_each

SCOPE = "swarm-scope"
AWAY = "another-place"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)
    monkeypatch.setattr(Lease, "_beat", lambda _self: None)


@pytest.fixture(name="configs")
def configs_fixture() -> FakeConfigs:
    """A Swarm's configs."""
    return FakeConfigs()


@pytest.fixture(name="never")
def never_fixture() -> Iterator[ExitStack]:
    """Holders that never give their locks back by themselves."""
    with ExitStack() as stack:
        yield stack


def left_by(*runs: str) -> FakeEngine:
    """Return an engine with one object of each kind from each run; run R has the stack s-R."""
    return FakeEngine(things=[thing for run in runs for thing in one_of_each(run, labels(run))])


def labels(run: str) -> dict[str, str]:
    """Return the labels of everything that a run makes."""
    return {RUN_LABEL: run, STACK_LABEL: f"s-{run}", SCOPE_LABEL: SCOPE}


def lock(configs: FakeConfigs, never: ExitStack, run: str, *, place: str = AWAY) -> Lease:
    """Let a run hold the Swarm lock of its stack."""
    return never.enter_context(
        swarm_lock.hold(
            configs, stack_lock(f"s-{run}"), run=run, purpose="p", timeout=0, say=print,
            place=place,
        )
    )  # fmt: skip


def call(
    engine: FakeEngine,
    configs: FakeConfigs,
    cache: Path,
    said: list[str] | None = None,
    *,
    patient: bool = False,
    held: str = "",
    dry_run: bool = False,
    kept_too: frozenset[str] = frozenset(),
) -> list[str]:
    """Reap in what looks like a process of its own, and return the runs that were reaped."""
    shared = Shared(configs=configs, scope=SCOPE, directory=cache / "locks", patient=patient)
    shared.held = bool(held)
    reaped: tuple[Reaped, ...] = reap(
        engine.client, cache=cache, shared=shared, held=held, dry_run=dry_run, kept_too=kept_too,
        say=([] if said is None else said).append,
    )  # fmt: skip
    return [one.run for one in reaped]


def test_a_run_whose_swarm_lock_is_gone_is_removed(configs: FakeConfigs, tmp_path: Path) -> None:
    """Whatever host it ran on; and the lock under which it is done does not stay."""
    engine = left_by("dead")
    assert call(engine, configs, tmp_path) == ["dead"]
    assert engine.things == []
    assert configs.there == {}


def test_a_run_of_another_host_is_spared_while_its_lock_may_be_alive(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """A silent lock is only noted: the start of a run waits for nobody else's lease."""
    engine = left_by("alive")
    lease = lock(configs, never, "alive")
    began = SYSTEM_CLOCK.monotonic()
    for _ in range(4):
        assert call(engine, configs, tmp_path) == []
        SYSTEM_CLOCK.sleep(LEASE_SECONDS / 3)
        lease.check()
    assert SYSTEM_CLOCK.monotonic() - began < 2 * LEASE_SECONDS
    assert engine.removed == []
    assert list((tmp_path / "locks").glob("*.lock")) == []


def test_a_lock_that_stood_still_between_two_runs_has_expired(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """The note of an earlier run counts; the lock goes with what its run left."""
    engine = left_by("dead")
    lock(configs, never, "dead")
    assert call(engine, configs, tmp_path) == []
    SYSTEM_CLOCK.sleep(LEASE_SECONDS - 1)
    assert call(engine, configs, tmp_path) == []
    SYSTEM_CLOCK.sleep(1)
    assert call(engine, configs, tmp_path) == ["dead"]
    assert (engine.things, configs.there) == ([], {})


def test_whoever_is_patient_waits_until_it_is_known(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """One lease for all of them, and it says so; a run that does nothing yet has a lock, too."""
    engine, said = left_by("dead"), list[str]()
    lock(configs, never, "dead")
    lock(configs, never, "just-begun")
    began = SYSTEM_CLOCK.monotonic()
    assert call(engine, configs, tmp_path, said, patient=True) == ["dead", "just-begun"]
    assert LEASE_SECONDS <= SYSTEM_CLOCK.monotonic() - began < LEASE_SECONDS + 2
    assert said[0] == "watching 2 lock(s) of the Swarm, for 60 s at most"
    assert (engine.things, configs.there) == ([], {})


def test_a_patient_one_leaves_as_soon_as_all_have_shown_life(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """Live locks are renewed four times a lease, so nobody waits for the whole of it."""
    engine, looks = left_by("alive"), list[str]()
    lease = lock(configs, never, "alive")

    def beat(name: str) -> None:
        if name == "find":
            looks.append(name)
            if len(looks) == 20:
                configs.before = lambda _: None
                lease.check()

    configs.before = beat
    began = SYSTEM_CLOCK.monotonic()
    assert call(engine, configs, tmp_path, patient=True) == []
    assert SYSTEM_CLOCK.monotonic() - began < LEASE_SECONDS / 2
    lease.check()


def test_a_dead_run_of_this_host_is_known_at_once(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """Its file lock is free here, whatever its Swarm lock says; one that is held spares it."""
    engine = left_by("dead", "alive")
    here = locks.place_of(tmp_path / "locks")
    for run in ("dead", "alive"):
        lock(configs, never, run, place=here)
    file_lock = stack_lock("s-alive")
    with locks.hold(tmp_path / "locks", file_lock, purpose="p", timeout=0, say=print):
        assert call(engine, configs, tmp_path) == ["dead"]
    assert {thing.labels[RUN_LABEL] for thing in engine.things} == {"alive"}
    assert [seen.run for seen in swarm_lock.every_lock(configs)] == ["alive"]


def test_a_holder_that_wakes_up_during_the_sweep_is_fenced_off(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left is removed under its own lock, which it does not have any more."""
    engine = left_by("paused")
    lease = lock(configs, never, "paused")
    remove, lost = engine.remove_service, list[bool]()

    def wake_up(identity: str) -> None:
        with pytest.raises(LockLostError):
            lease.check()
        lost.append(True)
        remove(identity)

    monkeypatch.setattr(engine, "remove_service", wake_up)
    assert call(engine, configs, tmp_path, patient=True) == ["paused"]
    assert lost == [True]


def test_the_callers_own_lock_is_not_left_over(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """Only what an earlier run left in its stack is removed."""
    engine = left_by("dead")
    engine.things = [
        Thing(kind=thing.kind, name=thing.name, labels={**thing.labels, STACK_LABEL: "s-mine"})
        for thing in engine.things
    ]
    mine = lock(configs, never, "mine", place=locks.place_of(tmp_path / "locks"))
    file_lock = stack_lock("s-mine")
    with locks.hold(tmp_path / "locks", file_lock, purpose="p", timeout=0, say=print):
        assert call(engine, configs, tmp_path, held="s-mine") == ["dead"]
    mine.check()


def test_a_released_lock_is_removed(configs: FakeConfigs, never: ExitStack, tmp_path: Path) -> None:
    """Its holder died between its release and its removal."""
    lease = lock(configs, never, "dead")
    (config,) = configs.there.values()
    configs.update(config, {**config.labels, OWNER: RELEASED})
    assert call(FakeEngine(), configs, tmp_path) == []
    assert configs.there == {}
    with pytest.raises(LockLostError):
        lease.check()


def test_a_dry_run_takes_no_lock_and_removes_nothing(
    configs: FakeConfigs, never: ExitStack, tmp_path: Path
) -> None:
    """It only says what it would do."""
    engine, said = left_by("dead", "alive"), list[str]()
    lock(configs, never, "alive")
    configs.calls.clear()
    assert call(engine, configs, tmp_path, said, dry_run=True) == ["dead"]
    assert engine.removed == []
    assert set(configs.calls) <= {"find", "with_label"}


def test_a_kept_run_is_spared_on_every_host(
    configs: FakeConfigs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note is in the Swarm, and goes with it when its time is over or it is named."""
    monkeypatch.setattr(reaper, "EngineConfigs", lambda _client: configs)
    target = Target(recipe="r", run="kept", scope=SCOPE, domain="s-kept")
    Keep(run="kept", until=time.time() + 3600).share(FakeEngine().client, target)
    (note,) = configs.there.values()
    assert note.labels.items() >= labels("kept").items()
    configs.there.clear()
    engine = left_by("kept")
    engine.things.append(Thing(kind="config", name=note.name, labels=note.labels))
    assert call(engine, configs, tmp_path) == []
    assert call(engine, configs, tmp_path, dry_run=True) == []
    assert engine.removed == []
    assert call(engine, configs, tmp_path, kept_too=frozenset({"kept"})) == ["kept"]
    assert engine.things == []


def test_a_kept_run_goes_when_its_time_is_over(configs: FakeConfigs, tmp_path: Path) -> None:
    """A note that cannot be read keeps nothing for ever."""
    engine = left_by("over", "torn", "long")
    for run, until in (("over", str(time.time() - 1)), ("torn", "soon"), ("long", "99999999999")):
        note = {**labels(run), KEPT_LABEL: until}
        engine.things.append(Thing(kind="config", name=reaper.note_of(run), labels=note))
    assert call(engine, configs, tmp_path) == ["long", "over", "torn"]
    assert engine.things == []


@pytest.mark.parametrize(("kind", "name"), [("service", ""), ("config", "mine"), ("volume", "")])
def test_a_label_of_a_recipe_keeps_nothing(
    configs: FakeConfigs, tmp_path: Path, kind: str, name: str
) -> None:
    """Only the harness's own note counts: a recipe can write any label on what it deploys."""
    engine = left_by("mine")
    note = {**labels("mine"), KEPT_LABEL: str(time.time() + 3600)}
    engine.things.append(Thing(kind=kind, name=name or reaper.note_of("mine"), labels=note))
    assert call(engine, configs, tmp_path) == ["mine"]
    assert engine.things == []


def test_all_hosts_of_a_swarm_have_one_scope(tmp_path: Path) -> None:
    """It is the Swarm's, and no run's of this cache alone."""
    one, other = (Shared.of(FakeEngine().client, tmp_path / name) for name in "ab")
    assert one.scope == other.scope
    assert one.place != other.place
    assert one.scope not in {reaper.scope(tmp_path / name) for name in "ab"}
