"""Ctrl-C, SIGTERM, a closed terminal, the end of a run's time: it stops, and cleans up.

The first signal stops a run and lets it clean up; the second ends the process at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from harness.errors import EXIT_ABORTED, AbortedError, RunTimeoutError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(kw_only=True)
class Stopper:
    """What has been asked of this run by signals.

    Args:
        say: is told what is going to happen.
    """

    say: Callable[[str], None]
    _seen: list[str] = field(default_factory=list)
    _held: bool = False
    _allowed: float = 0.0

    def hold(self) -> None:
        """From now on, the first signal is only remembered: the clean-up must come to its end."""
        self._held = True
        signal.setitimer(signal.ITIMER_REAL, 0)

    def allow(self, seconds: float) -> None:
        """Let what follows take that many seconds, until the clean-up begins; 0 means no limit."""
        self._allowed = seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        """Stop the run, whatever it is at: its time is over."""
        if not self._held and not self._seen:
            raise RunTimeoutError(
                f"the run was not over after {self._allowed:g} s",
                cause="the recipe is too slow for this machine, or something in it hangs",
                hint="--run-timeout SECONDS allows more, and --timeout-factor multiplies every "
                "time-out; the last line of the run's log says what it was at",
            )

    def release(self) -> None:
        """Raise what was held back.

        Raises:
            AbortedError: a signal had come.
        """
        self._held = False
        if self._seen:
            raise AbortedError(f"the run was stopped by {self._seen[0]}")

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: the first stops the run, the second ends the process."""
        name = signal.Signals(number).name
        if self._seen:
            os.write(2, b"\nleaving at once; `nox -s reap` removes what is left\n")
            os._exit(EXIT_ABORTED)
        self._seen.append(name)
        # It may have come in the middle of a write to the same stream, or the disk be full.
        with suppress(OSError, RuntimeError):
            self.say(f"{name}: stopping; the app is being removed (once more to leave at once)")
        if not self._held:
            raise AbortedError(f"the run was stopped by {name}")


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[Stopper]:
    """Raise `AbortedError` where the program is when the first signal arrives in the block.

    The second one ends the process at once; what it leaves is removed by the next run.
    """
    stopper = Stopper(say=say)
    before = {number: signal.signal(number, stopper.on_signal) for number in SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, stopper.on_alarm)
    try:
        yield stopper
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
