"""A Swarm's lock: one holder at a time, whoever is slow, dead, stopped or has a strange clock."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from harness.core.errors import LockLostError, LockTimeoutError, TestBedError
from harness.core.model import Outcome
from harness.core.waiting import Interruptible
from harness.locks import file_lock as locks
from harness.locks import swarm_lock
from harness.locks.file_lock import place_of
from harness.locks.swarm_lock import (
    HEARTBEAT,
    LEASE,
    OWNER,
    PLACE,
    RELEASED,
    Lease,
    Watch,
    every_lock,
    hold,
    look,
    wanted,
)
from tests.unit.fake_clock import FakeClock
from tests.unit.fake_configs import FakeConfigs

TERM = 60.0


@pytest.fixture(autouse=True)
def _no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread renew anything behind a test's back: each test does it by hand."""
    monkeypatch.setattr(Lease, "_beat", lambda _self: None)


@pytest.fixture(name="clock")
def clock_fixture() -> FakeClock:
    """A clock that only moves when somebody waits."""
    return FakeClock()


@pytest.fixture(name="configs")
def configs_fixture() -> FakeConfigs:
    """An empty Swarm."""
    return FakeConfigs()


def held(
    configs: FakeConfigs,
    clock: FakeClock,
    run: str = "first",
    *,
    timeout: float = 0,
    say: Callable[[str], None] = print,
    **options: Any,  # noqa: ANN401  any option of `hold`
) -> AbstractContextManager[Lease]:
    """Hold the lock `x`."""
    return hold(
        configs, "x", run=run, purpose="testing", timeout=timeout, say=say, lease=TERM,
        clock=clock, **options,
    )  # fmt: skip


def owner(configs: FakeConfigs) -> str:
    """Return who holds `x` in the Swarm's eyes."""
    seen = look(configs, "x")
    assert seen is not None
    return seen.owner


def test_a_lock_is_held_said_and_gone_afterwards(configs: FakeConfigs, clock: FakeClock) -> None:
    """Its config tells people who holds it, and nothing of it stays."""
    with held(configs, clock) as lease:
        (seen,) = every_lock(configs)
        assert (seen.owner, seen.run, seen.purpose) == (lease.owner, "first", "testing")
        assert seen.lease == TERM
        assert seen.host in str(seen)
        assert not {label for label in seen.config.labels if label.startswith("ccci.run")}
        lease.check()
    assert configs.there == {}


def test_an_error_in_the_block_gives_it_back(configs: FakeConfigs, clock: FakeClock) -> None:
    """However the block ends."""
    with pytest.raises(KeyError), held(configs, clock):
        raise KeyError
    assert configs.there == {}


