"""The conversation with a command: nothing is lost, mixed or waited for without end."""

import errno
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import DiskFullError, TestBedError
from harness.core.waiting import Deadline
from harness.exec import exec_stream
from harness.exec.exec_stream import Output, close, converse, output_into

Serve = Callable[[socket.socket], None]
LARGE = bytes(range(256)) * 8192  # 2 MiB: more than any socket buffers


def frame(number: int, data: bytes) -> bytes:
    """Return one piece of a multiplexed stream."""
    return struct.pack(">BxxxL", number, len(data)) + data


@contextmanager
def engine(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """Yield our end of a connection whose other end is served by an engine."""
    ours, theirs = socket.socketpair()

    def work() -> None:
        if tls is None:
            with theirs:
                serve(theirs)
        else:
            with tls.wrap_socket(theirs, server_side=True) as end:
                serve(end)
                end.unwrap()  # as engines do: an encrypted stream says that it ends

    thread = threading.Thread(target=work)
    thread.start()
    yield ours
    ours.close()
    thread.join(10)
    assert not thread.is_alive()


def talk(
    attached: Any,  # noqa: ANN401  as the SDK has it
    *,
    stdin: bytes | None = None,
    seconds: float = 10.0,
    output: Output | None = None,
) -> Output:
    """Have a conversation, and return what came."""
    output = output or Output()
    converse(attached, stdin=stdin, output=output, deadline=Deadline.after(seconds))
    return output


def echo(end: socket.socket) -> None:
    """Send back what comes, piece by piece, as `cat` does; and a last word after its end."""
    while chunk := end.recv(65536):
        end.sendall(frame(1, chunk))
    end.sendall(frame(2, b"seen the end"))


def test_large_input_and_large_output_go_at_once() -> None:
    """Whoever sends all of it first waits for ever for a command that writes as it reads."""
    with engine(echo) as stream:
        got = talk(stream, stdin=LARGE)
    assert got.stdout == LARGE
    assert got.stderr == b"seen the end"


def test_no_input_is_no_end_of_input() -> None:
    """The connection stays open: a command without standard input may still write."""
    with engine(lambda end: end.sendall(frame(1, b"x"))) as stream:
        assert talk(stream).stdout == b"x"


@pytest.mark.parametrize("size", [1, 3, 8, 9, 1000])
def test_frames_may_be_cut_anywhere(size: int) -> None:
    """Headers too; and an empty frame is none."""
    raw = frame(1, b"\x00\xff") + frame(2, b"warn") + frame(1, b"") + frame(1, b"end\n")

    def serve(end: socket.socket) -> None:
        for start in range(0, len(raw), size):
            end.sendall(raw[start : start + size])

    with engine(serve) as stream:
        got = talk(stream)
    assert (got.stdout, got.stderr, got.engine) == (b"\x00\xffend\n", b"warn", "")


def test_what_came_with_the_head_of_the_answer_is_not_lost() -> None:
    """A process that is slow to read gets all of it in one piece; the SDK drops what follows.

    It would look like a command that printed nothing and ended well.
    """
    head = b"HTTP/1.1 101 UPGRADED\r\n\r\n"

    def serve(end: socket.socket) -> None:
        end.sendall(head + frame(1, b"early "))
        end.recv(1)
        end.sendall(frame(1, b"late"))

    with engine(serve) as stream:
        reader = stream.makefile("rb")  # as the HTTP client reads, and as the SDK hands it out
        while reader.readline().strip():
            pass
        response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=reader)))
        raw: Any = reader.raw
        raw._response = response  # noqa: SLF001  the SDK's name for it
        assert talk(raw, stdin=b"!").stdout == b"early late"
        reader.close()


def test_a_stream_that_is_cut_in_the_middle_is_not_the_output() -> None:
    """Half of an answer is none."""
    with (
        engine(lambda end: end.sendall(frame(1, b"whole") + frame(1, b"half")[:-1])) as stream,
        pytest.raises(ConnectionError, match="in the middle"),
    ):
        talk(stream)


class OverTcp(socket.socket):
    """A stream that says that it is no Unix socket."""

    family = socket.AF_INET


