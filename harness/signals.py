"""Ctrl-C and SIGTERM: the first stops the run and lets it clean up, the second leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from harness.errors import EXIT_ABORTED, AbortedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[None]:
    """Raise `AbortedError` where the program is when the first signal arrives in the block.

    The second one ends the process at once; what it leaves is removed by the next run.

    Args:
        say: is told what is going to happen.
    """
    seen: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if seen:
            os.write(2, b"\nleaving at once; `nox -s reap` removes what is left\n")
            os._exit(EXIT_ABORTED)
        seen.append(number)
        # The signal may have come in the middle of a write to the same stream, or the disk be full.
        with suppress(OSError, RuntimeError):
            say(f"{name}: stopping; the app is being removed (once more to leave at once)")
        raise AbortedError(f"the run was stopped by {name}")

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
