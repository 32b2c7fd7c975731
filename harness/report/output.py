"""What the commands print: losing it never changes an exit code, which is a verdict.

Without this, a reader that leaves (`| head -3`), a full disk behind a redirection or a closed
descriptor would end a command with code 1, which means that a recipe is wrong.
"""

from __future__ import annotations

import codecs
import locale
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO, cast

from harness.core.errors import EXIT_ABORTED, EXIT_ERROR, HarnessError
from harness.core.proc import without_passwords
from harness.core.untrusted import visible

OPTIMIZE, UTF8 = "PYTHONOPTIMIZE", "PYTHONUTF8"


class Output:
    """A text stream whose writes cannot fail; once one has, the rest goes nowhere.

    If the reader is gone, a run that handles signals is told as if its terminal had been closed: it
    stops and cleans up. Any other failure is told once, on the other stream.

    Args:
        stream: the stream.
        name: what it is called in that message.
        other: where the message goes.
    """

    def __init__(self, stream: TextIO, *, name: str = "", other: TextIO | None = None) -> None:
        self._stream = stream
        self._name = name
        self._other = other
        self._lost = False
        self._left = False  # whether its reader has left, and no run was told yet

    def write(self, text: str) -> int:
        """Write a text."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what was kept back."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  any attribute of the stream
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], object]) -> None:
        if not self._lost:
            try:
                act()
            except OSError as error:
                self._divert()
                self._lost, self._left = True, isinstance(error, BrokenPipeError)
                self._tell(error)
        # The reader may leave before a run handles signals; it is told once.
        if self._left and callable(signal.getsignal(signal.SIGHUP)):
            self._left = False
            signal.raise_signal(signal.SIGHUP)

    def _tell(self, error: OSError) -> None:
        if self._other is not None and not self._left:
            reason = error.strerror or str(error)
            self._other.write(f"cc-ci: cannot write to {self._name}: {reason}; going on\n")

    def _divert(self) -> None:
        """Let everything from now on, and what is still in the stream's buffer, go nowhere."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        with suppress(OSError, ValueError):
            self._stream.flush()


def complain(error: HarnessError) -> int:
    """Write why a command cannot go on, logins masked, and return its exit code."""
    sys.stderr.write(without_passwords(f"cc-ci: {error}\n"))
    return error.exit_code


def program(main: Callable[[], int]) -> NoReturn:
    """Run a command's main function and leave with its exit code, whatever becomes of its output.

    Python is started again if it leaves assertions out (`python -O`), since seed hooks are run in
    the harness's own process, and if it writes files in another encoding than UTF-8. A character
    that a stream cannot show is written as its number.
    """
    if sys.flags.optimize or not _writes_utf8():
        _start_again()
    os.environ.pop(OPTIMIZE, None)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stderr = Output(sys.stderr, name="the standard error")
    sys.stderr = cast("TextIO", stderr)
    sys.stdout = cast("TextIO", Output(sys.stdout, name="the standard output", other=sys.stderr))
    try:
        code = main()
    except KeyboardInterrupt:
        code = EXIT_ABORTED
    except Exception:  # noqa: BLE001  Python's own code for it, 1, would be a verdict
        sys.stderr.write(visible(without_passwords(traceback.format_exc())))
        code = EXIT_ERROR
    sys.stdout.flush()
    sys.exit(code)


def _writes_utf8() -> bool:
    encoding = codecs.lookup(locale.getpreferredencoding(do_setlocale=False)).name
    return bool(sys.flags.utf8_mode) or encoding == "utf-8"


def _start_again() -> NoReturn:
    spec = sys.modules["__main__"].__spec__  # there is none for the script `cc-ci`
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    environ = {name: value for name, value in os.environ.items() if name != OPTIMIZE}
    environ[UTF8] = "1"
    os.execve(sys.executable, [sys.executable, *program, *sys.argv[1:]], environ)  # noqa: S606  the same program


def _open_standard_streams() -> None:
    """Give closed descriptors a place, so that no file of a run is taken for one of them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  kept