def test_a_reset_may_have_cost_output() -> None:
    """Over TCP what the engine sent before may be lost; on a Unix socket it has arrived."""

    def serve(end: socket.socket) -> None:
        assert end.recv(1)  # and no more of it: to close with input unread is a reset
        end.sendall(frame(1, b"all of it"))

    with engine(serve) as stream:
        assert talk(stream, stdin=LARGE).stdout == b"all of it"
    with (
        engine(serve) as stream,
        OverTcp(fileno=stream.detach()) as other,
        pytest.raises(ConnectionResetError),
    ):
        talk(other, stdin=LARGE)


def test_a_reset_that_the_sender_sees_counts_the_same() -> None:
    """The system tells of a reset only once: here the reader would see a plain end."""

    class Reset(socket.socket):
        def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401  as the base has it
            raise ConnectionResetError(data, flags)

    class ResetOverTcp(Reset, OverTcp):
        pass

    def serve(end: socket.socket) -> None:
        end.sendall(frame(1, b"all of it"))

    with engine(serve) as stream, Reset(fileno=stream.detach()) as other:
        assert talk(other, stdin=b"in").stdout == b"all of it"
    with (
        engine(lambda _end: None) as stream,
        ResetOverTcp(fileno=stream.detach()) as other,
        pytest.raises(ConnectionResetError),
    ):
        talk(other, stdin=b"in")


def test_a_conversation_has_an_end() -> None:
    """With neither a word nor an end from the other side, and with one that never stops."""
    enough = threading.Event()

    def wait(_end: socket.socket) -> None:
        enough.wait(10)

    def chatter(end: socket.socket) -> None:
        while not enough.is_set():
            try:
                end.sendall(frame(1, b"y\n"))
            except OSError:
                return

    for serve in (wait, chatter):
        with engine(serve) as stream:
            with pytest.raises(TimeoutError):
                talk(stream, seconds=0.05)
            with pytest.raises(TimeoutError):
                talk(stream, stdin=LARGE, seconds=0.0)
            enough.set()
        enough.clear()


def test_what_the_engine_itself_says_is_no_output() -> None:
    """It has a stream of its own for that, number 3."""
    with engine(lambda end: end.sendall(frame(3, b"driver failed"))) as stream:
        got = talk(stream)
    assert (got.stdout, got.stderr, got.engine) == (b"", b"", "driver failed")
    assert got.excerpt() == "driver failed"


def anonymous(side: int) -> ssl.SSLContext:
    """Return a context that needs no certificate."""
    context = ssl.SSLContext(side)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


