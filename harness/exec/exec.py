"""Running a command in an app's container, strictly.

A failed command raises; a runtime's message is never handed back as the command's output. Four
things are told apart: the container is being replaced (wait for the new one, try again within
bounds), the command could not be started, it failed, the time ran out. The exit code alone decides
nothing, since a real command may end with 126, 127 or 137 too: an exec that was never started has
no process id, and a container that was replaced is not the running one that we began with.
See docs/decisions/0004-exec.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError

from harness.core.errors import (
    ContainerUnavailableError,
    DiskFullError,
    EngineError,
    ExecFailedError,
    ExecNotStartedError,
    ExecOutputError,
    ExecTimeoutError,
    HarnessError,
    WaitTimeoutError,
)
from harness.core.waiting import SYSTEM_CLOCK, Clock, Deadline, retry, stretched, wait_for
from harness.exec.exec_stream import MOST_OUTPUT, Output, close, converse, output_into
from harness.swarm.nodes import Nodes
from harness.swarm.snapshot import read_container
from harness.swarm.states import ContainerState

SUSPICIOUS_CODES = (126, 127, 137, 143)  # what an exec in a dying container can end with, too
DEATH_SECONDS = 2.0  # within which a busy engine says that a container ended after its exec did
NO_ROOM = "no space left on device"
SHOWN = 200  # characters of a command that a message shows
LEFT_ALONE = 141  # what a shell says of a program whose reader has left (SIGPIPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """A command that ran to its end: raw streams, exit code, the container, how many tries.

    `stdout` is empty when it was written to a file. Of one that was `cut` off, it is the beginning.
    """

    argv: tuple[str, ...]
    stdout: bytes
    stderr: bytes
    code: int
    container: str
    attempts: int = 1
    cut: bool = False

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    argv: tuple[str, ...]
    timeout: float
    stdin: bytes | None
    user: str
    repeatable: bool
    most: int
    cut: bool

    def __str__(self) -> str:
        text = " ".join(self.argv)
        return f"`{text if len(text) <= SHOWN else text[:SHOWN] + ' ...'}`"


class _ReplacedError(Exception):
    """The container went away while, or before, the command ran in it."""

    def __init__(self, container: ContainerState, reason: str, *, began: bool) -> None:
        super().__init__(f"container {container.id[:12]} was replaced: {reason}")
        self.began = began


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecTarget:
    """Where commands are run: how the container that serves right now is found.

    Args:
        client: a client of the engine that has the container, unless `nodes` says otherwise.
        name: what the container is of, for messages: a service's name.
        resolve: returns the id of the container that serves now, or None when there is none.
        patience: seconds to wait for a container to come up, each time one is needed.
        note: is told of every try that has to be made again, and of how many there were then.
        clock: measures the waits between tries; a command's own time is always real.
        nodes: where the container may be on any node: their engines.
    """

    client: docker.DockerClient
    name: str
    resolve: Callable[[], str | None]
    patience: float = 60.0
    note: Callable[[str], None] = field(default=lambda _: None)
    clock: Clock = SYSTEM_CLOCK
    nodes: Nodes | None = None

    def engine_of(self, container: str) -> docker.DockerClient:
        """Return a client of the engine that has the container of that id.

        Raises:
            EngineError: it is on another node, whose engine does not answer.
        """
        return self.nodes.having(container) if self.nodes else self.client

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
        stdout_to: Path | None = None,
        most: int = MOST_OUTPUT,
        cut: bool = False,
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
            attempts: the most tries. None is begun later than `patience` plus `timeout` seconds
                after the first one.
            stdout_to: a file that standard output is written to as it comes, whatever its size.
                The file is there, or replaced, only if nothing is raised; `stdout` is then empty.
            most: bytes that it may write, beside what goes to that file.
            cut: where it writes more, return what came until then. It may still run.

        Raises:
            ContainerUnavailableError: no container came up, or it was replaced under the command.
            ExecNotStartedError: the runtime could not start it.
            ExecFailedError: it ended with a code other than 0.
            ExecTimeoutError: it did not end in time.
            ExecOutputError: it wrote more than it may.
            EngineError: the engine did not answer.
            TestBedError: standard output cannot be written to that file.
        """
        command = _Command(
            argv=tuple(argv), timeout=timeout, stdin=stdin, user=user, repeatable=repeatable,
            most=most, cut=cut,
        )  # fmt: skip
        with output_into(stdout_to, most=most) as output:
            result = self._persist(command, output, attempts)
            if check and result.code != 0 and not result.cut:
                raise ExecFailedError(
                    f"{command} in {self.name} ended with code {result.code}",
                    detail=output.excerpt(),
                )
            return result

    def _persist(self, command: _Command, output: Output, attempts: int) -> ExecResult:
        """Run it, again in the next container when one was replaced and it is safe to."""
        tries = 0

        def once(attempt: int) -> ExecResult:
            nonlocal tries
            tries = attempt
            output.restart()
            return _Try(self, self.current(), command, output).run(attempt)

        def again(attempt: int, error: Exception) -> None:
            if isinstance(error, _ReplacedError) and error.began and not command.repeatable:
                raise error
            self.note(f"exec of {command} in {self.name}, try {attempt}: {error}; tried again")

        deadline = Deadline.after(self.patience + command.timeout, self.clock)
        try:
            return retry(once, on=_ReplacedError, attempts=attempts, deadline=deadline, note=again)
        except _ReplacedError as error:
            raise self._unavailable(command, error, tries) from error
        except OSError as error:  # an answer of the engine that says no is one, too
            kind = DiskFullError if NO_ROOM in str(error).lower() else EngineError
            raise kind(
                f"the engine failed while {command} was run in {self.name}: {error}",
                cause="it was stopped or restarted, it is overloaded, or it has no room left",
                hint="nox -s engine -- status; its log has the last word",
            ) from error
        finally:
            if tries > 1:
                self.note(f"exec of {command} in {self.name}: {tries} tries were made")

    def current(self, deadline: Deadline | None = None) -> ContainerState:
        """Return the container that serves now, waiting for one that is coming up.

        Args:
            deadline: when to give up; None means after `patience` seconds.

        Raises:
            ContainerUnavailableError: none came up in time.
        """

        def look() -> ContainerState | None:
            identity = self.resolve()
            return read_container(self.engine_of(identity), identity) if identity else None

        try:
            found = wait_for(
                look,
                what=f"a usable container of {self.name}",
                deadline=deadline or Deadline.after(self.patience, self.clock),
                ready=lambda state: state is not None and state.usable,
                describe=lambda state: str(state) if state else "there was none",
            )
        except WaitTimeoutError as error:
            raise ContainerUnavailableError(
                f"no usable container of {self.name} came up within {self.patience:g} s",
                cause="the service crashes, is being replaced, or its health check fails",
                hint=f"look at the log of {self.name} in the run's directory",
                detail=error.detail,
            ) from error
        assert found is not None  # noqa: S101  `ready` says so; the type checker cannot see it
        return found

    def serves(self, container: ContainerState) -> bool:
        """Whether that container still is the one that serves, and was not restarted meanwhile."""
        after = read_container(self.engine_of(container.id), container.id)
        same = after is not None and after.running and after.started_at == container.started_at
        return same and self.resolve() == container.id

    def stays(self, container: ContainerState) -> bool:
        """Whether that container still serves after a moment.

        What ran in a killed container ends a little before the engine says that the container did.
        That moment is the engine's: a factor below 1 does not make it shorter.
        """
        try:
            wait_for(
                lambda: self.serves(container),
                what="the container's end",
                deadline=Deadline.after(stretched(DEATH_SECONDS), self.clock),
                ready=lambda serves: not serves,
            )
        except WaitTimeoutError:
            return True
        return False

    def _unavailable(
        self, command: _Command, error: _ReplacedError, tries: int
    ) -> ContainerUnavailableError:
        if error.began and not command.repeatable:
            why = "it was not run again, because it may not be safe to run twice"
            hint = "pass repeatable=True if it is"
        else:
            why = f"{tries} tries ended like that"
            hint = "look at why the service's tasks end: docker service ps"
        return ContainerUnavailableError(
            f"the container of {self.name} was replaced while {command} ran in it",
            cause=f"{error}; {why}",
            hint=hint,
        )


