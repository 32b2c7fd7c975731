"""The only module that imports subprocess: argv lists, a time-out for each, whole groups killed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import PrintedTooMuchError, ProcessError, ProcessNotStartedError
from harness.core.pipes import Pipes, TooMuchError
from harness.core.with_parent import with_parent

MASK = "****"
TERMINAL_SIZE = (200, 400)  # rows and columns: so wide that no table is folded
# Before the last @ of a URL's host; a password may hold another one. One that holds a slash makes
# the URL a wrong one, which a message repeats: all after `NAME:` is masked, unless it is a port.
LOGIN = re.compile(
    r"((?!(?:git\+)?ssh://[^/\s:@]*@)\b[a-z][a-z0-9+.-]*://)(?:[^/\s:@]*:(?!\d*/)\S*|[^/\s]*)@",
    re.IGNORECASE,
)
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
MOST_PRINTED = 16 << 20  # bytes that a program may print
MOST_ON_TERMINAL = 4_000_000  # bytes kept; a program that prints without end is stopped by the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that ended: its argv, exit code and both streams, decoded leniently.

    `raw` is standard output as it came: not decoded, and with no secret masked in it.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    raw: bytes = field(default=b"", repr=False)


def scrub(text: str, secrets: Sequence[str]) -> str:
    """Return the text with every secret of four characters or more replaced by a mask."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:  # noqa: PLR2004  a shorter one would mask half of any text
            text = text.replace(secret, MASK)
    return text


