"""Polling and retrying, on a clock that only moves when somebody sleeps."""

import threading

import pytest

from harness.core.errors import HarnessError, RecipeError, WaitTimeoutError
from harness.core.waiting import (
    LONGEST_PAUSE,
    QUICK_PAUSE,
    QUICK_SECONDS,
    Deadline,
    Interruptible,
    WokenClock,
    retry,
    wait_for,
)
from tests.unit.fake_clock import FakeClock


def test_a_wait_returns_the_look_that_was_ready() -> None:
    """What was seen is handed back, so nobody has to look again."""
    looks = iter([1, 2, 3, 4])
    clock = FakeClock()
    found = wait_for(
        lambda: next(looks), what="x", deadline=Deadline.after(10, clock), ready=lambda n: n == 3
    )
    assert found == 3
    assert len(clock.slept) == 2


def test_several_looks_in_a_row_start_anew_after_a_bad_one() -> None:
    """A single good look between two bad ones is not settled."""
    looks = iter([True, True, False, True, True, True])
    seen: list[bool] = []

    def probe() -> bool:
        seen.append(next(looks))
        return seen[-1]

    wait_for(probe, what="x", deadline=Deadline.after(10, FakeClock()), looks=3)
    assert seen == [True, True, False, True, True, True]


def test_a_lost_state_ends_the_wait_at_once() -> None:
    """What can never become ready is not waited for."""
    clock = FakeClock()

    def failed(look: str) -> HarnessError | None:
        return RecipeError("lost") if look == "broken" else None

    with pytest.raises(RecipeError):
        wait_for(
            lambda: "broken",
            what="x",
            deadline=Deadline.after(10, clock),
            ready=lambda _: False,
            failed=failed,
        )
    assert clock.slept == []


def test_a_time_out_shows_the_last_look() -> None:
    """Whoever reads the message sees why, not only that."""
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(
            lambda: "0/1 running",
            what="the app",
            deadline=Deadline.after(1, FakeClock()),
            ready=lambda _: False,
        )
    assert caught.value.detail == "0/1 running"
    assert "the app" in str(caught.value)


def test_a_probe_that_raises_ends_the_wait() -> None:
    """Errors are not retried by a wait: that is another function's job."""

    def probe() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_for(probe, what="x", deadline=Deadline.after(1, FakeClock()))


def test_a_retry_stops_at_its_count_and_leaves_a_trace() -> None:
    """Bounded by count; each error that is retried is noted, the last one is raised."""
    noted: list[int] = []
    calls: list[int] = []

    def call(attempt: int) -> None:
        calls.append(attempt)
        raise ValueError(attempt)

    with pytest.raises(ValueError, match="3"):
        retry(
            call,
            on=ValueError,
            attempts=3,
            deadline=Deadline.after(100, FakeClock()),
            note=lambda attempt, _: noted.append(attempt),
        )
    assert calls == [1, 2, 3]
    assert noted == [1, 2]


def test_a_retry_stops_at_its_deadline() -> None:
    """Bounded by time, too."""
    calls: list[int] = []

    def call(attempt: int) -> None:
        calls.append(attempt)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  it has no text
        retry(call, on=ValueError, attempts=99, deadline=Deadline.after(1, FakeClock()), pause=0.4)
    assert len(calls) == 4


def test_an_error_that_is_not_named_is_not_retried() -> None:
    """Only what is known to be worth another try gets one."""
    calls: list[int] = []

    def call(attempt: int) -> None:
        calls.append(attempt)
        raise KeyError

    with pytest.raises(KeyError):
        retry(call, on=ValueError, attempts=5, deadline=Deadline.after(9, FakeClock()))
    assert calls == [1]


def test_a_pause_can_be_ended_before_it_begins() -> None:
    """Whoever is told to stop while it is busy does not pause once more."""
    pause = Interruptible()
    assert not pause.pause(0)
    pause.interrupt()
    assert pause.pause(3600)
    assert pause.pause(3600)


def test_looks_get_rarer_while_nothing_is_ready_and_dense_once_it_is() -> None:
    """Each costs the engine something; none is late by more than a share of the wait."""
    clock = FakeClock()
    wait_for(
        lambda: clock.now >= 5,
        what="it",
        deadline=Deadline.after(60, clock),
        looks=3,
        interval=0.05,
    )
    assert clock.slept[0] == 0.05
    assert max(clock.slept) == LONGEST_PAUSE
    assert clock.slept[-2:] == [0.05, 0.05]
    assert len(clock.slept) < 35, "a hundred of them otherwise"


def test_a_woken_clock_sleeps_no_longer() -> None:
    """And is quick for a while after that; a wake that came before the sleep counts."""
    clock = WokenClock()
    clock.wake()
    clock.sleep(3600)
    began = clock.monotonic()
    clock.sleep(3600)
    assert clock.monotonic() - began >= QUICK_PAUSE * 0.9
    thread = threading.Timer(0.2, clock.wake)
    thread.start()
    while clock.monotonic() - began < QUICK_SECONDS:
        clock.sleep(3600)
    thread.join()
