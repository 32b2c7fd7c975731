"""Running a command in an app's container, strictly.

A failed command raises; a runtime's message is never handed back as the command's output. Four
things are told apart: the container is being replaced (wait for the new one, try again within
bounds), the command could not be started, it failed, the time ran out. The exit code alone decides
nothing, since a real command may end with 126, 127 or 137 too: an exec that was never started has
no process id, and a container that was replaced is not the running one that we began with.
See docs/decisions/0004-exec.md.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import APIError, NotFound
from requests.exceptions import RequestException

from harness.docker.snapshot import ContainerState, read_container
from harness.errors import (
    ContainerUnavailableError,
    EngineError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
    WaitTimeoutError,
)
from harness.waiting import Deadline, retry, wait_for

SUSPICIOUS_CODES = (126, 127, 137, 143)  # what an exec in a dying container can end with, too
DEATH_SECONDS = 0.5  # within which an engine says that a container has ended after its exec did
STDERR = 2
HEADER = struct.Struct(">BxxxL")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """A command that ran to its end: raw streams, exit code, the container, how many tries."""

    argv: tuple[str, ...]
    stdout: bytes
    stderr: bytes
    code: int
    container: str
    attempts: int = 1

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode(errors="replace")


class _ReplacedError(Exception):
    """The container went away while, or before, the command ran in it."""

    def __init__(self, reason: str, *, began: bool) -> None:
        super().__init__(reason)
        self.began = began


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecTarget:
    """Where commands are run: how the container that serves right now is found.

    Args:
        client: a client of the engine that has the container.
        name: what the container is of, for messages: a service's name.
        resolve: returns the id of the container that serves now, or None when there is none.
        patience: seconds to wait for a container to come up, each time one is needed.
        note: is told of every try that has to be made again.
    """

    client: docker.DockerClient
    name: str
    resolve: Callable[[], str | None]
    patience: float = 60.0
    note: Callable[[str], None] = field(default=lambda _: None)

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        check: bool = True,
        stdin: bytes | None = None,
        user: str = "",
        repeatable: bool = False,
        attempts: int = 5,
    ) -> ExecResult:
        """Run a command in the container that serves now.

        Args:
            argv: the command and its arguments.
            timeout: seconds for the command itself, each time it is started.
            check: raise when it ends with a code other than 0.
            stdin: bytes for its standard input; None means none.
            user: the user to run it as; empty means the container's own.
            repeatable: whether it may be started a second time when the container it ran in was
                replaced meanwhile. A command that never began is always tried again.
            attempts: the most tries.

        Raises:
            ContainerUnavailableError: no container came up, or it was replaced under the command.
            ExecNotStartedError: the runtime could not start it.
            ExecFailedError: it ended with a code other than 0.
            ExecTimeoutError: it did not end in time.
            EngineError: the engine did not answer.
        """
        deadline = Deadline.after(self.patience + timeout * attempts)

        def once(attempt: int) -> ExecResult:
            container = self.current()
            return _exec_once(
                self, container, tuple(argv), timeout=timeout, stdin=stdin, user=user, tries=attempt
            )

        def again(attempt: int, error: Exception) -> None:
            if not repeatable and isinstance(error, _ReplacedError) and error.began:
                raise error
            self.note(f"exec in {self.name}, try {attempt}: {error}")

        try:
            result = retry(
                once, on=_ReplacedError, attempts=attempts, deadline=deadline, note=again
            )
        except _ReplacedError as error:
            raise self._unavailable(argv, str(error)) from error
        except RequestException as error:
            raise EngineError(
                f"the engine did not answer an exec in {self.name}: {error}"
            ) from error
        if check and result.code != 0:
            raise self._failed(result)
        return result

    def current(self) -> ContainerState:
        """Return the container that serves now, waiting for one that is coming up.

        Raises:
            ContainerUnavailableError: none came up in time.
        """

        def look() -> ContainerState | None:
            identity = self.resolve()
            return read_container(self.client, identity) if identity else None

        try:
            found = wait_for(
                look,
                what=f"a usable container of {self.name}",
                deadline=Deadline.after(self.patience),
                ready=lambda state: state is not None and state.usable,
            )
        except WaitTimeoutError as error:
            raise ContainerUnavailableError(
                f"no usable container of {self.name} came up within {self.patience:g} s",
                cause="the service crashes, is being replaced, or its health check fails",
                detail=error.detail,
            ) from error
        assert found is not None  # noqa: S101  `ready` says so; the type checker cannot see it
        return found

    def _unavailable(self, argv: Sequence[str], reason: str) -> ContainerUnavailableError:
        return ContainerUnavailableError(
            f"the container of {self.name} was replaced while `{_shown(argv)}` ran in it",
            cause=f"{reason}; it was not run again, because it may not be safe to run twice",
        )

    def _failed(self, result: ExecResult) -> ExecFailedError:
        streams = b"\n".join(part for part in (result.stdout, result.stderr) if part)
        return ExecFailedError(
            f"`{_shown(result.argv)}` in {self.name} ended with code {result.code}",
            detail=streams[-4000:].decode(errors="replace"),
        )


def _shown(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 200 else text[:200] + " ..."  # noqa: PLR2004  a line's worth


def _exec_once(
    target: ExecTarget,
    container: ContainerState,
    argv: tuple[str, ...],
    *,
    timeout: float,
    stdin: bytes | None,
    user: str,
    tries: int,
) -> ExecResult:
    api = target.client.api
    try:
        created = api.exec_create(container.id, list(argv), stdin=stdin is not None, user=user)
        attached = api.exec_start(created["Id"], socket=True)
    except APIError as error:
        if _is_same(target.client, container):
            raise ExecNotStartedError(
                f"`{_shown(argv)}` could not be started in {target.name}", detail=str(error)
            ) from error
        raise _ReplacedError(str(error), began=False) from error
    try:
        stdout, stderr = _converse(_raw_socket(attached), stdin, Deadline.after(timeout))
    except TimeoutError as error:
        raise ExecTimeoutError(
            f"`{_shown(argv)}` in {target.name} did not end within {timeout:g} s",
            cause="it waits for something, or the host is slow: CCCI_TIMEOUT_FACTOR=2 allows more",
        ) from error
    finally:
        _close(attached)
    code, began = _outcome(target.client, created["Id"])
    if (code is None or code in SUSPICIOUS_CODES) and not _stays(target.client, container):
        raise _ReplacedError(f"it ended with code {code}", began=began)
    if not began or code is None:
        raise ExecNotStartedError(
            f"`{_shown(argv)}` could not be started in {target.name}",
            cause="there is no such program in the image, or it is not executable",
            detail=(stdout + stderr).decode(errors="replace"),
        )
    return ExecResult(
        argv=argv, stdout=stdout, stderr=stderr, code=code, container=container.id, attempts=tries
    )


def _outcome(client: docker.DockerClient, exec_id: str) -> tuple[int | None, bool]:
    """Return the exit code (None when it cannot be known any more) and whether it ever began."""
    try:
        inspected = client.api.exec_inspect(exec_id)
    except NotFound:
        return None, True
    return inspected["ExitCode"], bool(inspected["Pid"])


def _is_same(client: docker.DockerClient, before: ContainerState) -> bool:
    """Whether the container is still there, running, and was not restarted meanwhile."""
    after = read_container(client, before.id)
    return after is not None and after.running and after.started_at == before.started_at


def _stays(client: docker.DockerClient, before: ContainerState) -> bool:
    """Whether the container is still the same after a moment.

    The exec of a killed container ends a little before the engine says that the container did.
    """
    try:
        wait_for(
            lambda: _is_same(client, before),
            what="the container's end",
            deadline=Deadline.after(DEATH_SECONDS),
            ready=lambda same: not same,
        )
    except WaitTimeoutError:
        return True
    return False


def _close(attached: Any) -> None:  # noqa: ANN401  as below
    """Close the stream: through the response below it, which owns the connection, where it has one.

    The SDK keeps that response open for the stream's sake; closing the stream alone would leave it.
    """
    getattr(attached, "_response", attached).close()


def _raw_socket(stream: Any) -> socket.socket:  # noqa: ANN401  the SDK returns one of several types
    """Return the socket below what the SDK hands out; over TLS and ssh it is one already."""
    raw: socket.socket = getattr(stream, "_sock", stream)
    return raw


def _converse(
    stream: socket.socket, stdin: bytes | None, deadline: Deadline
) -> tuple[bytes, bytes]:
    """Send the input, read both streams to their end, and return them.

    The attached stream is multiplexed: a header of 8 bytes (stream number, length), then that many
    bytes. Source: Engine API, ContainerAttach, "Stream format".

    Raises:
        TimeoutError: the deadline passed first.
    """
    if stdin is not None:
        stream.settimeout(max(deadline.remaining(), 0.001))
        stream.sendall(stdin)
        stream.shutdown(socket.SHUT_WR)
    buffers: dict[bool, list[bytes]] = {False: [], True: []}
    pending = bytearray()
    while True:
        if deadline.passed():
            raise TimeoutError
        stream.settimeout(max(deadline.remaining(), 0.001))
        chunk = stream.recv(65536)
        if not chunk:
            return b"".join(buffers[False]), b"".join(buffers[True])
        pending += chunk
        while len(pending) >= HEADER.size:
            number, length = HEADER.unpack_from(pending)
            if len(pending) < HEADER.size + length:
                break
            buffers[number == STDERR].append(bytes(pending[HEADER.size : HEADER.size + length]))
            del pending[: HEADER.size + length]
