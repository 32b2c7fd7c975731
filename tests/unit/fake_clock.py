"""The one fake clock: time passes only while the code under test sleeps."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from harness.core.waiting import SystemClock, WokenClock


@dataclass(kw_only=True)
class FakeClock:
    """A clock that moves only when it sleeps.

    Args:
        now: the time at the start.
        on_sleep: called after each sleep: what happens meanwhile.
        slept: each sleep so far, in seconds.
    """

    now: float = 0.0
    on_sleep: Callable[[], None] = lambda: None
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.slept.append(seconds)
        self.on_sleep()


def stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Let each wait of the harness pass at once, on the clock that is returned."""
    clock = FakeClock()
    monkeypatch.setattr(SystemClock, "monotonic", lambda _self: clock.monotonic())
    for kind in (SystemClock, WokenClock):
        monkeypatch.setattr(kind, "sleep", lambda _self, seconds: clock.sleep(seconds))
    return clock
