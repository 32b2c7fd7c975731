"""Ctrl-C, SIGTERM, a closed terminal, the end of a run's time: it stops, and cleans up.

The first signal stops a run and lets it clean up; the second ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from harness.core.errors import EXIT_ABORTED, AbortedError, InvalidRecipeError, RunTimeoutError
from harness.core.events import EventLine, Stopping
from harness.core.waiting import stretched

FOLLOW = "follow"  # `harness follow COMMAND`: not for people, see `follow`

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READING_SECONDS = 20.0  # of the processor, for all files of a recipe; a usual one takes one
SHOW_CURSOR = b"\x1b[?25h"  # a live table hides it


@dataclass(kw_only=True)
class Stopper:
    """What has been asked of this run by signals.

    Args:
        say: is told what is going to happen.
        doing: what a stopped run does before it ends.
        pass_on: is given the number of each signal that counts.
    """

    say: Callable[[str], None]
    doing: str = "the app is being removed"
    pass_on: Callable[[int], None] = lambda _number: None
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
                f"the run exceeded its time limit of {self._allowed:g} s",
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
            raise _stopped(self._seen[0])

    @property
    def stopped_by(self) -> str:
        """The name of the first signal, or empty while none has come."""
        return self._seen[0] if self._seen else ""

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: the first stops the run, the second ends the process.

        A closed terminal, or the death of whoever started this run, is nobody's wish to leave at
        once: it is never the second.
        """
        name = signal.Signals(number).name
        if self._seen and number == signal.SIGHUP:
            return
        self.pass_on(number)
        if self._seen:
            if os.isatty(2):
                os.write(2, SHOW_CURSOR)
            os.write(2, b"\nleaving at once; `nox -s reap` removes what is left\n")
            os._exit(EXIT_ABORTED)
        self._seen.append(name)
        # It may have come in the middle of a write to the same stream, or the disk be full.
        with suppress(OSError, RuntimeError):
            self.say(EventLine(Stopping(signal=name, doing=self.doing)))
        if not self._held:
            raise _stopped(name)


def _stopped(name: str) -> AbortedError:
    hung_up = name == signal.SIGHUP.name
    cause = "its terminal was closed, or the reader of its output left" if hung_up else ""
    return AbortedError(f"the run was stopped by {name}", cause=cause)


@contextmanager
def stop_on_signals(
    say: Callable[[str], None], *, stopper: Stopper | None = None
) -> Iterator[Stopper]:
    """Raise `AbortedError` where the program is when the first signal arrives in the block.

    The second one ends the process at once; what it leaves is removed by the next run. `stopper`
    handles the signals, if it is given.
    """
    stopper = stopper or Stopper(say=say)
    before = {number: signal.signal(number, stopper.on_signal) for number in SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, stopper.on_alarm)
    try:
        yield stopper
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reading() -> Iterator[None]:
    """Let the block, which reads a recipe's files, take so much of the processor and no more.

    Sizes and counts have limits of their own; this one is for what is small and slow all the same.
    Time in which others have the processor does not count, so no slow machine blames a recipe.

    Raises:
        InvalidRecipeError: it took more, wherever it is at.
    """
    seconds = stretched(READING_SECONDS)

    def over(_number: int, _frame: FrameType | None) -> None:
        raise InvalidRecipeError(
            f"reading the recipe took more than {seconds:g} s of the processor, the limit of it",
            cause="its files are made so that they are slow to read, such as by nesting",
            hint="write them more plainly; --timeout-factor multiplies every time-out",
        )

    before = signal.signal(signal.SIGPROF, over)
    # Again and again: a reader may take one error for what is wrong with a single file.
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def follow(stream: int) -> None:
    """Stop this process as a closed terminal would when the other end of a stream is gone.

    A fleet starts its runs so and holds the other end, to which it never writes. The kernel closes
    that end however the fleet dies; the run then cleans up, so that nothing runs on unseen.

    Args:
        stream: the descriptor of the stream's reading end.
    """
    main = threading.main_thread().ident
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # of `nohup`, which our parent was told
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def wait() -> None:
        while os.read(stream, 1024):
            pass
        if main is not None:
            signal.pthread_kill(main, signal.SIGHUP)

    threading.Thread(target=wait, daemon=True).start()