def test_a_second_one_is_told_who_holds_it_and_gives_up(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """At once and then every 30 seconds; the wait is finite; the holder loses nothing."""
    said: list[str] = []
    with held(configs, clock) as lease:
        clock.on_sleep = lease.check
        with (
            pytest.raises(LockTimeoutError) as caught,
            hold(
                configs,
                "x",
                run="second",
                purpose="too",
                timeout=70,
                say=said.append,
                clock=clock,
            ),
        ):
            pass
        lease.check()
    assert len(said) == 3
    assert all("first on" in line and "testing" in line for line in said)
    assert "first on" in caught.value.cause
    assert caught.value.exit_code == 5
    assert 70 <= clock.now < 71


def test_of_racers_for_one_name_one_wins(configs: FakeConfigs, clock: FakeClock) -> None:
    """The create is atomic: whoever finds the name free and comes second does not get it."""
    with ExitStack() as stack:

        def faster(name: str) -> None:
            if name == "create":
                configs.before = lambda _: None
                stack.enter_context(held(configs, clock, "faster"))

        configs.before = faster
        with (
            pytest.raises(LockTimeoutError, match="not free") as caught,
            held(configs, clock, "slower"),
        ):
            pass
        assert "faster on" in caught.value.cause
        assert [seen.run for seen in every_lock(configs)] == ["faster"]


def dead(configs: FakeConfigs, clock: FakeClock, run: str = "dead") -> Lease:
    """Return the lease of a holder that was killed: it never gives it back."""
    lock = held(configs, clock, run)
    lease = lock.__enter__()
    _NEVER_LEFT.append(lock)
    return lease


_NEVER_LEFT: list[AbstractContextManager[Lease]] = []  # else the collector would end the block


@pytest.fixture(autouse=True)
def _leave() -> Iterator[None]:
    yield
    for lock in _NEVER_LEFT:
        lock.__exit__(None, None, None)
    _NEVER_LEFT.clear()


def test_a_dead_holders_lock_is_taken_over_after_its_lease_and_not_before(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """Counted from the observer's first look, by update: the config is the same one."""
    gone = dead(configs, clock)
    (before,) = configs.there
    clock.now += 1000  # however long it had been dead: nobody was looking
    with pytest.raises(LockTimeoutError), held(configs, clock, timeout=TERM - 1):
        pass
    assert owner(configs) == gone.owner
    began = clock.now
    with held(configs, clock, "second", timeout=2 * TERM) as lease:
        assert TERM <= clock.now - began < TERM + 1
        assert list(configs.there) == [before]
        assert owner(configs) == lease.owner
    assert configs.there == {}


def test_one_sign_of_life_starts_the_lease_anew(configs: FakeConfigs, clock: FakeClock) -> None:
    """A slow holder is not a dead one."""
    slow, watch = dead(configs, clock), Watch(clock=clock)
    for _ in range(5):
        with pytest.raises(LockTimeoutError), held(configs, clock, watch=watch):
            pass
        clock.now += TERM - 1
        slow.check()
    assert watch.moved("x")
    assert owner(configs) == slow.owner


def test_a_heartbeats_date_decides_nothing(configs: FakeConfigs, clock: FakeClock) -> None:
    """A clock that is years off, on either side, makes a lock neither older nor younger."""
    dead(configs, clock)
    seen = look(configs, "x")
    assert seen is not None
    for date in ("1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "soon"):
        again = look(configs, "x")
        assert again is not None
        configs.update(again.config, {**again.config.labels, HEARTBEAT: date})
        with pytest.raises(LockTimeoutError), held(configs, clock, timeout=TERM / 2):
            pass


def test_a_holder_that_wakes_up_finds_its_lock_lost(configs: FakeConfigs, clock: FakeClock) -> None:
    """By a look at the Swarm, before anything is done; and it takes nothing away on its way out."""
    with held(configs, clock, "sleeper") as sleeper:
        with held(configs, clock, "second", timeout=2 * TERM) as second:
            with pytest.raises(LockLostError, match="taken over by second on") as caught:
                sleeper.check()
            assert (caught.value.outcome, caught.value.exit_code) == (Outcome.ERROR, 3)
            sleeper.release()
            second.check()
        with pytest.raises(LockLostError):  # for good, although it is free again
            sleeper.check()
    assert configs.there == {}


def test_a_holder_that_slept_and_was_not_taken_over_goes_on(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """Its renewal succeeds only if nobody held the lock meanwhile, so nothing was missed."""
    with held(configs, clock) as lease:
        clock.now += 10 * TERM
        lease.check()
        watch = Watch(clock=clock)
        with pytest.raises(LockTimeoutError), held(configs, clock, watch=watch):
            pass


def test_a_lock_whose_config_was_removed_is_lost(configs: FakeConfigs, clock: FakeClock) -> None:
    """Somebody removed it by hand: another run may hold the name already."""
    with held(configs, clock) as lease:
        configs.there.clear()
        with pytest.raises(LockLostError, match="removed"):
            lease.check()


def test_a_holder_that_does_not_reach_the_swarm_gives_up_when_its_lease_is_over(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """By its own clock, from before its last renewal; until then it is the engine's error."""

    def unreachable(_: str) -> None:
        raise requests.ConnectionError("refused")

    with held(configs, clock) as lease:
        clock.now += 5
        lease.check()
        configs.before = unreachable
        clock.now += TERM - 1
        with pytest.raises(requests.ConnectionError):
            lease.check()
        clock.now += 1
        with pytest.raises(LockLostError, match="could not be renewed"):
            lease.check()
        configs.before = lambda _: None
        with pytest.raises(LockLostError):
            lease.check()


def test_a_slow_answer_does_not_make_the_lease_longer(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """Others may count from the moment of the change, so the holder counts from before it."""

    def slow(name: str) -> None:
        if name == "update":
            clock.now += 20

    def unreachable(_: str) -> None:
        raise requests.ConnectionError("refused")

    with held(configs, clock) as lease:
        configs.before = slow
        lease.check()
        configs.before = unreachable
        clock.now += TERM - 20
        with pytest.raises(LockLostError):
            lease.check()
        configs.before = lambda _: None


def test_a_renewal_whose_answer_got_lost_is_still_ours(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """The version moved on by our own hand: the owner decides, not the version."""
    with held(configs, clock) as lease:
        turns = iter([True])

        def own_late_renewal(name: str) -> None:
            if name == "update" and next(turns, False):
                (config,) = configs.there.values()
                configs.update(config, config.labels)

        configs.before = own_late_renewal
        lease.check()
        assert owner(configs) == lease.owner


def test_a_takeover_that_comes_second_fails(configs: FakeConfigs, clock: FakeClock) -> None:
    """The holder renewed, or another one took over, between the look and the update."""
    sleeper, watch = dead(configs, clock), Watch(clock=clock)
    with pytest.raises(LockTimeoutError), held(configs, clock, watch=watch):
        pass
    clock.now += TERM

    def wakes_up(name: str) -> None:
        if name == "update":
            configs.before = lambda _: None
            sleeper.check()

    configs.before = wakes_up
    with pytest.raises(LockTimeoutError), held(configs, clock, "late", watch=watch):
        pass
    assert owner(configs) == sleeper.owner


def test_a_takeover_between_the_releases_look_and_its_update_wins(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """The config keeps its id when it is taken over: a removal by that id would be wrong."""
    with ExitStack() as stack:

        def taken(name: str) -> None:
            if name == "update":
                configs.before = lambda _: None
                stack.enter_context(held(configs, clock, "second", timeout=2 * TERM))

        with held(configs, clock, "slow"):
            configs.before = taken
        (seen,) = every_lock(configs)
        assert (seen.run, seen.owner == RELEASED) == ("second", False)


def test_a_removal_that_comes_late_removes_no_newer_lock(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """Between release and removal, somebody else has removed it and made the next one."""
    with ExitStack() as stack:

        def late(name: str) -> None:
            if name == "remove":
                configs.before = lambda _: None
                stack.enter_context(held(configs, clock, "second"))

        with held(configs, clock, "slow"):
            configs.before = late
        (seen,) = every_lock(configs)
        assert (seen.run, seen.owner == RELEASED) == ("second", False)


def test_what_a_killed_release_leaves_is_cleared_by_the_next_one(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """A released config is removed at once, by anybody, and never held again."""
    gone = dead(configs, clock)
    (config,) = configs.there.values()
    configs.update(config, {**config.labels, OWNER: RELEASED})
    with held(configs, clock, "next"):
        assert config.id not in configs.there
    with pytest.raises(LockLostError):
        gone.check()


def test_a_run_that_is_stopped_right_after_the_swarms_answer_leaves_nothing(
    configs: FakeConfigs, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal can come at any instruction: before our note of the config's id, too."""
    create = configs.create

    def stopped(*words: Any) -> str:  # noqa: ANN401  as `create`
        create(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(configs, "create", stopped)
    with pytest.raises(KeyboardInterrupt), held(configs, clock):
        pass
    assert configs.there == {}


def test_a_release_that_fails_is_said_and_hides_nothing(
    configs: FakeConfigs, clock: FakeClock
) -> None:
    """The lock expires by itself; the run's own end is what counts."""
    said: list[str] = []

    def unreachable(_: str) -> None:
        raise requests.ConnectionError("refused")

    with pytest.raises(KeyError), held(configs, clock, say=said.append):
        raise fault(configs, unreachable)
    assert len(said) == 1
    assert "expires" in said[0]


def test_a_holder_of_our_own_file_locks_is_known_to_be_dead(
    configs: FakeConfigs, clock: FakeClock, tmp_path: Path
) -> None:
    """Whoever holds the file lock that it would hold need not wait; another place has to."""
    here, there = place_of(tmp_path / "a"), place_of(tmp_path / "b")
    assert here != there
    assert here == place_of(tmp_path / "a")
    lock = held(configs, clock, "dead", place=here)
    lock.__enter__()
    _NEVER_LEFT.append(lock)
    with pytest.raises(LockTimeoutError), held(configs, clock, place=there):
        pass
    with held(configs, clock, "next", place=here):
        assert clock.now < 1


@pytest.mark.parametrize("missing", [OWNER, swarm_lock.LOCK_LABEL])
def test_a_config_that_is_no_lock_is_left_alone(
    configs: FakeConfigs, clock: FakeClock, missing: str
) -> None:
    """It only has the name of one: somebody else's, so it is neither taken nor removed."""
    labels = {OWNER: "", swarm_lock.LOCK_LABEL: "x"}
    del labels[missing]
    configs.create("ccci-lock-x", labels)
    with pytest.raises(TestBedError, match="but is not one"), held(configs, clock):
        pass
    assert len(configs.there) == 1


@pytest.mark.parametrize("text", ["", "never", "0", "-1", "nan", "inf", "1e9"])
def test_a_lease_that_makes_no_sense_is_the_usual_one(configs: FakeConfigs, text: str) -> None:
    """A label that somebody changed makes no lock eternal, nor free."""
    configs.create("ccci-lock-x", {OWNER: "o", swarm_lock.LOCK_LABEL: "x", LEASE: text})
    seen = look(configs, "x")
    assert seen is not None
    assert seen.lease == swarm_lock.LEASE_SECONDS


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), ("0.5", 0.5), ("3600", 3600.0)])
def test_a_holder_promises_its_own_lease(
    configs: FakeConfigs, clock: FakeClock, text: str, seconds: float
) -> None:
    """Others wait for that long, and not for as long as they would promise themselves."""
    configs.create("ccci-lock-x", {OWNER: "o", swarm_lock.LOCK_LABEL: "x", LEASE: text})
    seen = look(configs, "x")
    assert seen is not None
    watch = Watch(clock=clock)
    assert not watch.expired(seen)
    clock.now += seconds - 0.1
    assert not watch.expired(seen)
    clock.now += 0.1
    assert watch.expired(seen)


def test_only_locks_are_listed(configs: FakeConfigs, clock: FakeClock) -> None:
    """A config that somebody labelled by hand has no owner: it locks nothing."""
    configs.create("made-by-hand", {swarm_lock.LOCK_LABEL: "y"})
    with held(configs, clock):
        assert [seen.name for seen in every_lock(configs)] == ["x"]


def test_only_locks_that_still_exist_are_written_down(
    tmp_path: Path, configs: FakeConfigs, clock: FakeClock
) -> None:
    """Else the note would grow with each stack that was ever locked."""
    watch, note = Watch(clock=clock), tmp_path / "seen"
    with held(configs, clock):
        for seen in every_lock(configs):
            watch.expired(seen)
    watch.save(note, frozenset({"x"}))
    assert list(json.loads(note.read_text())["seen"]) == ["x"]
    watch.save(note, frozenset())
    assert json.loads(note.read_text())["seen"] == {}


def test_what_was_seen_earlier_counts(tmp_path: Path, configs: FakeConfigs) -> None:
    """Written down, so that the start of a run need not wait for the lease of a dead one."""
    clock, note = FakeClock(now=500.0), tmp_path / "seen"
    dead(configs, clock)
    first = Watch.load(note, clock)
    seen = look(configs, "x")
    assert seen is not None
    assert not first.expired(seen)
    first.save(note, frozenset({"x", "y"}))
    clock.now += TERM - 1
    assert not Watch.load(note, clock).expired(seen)
    clock.now += 1
    assert Watch.load(note, clock).expired(seen)


def test_what_was_seen_before_a_restart_of_the_host_counts_for_nothing(
    tmp_path: Path, configs: FakeConfigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock began anew; so do notes from the future, and torn ones."""
    clock, note = FakeClock(now=500.0), tmp_path / "seen"
    dead(configs, clock)
    seen = look(configs, "x")
    assert seen is not None
    watch = Watch(clock=clock)
    watch.expired(seen)
    watch.save(note, frozenset({"x"}))
    clock.now += TERM
    boot = tmp_path / "boot"
    boot.write_text("another")
    with monkeypatch.context() as patch:
        patch.setattr(locks, "BOOT_ID", boot)
        assert not Watch.load(note, clock).expired(seen)
    for text in ("", "{", "[]", '{"boot": "b"}', json.dumps({"boot": locks.boot_id()})):
        note.write_text(text)
        assert not Watch.load(note, clock).expired(seen)


@pytest.mark.parametrize(
    ("mode", "local", "nodes", "swarm"),
    [
        ("auto", True, 1, False),
        ("auto", True, 2, True),
        ("auto", False, 1, True),
        ("local", False, 3, False),
        ("swarm", True, 1, True),
    ],
)
def test_a_shared_swarm_is_locked_by_itself(
    *, mode: str, local: bool, nodes: int, swarm: bool
) -> None:
    """Wherever another host can deploy to the same Swarm, unless it was asked for otherwise."""
    client: Any = SimpleNamespace(api=SimpleNamespace(nodes=lambda: [{}] * nodes))
    assert wanted(mode, client, local=local) is swarm


def test_the_heart_beats_until_it_is_stopped(
    configs: FakeConfigs, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times a lease; a failed renewal does not end it, a lost lock does."""
    monkeypatch.undo()
    pauses: list[float] = []

    def pause(_self: Interruptible, seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise_once(configs)
        if len(pauses) == 4:
            configs.there.clear()
        assert len(pauses) < 9
        return False

    labels = {swarm_lock.LOCK_LABEL: "x", OWNER: "me", PLACE: ""}
    lease = Lease(configs=configs, name="x", labels=labels, lease=TERM, clock=clock)
    assert lease.try_to_take(Watch(clock=clock), "") == ""
    monkeypatch.setattr(Interruptible, "pause", pause)
    lease._beat()  # noqa: SLF001  the thread's whole work, without the thread
    assert pauses == [TERM / 4] * 4
    assert configs.calls.count("update") == 2
    with pytest.raises(LockLostError, match="removed"):
        lease.check()


def fault(configs: FakeConfigs, then: Callable[[str], None]) -> KeyError:
    """Return what a run ends with, on an engine that from now on does that."""
    configs.before = then
    return KeyError()


def raise_once(configs: FakeConfigs) -> None:
    """Let the next call fail."""

    def fail(_: str) -> None:
        configs.before = lambda _: None
        raise requests.ConnectionError("refused")

    configs.before = fail