@contextmanager
def engine_over_tls(serve: Serve) -> Iterator[ssl.SSLSocket]:
    """Yield our end of an encrypted connection."""
    client = anonymous(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    with (
        engine(serve, anonymous(ssl.PROTOCOL_TLS_SERVER)) as stream,
        client.wrap_socket(stream) as encrypted,
    ):
        yield encrypted


def test_over_tls_the_input_ends_and_the_output_goes_on() -> None:
    """Python has no call for it: `shutdown` drops the encryption of both directions."""
    with engine_over_tls(echo) as stream:
        got = talk(stream, stdin=LARGE)
    assert got.stdout == LARGE
    assert got.stderr == b"seen the end"


def test_over_tls_output_may_be_there_when_the_input_ends() -> None:
    """To end the input must not read: the record of output in its way would break the stream."""
    waiting = threading.Event()

    def serve(end: socket.socket) -> None:
        end.sendall(frame(1, b"before"))
        waiting.set()
        assert end.recv(10) == b"in"
        assert end.recv(10) == b""
        end.sendall(frame(1, b" after"))

    with engine_over_tls(serve) as stream:
        assert waiting.wait(10)
        assert talk(stream, stdin=b"in").stdout == b"before after"


def test_a_stream_is_closed_through_the_response_that_owns_it() -> None:
    """Closing the stream alone would leave the connection open."""
    closed: list[str] = []
    response = SimpleNamespace(close=lambda: closed.append("response"))
    close(SimpleNamespace(_response=response, close=lambda: closed.append("stream")))
    close(SimpleNamespace(close=lambda: closed.append("alone")))
    assert closed == ["response", "alone"]


def test_a_file_is_there_only_when_all_went_well(tmp_path: Path) -> None:
    """Written beside, put in place at the end; what was there before stays when it goes wrong."""
    path = tmp_path / "dump"
    with output_into(path) as output:
        output.add(1, memoryview(b"first"))
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(TypeError), output_into(path) as output:
        output.add(1, None)  # type: ignore[arg-type]  # anything that goes wrong in the body
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_tries_are_never_mixed(tmp_path: Path) -> None:
    """Neither in memory nor in a file, on none of the streams."""
    for path in (None, tmp_path / "dump"):
        with output_into(path) as output:
            for number in (1, 2, 3):
                output.add(number, memoryview(b"a longer first try"))
            output.restart()
            output.add(1, memoryview(b"second"))
        kept = path.read_bytes() if path else output.stdout
        assert kept == b"second"
        assert (output.stderr, output.engine) == (b"", "")


def test_memory_stays_bounded_while_a_file_is_written(tmp_path: Path) -> None:
    """Standard output is not kept, standard error only its end; without a file all is."""
    piece = memoryview(bytes(65536))
    with output_into(tmp_path / "dump") as output:
        for _ in range(64):
            output.add(1, piece)
            output.add(2, piece)
        output.add(2, memoryview(b"the last word"))
        assert output.stdout == b""
        assert len(output.stderr) == exec_stream.STDERR_KEPT
        assert output.excerpt().endswith("the last word")
    assert (tmp_path / "dump").stat().st_size == 64 * 65536
    whole = Output()
    for _ in range(64):
        whole.add(2, piece)
    assert len(whole.stderr) == 64 * 65536


def test_an_excerpt_shows_the_end_of_each_stream(tmp_path: Path) -> None:
    """Wherever standard output went; a long one does not hide the other."""
    for path in (None, tmp_path / "dump"):
        with output_into(path) as output:
            output.add(1, memoryview(b"x" * 9000 + b"out"))
            output.add(2, memoryview(b"err"))
            shown = output.excerpt()
        assert shown.endswith("xout\nerr")
        assert len(shown) == 4004


class FullDisk:
    """A file on a disk without room."""

    def write(self, _piece: memoryview) -> int:
        """Fail as a full disk does."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    """Never the recipe's, and a full disk is called by its name."""
    with (
        pytest.raises(TestBedError, match=r"cannot be written to .*none/dump"),
        output_into(tmp_path / "none" / "dump"),
    ):
        pass
    full: Any = FullDisk()
    with pytest.raises(DiskFullError, match="No space left"):
        Output(full, tmp_path / "dump").add(1, memoryview(b"x"))


def flood(number: int) -> Callable[[socket.socket], None]:
    """Return what writes to one of the streams without end, as `yes` does."""

    def write(end: socket.socket) -> None:
        with suppress(OSError):  # the reader leaves
            while True:
                end.sendall(frame(number, b"y\n" * 4096))

    return write


@pytest.mark.parametrize("number", [1, 2])
def test_a_command_that_writes_without_end_is_left(number: int) -> None:
    """What it may write is kept, and nothing beyond; the reader does not wait for the rest."""
    output = Output(most=100_001)
    with engine(flood(number)) as stream:
        whole = converse(stream, stdin=None, output=output, deadline=Deadline.after(30))
        close(SimpleNamespace(close=stream.close))
    assert not whole
    assert len(output.stdout) + len(output.stderr) == 100_001


def test_what_a_command_may_write_is_taken_whole() -> None:
    """The limit itself is allowed; a second try has all of it again."""
    output = Output(most=10)
    output.add(1, memoryview(b"12345"))
    output.add(2, memoryview(b"12345"))
    output.restart()
    output.add(1, memoryview(b"1234567890"))
    assert output.stdout == b"1234567890"


def test_a_file_takes_any_output(tmp_path: Path) -> None:
    """Only what is kept in memory is limited."""
    with output_into(tmp_path / "dump", most=10) as output:
        output.add(1, memoryview(bytes(1000)))
        output.add(2, memoryview(b"1234567890"))
    assert (tmp_path / "dump").stat().st_size == 1000
