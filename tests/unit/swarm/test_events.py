"""The engine's events about containers: what is read of them, and that a late one is waited for."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness.core.waiting import Clock
from harness.swarm import events
from harness.swarm.events import LATE_SECONDS, Event, EventLog, Happening
from tests.unit.fake_clock import FakeClock, stop_the_clock


def raw(action: str, container: str = "c1", **attributes: str) -> dict[str, Any]:
    """Return an event as the engine tells it."""
    return {"Action": action, "id": container, "Actor": {"ID": container, "Attributes": attributes}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (raw("kill", signal="9"), Event(what=Happening.KILL, signal=9)),
        (raw("die", exitCode="137"), Event(what=Happening.DIE)),
        (raw("oom"), Event(what=Happening.OOM)),
        (raw("health_status: unhealthy"), Event(what=Happening.UNHEALTHY)),
        ({"Action": "die"}, Event(what=Happening.DIE)),
        ({"Action": "die", "Actor": {"Attributes": None}}, Event(what=Happening.DIE)),
        (raw("exec_create: sh"), None),
        (raw("kill", signal="SIGTERM"), None),
        ({}, None),
    ],
)
def test_each_event_of_interest_is_read(told: Mapping[str, Any], expected: Event | None) -> None:
    """Whatever else an engine tells is passed over."""
    assert Event.parse(told) == expected


def test_events_are_kept_by_container_and_in_order() -> None:
    """One container's end says nothing about another one's."""
    log = EventLog()
    for told in (raw("kill", signal="15"), raw("die", "c2"), raw("start"), raw("die")):
        log.add(told)
    assert [event.what for event in log.of("c1", ended=0.0)] == [Happening.KILL, Happening.DIE]
    assert [event.what for event in log.of("c2", ended=0.0)] == [Happening.DIE]
    assert log.of("c3", ended=0.0) == ()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that stands."""
    return stop_the_clock(monkeypatch)


@pytest.fixture
def log() -> Iterator[EventLog]:
    """A log that follows an engine which tells nothing."""
    made = EventLog()
    made.follow(lambda: ())
    yield made
    made.close()


LATER = 10.0**11  # in Unix time: after any start of a test


def test_the_event_of_an_end_may_come_late(log: EventLog, clock: FakeClock) -> None:
    """The Swarm may know of an end first: without its event, nothing says who ended it."""
    clock.on_sleep = lambda: log.add(raw("die"))
    assert [event.what for event in log.of("c1", ended=LATER)] == [Happening.DIE]
    assert clock.slept


def test_an_event_that_never_comes_is_waited_for_within_bounds(
    log: EventLog, clock: FakeClock
) -> None:
    """The engine may have been away."""
    assert log.of("c1", ended=LATER) == ()
    assert clock.now >= LATE_SECONDS


def test_an_end_from_before_anything_was_heard_is_not_waited_for(
    log: EventLog, clock: FakeClock
) -> None:
    """Its event will not come; neither will one to a log that follows no engine."""
    assert log.of("c1", ended=1.0) == ()
    assert EventLog().of("c1", ended=LATER) == ()
    assert clock.slept == []


def test_kills_for_memory_are_counted_by_container() -> None:
    """Also of a container that goes on."""
    log = EventLog()
    for told in (raw("oom"), raw("oom"), raw("die"), raw("oom", "c2"), raw("die", "c3")):
        log.add(told)
    assert log.out_of_memory() == {"c1": 2, "c2": 1}


def test_containers_that_were_killed_are_known_by_name() -> None:
    """Those that were judged and found to have ended by themselves are not among them."""
    log = EventLog()
    log.judged.update({"c2": True, "c1": True, "c3": False})
    assert log.killed == ("c1", "c2")


def test_an_engine_is_away_from_its_last_word_to_its_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it refuses meanwhile: containers that ended with it ended at the beginning."""
    now, calls = [1000.0], [0]
    back = threading.Event()
    monkeypatch.setattr("harness.swarm.events.time.time", lambda: now[0])
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0.0)

    def connect() -> Iterator[Mapping[str, Any]]:
        calls[0] += 1
        now[0] += 100.0
        if calls[0] in (2, 3):
            raise ConnectionRefusedError
        if calls[0] == 5:
            back.set()
            threading.Event().wait()
        return iter(())

    log = EventLog()
    log.follow(connect)
    assert back.wait(30)
    log.close()
    assert log.silent_at(1100.0, within=1.0)
    assert log.silent_at(1250.0, within=1.0)
    assert not log.silent_at(1050.0, within=1.0)
    assert log.restarted


def test_a_stream_that_is_only_cut_is_no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy or a tunnel may cut it; the engine answers the next call at once."""
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0.0)
    calls, back = [0], threading.Event()

    def connect() -> Iterator[Mapping[str, Any]]:
        calls[0] += 1
        if calls[0] == 3:
            back.set()
            threading.Event().wait()
        return iter(())

    log = EventLog()
    log.follow(connect)
    assert back.wait(30)
    log.close()
    assert not log.restarted


def test_an_event_wakes_those_who_wait_for_its_stack_alone() -> None:
    """Else each run would look again whenever something happens to a neighbour's."""
    log = EventLog()
    label = "com.docker.stack.namespace"
    mine, others = log.clock_of(label, "mine"), log.clock_of(label, "other")
    assert log.clock_of(label, "mine") is mine
    woken: list[Clock] = []
    for clock in (mine, others):
        clock.wake = lambda clock=clock: woken.append(clock)  # type: ignore[attr-defined]
    log.add(raw("health_status: healthy", **{label: "mine"}))
    log.add(raw("start", **{label: "mine"}))
    log.add({"Action": "die", "Actor": {"ID": "c1", "Attributes": None}})
    assert woken == [mine]
