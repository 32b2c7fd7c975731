"""The only module that sleeps. Polling a state and retrying an error are two functions, never one.

A wait is a probe, what counts as ready, what counts as lost, and a deadline on the monotonic clock.
It fails at once when the state is lost, and a time-out shows the last thing it saw.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.core.errors import HarnessError, WaitTimeoutError

LONGEST_PAUSE = 0.3  # seconds between two looks, however long the wait
PAUSE_SHARE = 0.2  # of the time waited so far: then the next look is at most so much too late
QUICK_PAUSE, QUICK_SECONDS = 0.05, 0.5  # after something has happened

T = TypeVar("T")


class Clock(Protocol):
    """What a wait needs of time; tests hand in a fake one."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


class WokenClock(SystemClock):
    """A clock whose sleep ends when something has happened, and is short for a while after that.

    What happens is seen in one place, and its consequences elsewhere a moment later.
    """

    def __init__(self) -> None:
        self._happened = threading.Event()
        self._quick_until = 0.0

    def wake(self) -> None:
        """End the sleep of another thread, or its next one."""
        self._happened.set()

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass, or fewer."""
        if self.monotonic() < self._quick_until:
            super().sleep(min(seconds, QUICK_PAUSE))
        elif self._happened.wait(seconds):
            self._happened.clear()
            self._quick_until = self.monotonic() + QUICK_SECONDS


class Stretch:
    """While inside, every time-out of this process is so many times as long: for slow hosts.

    One process tests one recipe with one factor. It is kept here, because time-outs are everywhere,
    down to the start of the engine, and one that is not told of the factor fails on a slow host. A
    test finds time-outs that are neither multiplied by a factor nor passed through `stretched`.
    """

    _factor = 1.0

    def __init__(self, factor: float) -> None:
        self._own = factor

    def __enter__(self) -> None:
        """Begin."""
        self._before, Stretch._factor = Stretch._factor, self._own

    def __exit__(self, *_: object) -> None:
        """Go back to what was so before."""
        Stretch._factor = self._before

    @classmethod
    def current(cls) -> float:
        """Return the factor."""
        return cls._factor


def stretched(seconds: float) -> float:
    """Return a time-out of what the machine itself does, as long as this host needs it.

    A factor below 1 says that an app need not be waited for so long. It does not make the engine,
    git or restic any faster: on a busy host, a tenth of their time would be an error of its own.
    """
    return seconds * max(1.0, Stretch.current())


class Interruptible:
    """A pause of one thread that another one can end, now or before it has begun."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def interrupt(self) -> None:
        """End the pause, and every later one at once."""
        self._event.set()

    def pause(self, seconds: float) -> bool:
        """Let that many seconds pass; return whether it was interrupted."""
        return self._event.wait(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock."""

    at: float
    clock: Clock = SYSTEM_CLOCK

    @classmethod
    def after(cls, seconds: float, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """Return the deadline that many seconds from now."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self.at - self.clock.monotonic())

    def passed(self) -> bool:
        """Return whether the moment is over."""
        return self.remaining() <= 0.0


def wait_for(
    probe: Callable[[], T],
    *,
    what: str,
    deadline: Deadline,
    ready: Callable[[T], bool] = bool,
    failed: Callable[[T], HarnessError | None] = lambda _: None,
    describe: Callable[[T], str] = str,
    looks: int = 1,
    interval: float = 0.05,
) -> T:
    """Look until `ready` holds for `looks` looks in a row, and return the last look.

    A look costs the engine as much as a small op. So the longer the wait, the rarer they are.

    Args:
        probe: takes one look. What it raises ends the wait: errors are not retried here.
        what: what is waited for, for the time-out's message.
        deadline: when to give up.
        ready: whether a look is what was waited for.
        failed: the error to raise at once when a look shows that it never will be, else None.
        describe: the last look in words, for the time-out's message.
        looks: how many ready looks in a row are wanted.
        interval: seconds between looks at first, and between looks that are ready.

    Raises:
        WaitTimeoutError: the deadline passed; `detail` is the last look in words.
    """
    in_a_row, began = 0, deadline.clock.monotonic()
    while True:
        look = probe()
        error = failed(look)
        if error is not None:
            raise error
        in_a_row = in_a_row + 1 if ready(look) else 0
        if in_a_row >= looks:
            return look
        if deadline.passed():
            raise WaitTimeoutError(f"timed out waiting for {what}", detail=describe(look))
        waited = 0.0 if in_a_row else deadline.clock.monotonic() - began
        pause = max(interval, min(waited * PAUSE_SHARE, LONGEST_PAUSE))
        deadline.clock.sleep(min(pause, max(deadline.remaining(), 0.001)))


def retry(
    call: Callable[[int], T],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    attempts: int,
    deadline: Deadline,
    pause: float = 0.2,
    note: Callable[[int, Exception], None] = lambda _attempt, _error: None,
) -> T:
    """Call until it does not raise one of `on`, bounded by count and by time.

    Only for calls that are safe to make twice. The last error is raised when the bound is reached.

    Args:
        call: is given the number of the attempt, from 1.
        on: the errors that are worth another try; every other one is raised at once.
        attempts: the most calls that are made.
        deadline: no further try is made after it.
        pause: seconds between two tries.
        note: is told of each error that is retried, so that every retry leaves a trace.
    """
    attempt = 1
    while True:
        try:
            return call(attempt)
        except on as error:
            if attempt >= attempts or deadline.passed():
                raise
            note(attempt, error)
        attempt += 1
        deadline.clock.sleep(pause)
