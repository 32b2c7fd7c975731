"""The conversation with a command in a container: its input goes in while its output comes out.

The stream is read by ourselves. Neither the SDK nor the command line has a time-out for an exec;
the SDK drops what the engine sent together with the head of its answer, so that on a busy host a
good command seems to have printed nothing; and input is lost with it over TLS.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from harness.core.errors import DiskFullError, TestBedError
from harness.core.waiting import Deadline

STDOUT, STDERR = 1, 2
HEADER = struct.Struct(">BxxxL")
PIECE = 65536  # bytes that are moved at once
STDERR_KEPT = 1 << 20  # bytes, of a command whose standard output goes to a file
EXCERPT = 4000  # bytes of each stream that an error shows
MOST_OUTPUT = 16 << 20  # bytes that a command may write, of both streams


class _TooMuchError(Exception):
    """A command has written more than it may."""


class Output:
    """What a command has written so far.

    Args:
        file: where its standard output goes; None means memory. Then standard error is kept whole,
            else only the last mebibyte of it.
        path: what that file is to become, for messages.
        most: bytes that it may write, beside what goes to a file.
    """

    def __init__(
        self, file: IO[bytes] | None = None, path: Path | None = None, *, most: int = MOST_OUTPUT
    ) -> None:
        self._file: IO[bytes] = io.BytesIO() if file is None else file
        self._path = path
        self._most = self._left = most
        self._stderr = bytearray()
        self._engine = bytearray()

    def restart(self) -> None:
        """Forget what an earlier try has written: two runs' output must never be mixed."""
        with writing(self._path):
            self._file.seek(0)
            self._file.truncate()
        self._stderr.clear()
        self._engine.clear()
        self._left = self._most

    def add(self, number: int, piece: memoryview) -> None:
        """Take a piece of the stream of that number (Engine API, "Stream format").

        Raises:
            _TooMuchError: there is more of it than there may be; what may be was taken.
        """
        size, counts = len(piece), number != STDOUT or self._path is None
        if counts:
            piece = piece[: self._left]
            self._left -= len(piece)
        if number == STDOUT:
            with writing(self._path):
                self._file.write(piece)
        elif number == STDERR:
            self._stderr += piece
            if self._path is not None:
                del self._stderr[:-STDERR_KEPT]
        else:
            self._engine += piece
        if len(piece) < size:
            raise _TooMuchError

    @property
    def stdout(self) -> bytes:
        """Standard output; empty when it goes to a file."""
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else b""

    @property
    def stderr(self) -> bytes:
        """Standard error."""
        return bytes(self._stderr)

    @property
    def engine(self) -> str:
        """What the engine itself said: it has a stream of its own for that."""
        return self._engine.decode(errors="replace")

    def excerpt(self) -> str:
        """Return the end of each stream as text, for an error's detail."""
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(max(0, end - EXCERPT))
        parts = (self._file.read(), bytes(self._stderr[-EXCERPT:]), bytes(self._engine[-EXCERPT:]))
        return b"\n".join(part for part in parts if part).decode(errors="replace")


@contextmanager
def output_into(path: Path | None, *, most: int = MOST_OUTPUT) -> Iterator[Output]:
    """Yield where a command's output goes: to memory, or its standard output to that file.

    Beside that file, it may be `most` bytes.

    It is written beside the file and takes its place only when the body ends well, so the file is
    never half of an output, nor that of a command which failed.

    Raises:
        DiskFullError: there is no room for it.
        TestBedError: it cannot be written there.
    """
    if path is None:
        yield Output(most=most)
        return
    with writing(path):
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  closed below, before it is moved
            dir=path.parent, prefix=f".{path.name}.", delete=False
        )
    part = Path(file.name)
    try:
        yield Output(file.file, path, most=most)
        with writing(path):
            file.close()
            part.replace(path)
    finally:
        with suppress(OSError):  # what cannot be flushed any more is thrown away here anyhow
            file.close()
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path | None) -> Iterator[None]:
    """Turn what goes wrong while that file is written into an error of the test bed."""
    try:
        yield
    except OSError as error:
        what = f"the command's output cannot be written to {path}: {error}"
        if error.errno == errno.ENOSPC:
            raise DiskFullError(what, hint="make room, or choose another place") from error
        raise TestBedError(what, hint="stdout_to is a file in a directory that exists") from error


def converse(
    attached: Any,  # noqa: ANN401  the SDK returns one of several types
    *,
    stdin: bytes | None,
    output: Output,
    deadline: Deadline,
) -> bool:
    """Send the input and take in both streams, at the same time, until the command's end.

    Args:
        attached: what the SDK's `exec_start(socket=True)` returned.
        stdin: the bytes to send; None means that the command has no standard input.
        output: where the streams go.
        deadline: when to give up.

    Returns:
        Whether the output was taken in to its end: a command may write more than it may.

    Raises:
        TimeoutError: the deadline passed first.
        OSError: the engine cut the stream, so that what came may not be all.
        EngineError: the engine is reached in a way that cannot carry this.
    """
    stream: socket.socket = getattr(attached, "_sock", attached)  # over TLS it is one already
    stream.setblocking(False)
    frames, outgoing = _Frames(output), _Input(stream, stdin)
    try:
        frames.feed(_early_bytes(attached))
        while True:
            if deadline.passed():
                raise TimeoutError
            progress, wanted = outgoing.push()
            chunk, readable = _receive(stream)
            if chunk:
                frames.feed(chunk)
            elif chunk is not None:
                break
            elif not progress:
                _wait(stream, wanted | readable, deadline)
    except _TooMuchError:
        return False
    if not frames.whole:
        raise ConnectionError("the engine cut the command's output in the middle")
    return True