@dataclass(frozen=True, slots=True)
class _Try:
    """One try of a command in one container."""

    target: ExecTarget
    container: ContainerState
    command: _Command
    output: Output

    def run(self, attempt: int) -> ExecResult:
        """Run it to its end.

        Raises:
            _ReplacedError: the container went away.
            HarnessError: anything else than an end of the command.
        """
        exec_id = self._converse()
        if exec_id is None:
            return self._result(LEFT_ALONE, attempt, cut=True)
        code, began = self._ending(exec_id)
        if code is None or code in SUSPICIOUS_CODES or not began:
            gone = not self.target.stays(self.container)
        else:
            # A command that lost its server, say, because the container is being stopped. Where it
            # is safe to, it is asked again; else its code is what there is.
            repeatable = self.command.repeatable and code != 0
            gone = repeatable and not self.target.serves(self.container)
        if gone:
            raise self._replaced(f"the command ended with code {code}", began=began)
        if not began:
            raise self._not_started(
                self.output.excerpt(), "there is no such program in the image, or it is no program"
            )
        if code is None or self.output.engine:
            raise EngineError(
                f"the engine does not know how {self.command} in {self.target.name} ended",
                detail=self.output.engine,
            )
        return self._result(code, attempt)

    def _result(self, code: int, attempt: int, *, cut: bool = False) -> ExecResult:
        return ExecResult(
            argv=self.command.argv, stdout=self.output.stdout, stderr=self.output.stderr,
            code=code, container=self.container.id, attempts=attempt, cut=cut,
        )  # fmt: skip

    @property
    def _api(self) -> docker.APIClient:
        return self.target.engine_of(self.container.id).api

    def _converse(self) -> str | None:
        """Start it, let it run until its streams end, and return the exec's id; None of one cut."""
        api, command = self._api, self.command
        try:
            exec_id: str = api.exec_create(
                self.container.id,
                list(command.argv),
                stdin=command.stdin is not None,
                user=command.user,
            )["Id"]
            attached = api.exec_start(exec_id, socket=True)
        except APIError as error:
            if not self.target.stays(self.container):
                raise self._replaced(str(error), began=False) from error
            if error.is_server_error():
                raise
            raise self._not_started(str(error), "the engine refuses it") from error
        try:
            deadline = Deadline.after(command.timeout)
            whole = converse(attached, stdin=command.stdin, output=self.output, deadline=deadline)
        except TimeoutError as error:
            raise self._timed_out() from error
        finally:
            close(attached)
        if not whole and not command.cut:
            raise self._too_much()
        return exec_id if whole else None

    def _ending(self, exec_id: str) -> tuple[int | None, bool]:
        """Return the exit code (None when nobody knows it any more) and whether it ever began.

        A command may close its streams and go on.
        """
        try:
            inspected: Mapping[str, Any] = wait_for(
                lambda: self._api.exec_inspect(exec_id),
                what="the command's end",
                deadline=Deadline.after(self.command.timeout, self.target.clock),
                ready=lambda look: not look.get("Running", False),
            )
        except APIError:
            return None, True
        except WaitTimeoutError as error:
            raise self._timed_out() from error
        return inspected["ExitCode"], bool(inspected["Pid"])

    def _timed_out(self) -> Exception:
        if not self.target.serves(self.container):
            return self._replaced("the command did not end", began=True)
        return ExecTimeoutError(
            f"{self.command} in {self.target.name} did not end within {self.command.timeout:g} s",
            cause="it waits for something, or the host is slow",
            hint="allow more: timeout= of the call, or CCCI_TIMEOUT_FACTOR=2 for every one",
            detail=self.output.excerpt(),
        )

    def _too_much(self) -> ExecOutputError:
        return ExecOutputError(
            f"{self.command} in {self.target.name} wrote more than a command may: "
            f"{self.command.most} bytes",
            cause="the recipe: what it prints, or the number of the files that it keeps",
            hint="write to a file instead, or print less",
            detail=self.output.excerpt(),
        )

    def _replaced(self, reason: str, *, began: bool) -> _ReplacedError:
        return _ReplacedError(self.container, reason, began=began)

    def _not_started(self, said: str, cause: str) -> HarnessError:
        what = f"{self.command} could not be started in {self.target.name}"
        if NO_ROOM in said.lower():
            return DiskFullError(f"{what}: no room is left on the engine's disk", detail=said)
        return ExecNotStartedError(what, cause=cause, detail=said)