def without_passwords(text: str) -> str:
    """Return the text with the user and password of every URL in it replaced by a mask.

    Over ssh a user alone is only a name, and stays.
    """
    return LOGIN.sub(lambda url: f"{url[1]}{MASK}@", text)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    secrets: Sequence[str] = (),
    dies_too: bool = False,
    binary: bool = False,
    most: int = MOST_PRINTED,
) -> Completed:
    """Run a program to its end and return what it said.

    Args:
        argv: the program and its arguments; never a shell string.
        timeout: seconds after which its whole process group is killed.
        cwd: the directory to run in.
        env: the whole environment; None hands down this process's own.
        stdin: bytes for its standard input; None means /dev/null.
        check: raise when the exit code is not 0.
        secrets: values that are masked in messages and in both returned streams.
        dies_too: let the kernel kill it when this process is killed.
        binary: leave standard output as it came: only `raw` has it.
        most: bytes that it may print, of both streams, before it is killed.

    Raises:
        ProcessNotStartedError: it could not be started.
        PrintedTooMuchError: it printed more than it may.
        ProcessError: it ran out of time, or (with `check`) failed.
    """
    shown = scrub(" ".join(argv), secrets)
    path = (os.environ if env is None else env).get("PATH")
    if dies_too and shutil.which(argv[0], path=path) is None:
        raise ProcessNotStartedError(
            f"`{shown}` could not be started: there is no {argv[0]}", code=None
        )
    try:
        process = subprocess.Popen(  # noqa: S603  argv list, no shell
            with_parent(argv) if dies_too else list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessNotStartedError(
            f"`{shown}` could not be started: {error.strerror}", code=None
        ) from error
    try:
        out, err = _communicate(process, shown, stdin or b"", timeout=timeout, most=most)
    except ProcessError as error:
        error.stderr, error.detail = (scrub(said, secrets) for said in (error.stderr, error.detail))
        raise
    done = Completed(
        argv=tuple(argv),
        code=process.returncode,
        stdout="" if binary else scrub(out.decode(errors="replace"), secrets),
        stderr=scrub(err.decode(errors="replace"), secrets),
        raw=out,
    )
    if check and done.code != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise ProcessError(f"`{shown}` failed with code {done.code}", code=done.code, stderr=said)
    return done


def _communicate(
    process: subprocess.Popen[bytes], shown: str, stdin: bytes, *, timeout: float, most: int
) -> tuple[bytes, bytes]:
    """Return both streams of a program that has ended; one that may not go on is killed."""
    assert process.stdout is not None  # noqa: S101  both are pipes
    assert process.stderr is not None  # noqa: S101  the same
    pipes = Pipes((process.stdout, process.stderr), process.stdin, most)
    until = time.monotonic() + timeout
    try:
        pipes.exchange(stdin, until=until)
        process.wait(timeout=max(until - time.monotonic(), 0.0))
    except BaseException as error:
        _kill_group(process)
        process.wait()
        said = pipes.err.decode(errors="replace")
        if isinstance(error, TooMuchError):
            what = f"`{shown}` printed more than {most} bytes and was killed"
            raise PrintedTooMuchError(what, code=None, stderr=said) from error
        if isinstance(error, (TimeoutError, subprocess.TimeoutExpired)):
            what = f"`{shown}` was still running after {timeout:g} s and was killed"
            raise ProcessError(what, code=None, stderr=said) from error
        raise
    finally:
        pipes.close()
    return bytes(pipes.out), bytes(pipes.err)


def run_on_terminal(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
) -> Completed:
    """Run a program on a pseudo-terminal of its own, for those that refuse to run without one.

    Nobody types there: a program that asks a question runs until its time is over. Both streams
    are one, `stdout`, without what steers a terminal.

    Args:
        argv: the program and its arguments; never a shell string.
        timeout: seconds after which its whole process group is killed.
        cwd: the directory to run in.
        env: the whole environment; None hands down this process's own.
        secrets: values that are masked in messages and in what it said.

    Raises:
        ProcessNotStartedError: it could not be started.
        ProcessError: it ran out of time; `stderr` is what it said.
    """
    shown = scrub(" ".join(argv), secrets)
    ours, its = pty.openpty()
    try:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *TERMINAL_SIZE, 0, 0))
        process = subprocess.Popen(  # noqa: S603  argv list, no shell
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
    except OSError as error:
        os.close(ours)
        raise ProcessNotStartedError(
            f"`{shown}` could not be started: {error.strerror}", code=None
        ) from error
    finally:
        os.close(its)
    try:
        raw, ended = _read_terminal(process, ours, time.monotonic() + timeout)
    finally:
        _kill_group(process)  # what it left behind, too: it would keep the terminal open
        process.wait()
        os.close(ours)
    said = scrub(_without_escapes(raw), secrets)
    if not ended:
        raise ProcessError(
            f"`{shown}` was still running after {timeout:g} s and was killed",
            code=None,
            stderr=said,
        )
    return Completed(argv=tuple(argv), code=process.returncode, stdout=said, stderr="", raw=raw)


def _read_terminal(
    process: subprocess.Popen[bytes], terminal: int, until: float
) -> tuple[bytes, bool]:
    """Return what a program says on its terminal, and whether it ended in time."""
    said = bytearray()
    while (left := until - time.monotonic()) > 0:
        ended = process.poll() is not None
        # A child of it may hold the terminal open for ever, so its own end counts, too.
        ready, _, _ = select.select([terminal], [], [], 0 if ended else min(left, 0.05))
        if not ready and ended:
            return bytes(said), True
        if ready:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # EIO: the last one who had it open has closed it
                piece = b""
            said += piece[: MOST_ON_TERMINAL - len(said)]
            if not piece:
                return bytes(said), _ends(process, until)
    return bytes(said), False


def _ends(process: subprocess.Popen[bytes], until: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(until - time.monotonic(), 0.01))
    return process.poll() is not None


def _without_escapes(raw: bytes) -> str:
    text = ESCAPES.sub("", raw.decode(errors="replace"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The program may have ended between the time-out and this line: then there is no group left.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def start_daemon(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a program that outlives this one, in a session of its own, and return its pid.

    Both its streams are appended to `log`; it gets no terminal, so Ctrl-C does not reach it.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(  # noqa: S603  argv list, no shell
            list(argv),
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It is meant to be left running; without this, the interpreter warns that it still runs.
    process.returncode = 0
    return process.pid


class Worker:
    """A child that is watched, and that may be asked: a line in, a line out.

    Args:
        argv: the command line.
        log: where its output goes; of one that answers, only its standard error.
        env: its whole environment.
        answers: whether it answers each line on its standard input with one on its output.
    """

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str], answers: bool = False
    ) -> None:
        with log.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603  argv list, no shell
                list(argv),
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if answers else stream,
                stderr=stream,
                start_new_session=True,
            )

    def ask(self, line: bytes, *, timeout: float) -> bytes:
        """Hand the worker a line, and return the line that it answers with.

        The worker has ended, and its group with it, if this raises or returns no whole line.

        Raises:
            ProcessError: there was no answer after `timeout` seconds.
            ValueError: it was started as one that does not answer.
        """
        stdin, stdout, until = self._process.stdin, self._process.stdout, time.monotonic() + timeout
        if stdin is None or stdout is None:
            raise ValueError("this worker was started as one that does not answer")
        answer = b""
        with suppress(BrokenPipeError):
            stdin.write(line + b"\n")
            stdin.flush()
        while not answer.endswith(b"\n"):
            if not select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                self.close()
                raise ProcessError(f"there was no answer after {timeout:g} s", code=None)
            read = os.read(stdout.fileno(), 4096)
            if not read:
                self._process.wait()
                self.close()
                return b""
            answer += read
        return answer

    def poll(self) -> int | None:
        """Return the worker's exit code, or the negative number of the signal that ended it.

        None means that it still runs.
        """
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send the worker a signal; one that has ended is left alone."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End the worker, and what it started, if it still runs; calling it twice is fine."""
        if self._process.poll() is None:
            _kill_group(self._process)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