def close(attached: Any) -> None:  # noqa: ANN401  as above
    """Close the stream: through the response below it, which owns the connection, where it has one.

    The SDK keeps that response open for the stream's sake; closing the stream alone would leave it.
    """
    getattr(attached, "_response", attached).close()


def _early_bytes(attached: Any) -> bytes:  # noqa: ANN401  as above
    """Return what was read together with the head of the engine's answer.

    The HTTP client reads through a buffer, and the SDK hands out the socket below it. What lies in
    that buffer is the beginning of the stream: all of it when this process was slow to read.
    """
    response = getattr(attached, "_response", None)
    if response is None:
        return b""
    try:
        early: bytes | None = response.raw._fp.fp.read1(PIECE)  # noqa: SLF001  there is no other way
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    return early or b""


def _receive(stream: socket.socket) -> tuple[bytes | None, int]:
    """Return the next bytes (none at the end; None when there are none yet, and what to wait for).

    Raises:
        ConnectionResetError: the engine cut the stream, and what it had sent may be lost.
    """
    try:
        return stream.recv(PIECE), 0
    except ssl.SSLWantWriteError:
        return None, select.POLLOUT
    except (BlockingIOError, ssl.SSLWantReadError):
        return None, select.POLLIN
    except ssl.SSLZeroReturnError:  # how the end looks once our own half has ended
        return b"", 0
    except ConnectionResetError:
        if _may_lose(stream):
            raise
        return b"", 0


def _may_lose(stream: socket.socket) -> bool:
    """Whether a reset may have cost bytes that the other side had sent before it.

    An engine resets the connection when it closes it with input of ours unread. On a Unix socket
    whatever it had sent arrives all the same, and before that; elsewhere it may not.
    """
    return stream.family != socket.AF_UNIX


def _wait(stream: socket.socket, events: int, deadline: Deadline) -> None:
    poller = select.poll()
    poller.register(stream, events)
    poller.poll(max(1.0, deadline.remaining() * 1000))


class _Frames:
    """Takes the multiplexed stream apart, in pieces however it is cut.

    A frame is a header of 8 bytes (stream number, length), then that many bytes. Source: Engine
    API, ContainerAttach, "Stream format".
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._head = bytearray()
        self._number = 0
        self._left = 0

    @property
    def whole(self) -> bool:
        """Whether the last frame is complete."""
        return not self._head and not self._left

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(chunk)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._output.add(self._number, piece)
                self._left -= len(piece)
                continue
            missing = HEADER.size - len(self._head)
            self._head += view[:missing]
            view = view[missing:]
            if len(self._head) == HEADER.size:
                self._number, self._left = HEADER.unpack(self._head)
                self._head.clear()


class _Input:
    """A command's standard input: as much at a time as the engine takes, and then its end."""

    def __init__(self, stream: socket.socket, data: bytes | None) -> None:
        self._stream = stream
        self._left = memoryview(data or b"")
        self._done = data is None
        self._notified = False

    def push(self) -> tuple[bool, int]:
        """Send what can be sent now; return whether anything was, and what else to wait for.

        A command may end without having read all of its input. That is no failure: what it wrote
        and its code say how it went.

        Raises:
            ConnectionResetError: the engine cut the stream, and what it had sent may be lost.
        """
        if self._done:
            return False, 0
        try:
            self._step()
        except ssl.SSLWantReadError:
            return False, select.POLLIN
        except (BlockingIOError, ssl.SSLWantWriteError):
            return False, select.POLLOUT
        except BrokenPipeError:
            self._done = True
        except ConnectionResetError:
            if _may_lose(self._stream):
                raise
            self._done = True
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self._done = True
        return True, 0

    def _step(self) -> None:
        if self._left and self._notified:
            self._left = self._left[os.write(self._stream.fileno(), self._left) :]
        elif self._left:
            self._left = self._left[self._stream.send(self._left[:PIECE]) :]
        elif isinstance(self._stream, ssl.SSLSocket) and not self._notified:
            self._left, self._notified = memoryview(_close_notify(self._stream)), True
        else:
            self._done = True
            if not self._notified:
                self._stream.shutdown(socket.SHUT_WR)


def _close_notify(stream: ssl.SSLSocket) -> bytes:
    """Return the encrypted record that ends our half of a TLS connection; reading goes on.

    Python has no call for that half alone: `shutdown` drops the encryption of both, and `unwrap`
    sends the record and at once reads the other side's, which breaks the connection if output of
    the command is there instead. So for the time of that call the descriptor leads to a pair of
    sockets in which there is nothing to read, and the record is taken out at its other end.
    """
    here, there = socket.socketpair()
    saved = os.dup(stream.fileno())
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        try:
            os.dup2(here.fileno(), stream.fileno())
            with suppress(ssl.SSLWantReadError):
                stream.unwrap()
        finally:
            os.dup2(saved, stream.fileno())
            os.close(saved)
        return there.recv(PIECE)
