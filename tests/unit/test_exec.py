"""The strict exec: what each answer of an engine means, on an engine that answers as told."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from harness.docker import exec as strict
from harness.docker.exec import ExecTarget
from harness.errors import (
    ContainerUnavailableError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
)
from harness.waiting import retry

Make = Callable[..., tuple[ExecTarget, "FakeApi"]]


def frame(number: int, data: bytes) -> bytes:
    """Return one piece of a multiplexed stream."""
    return struct.pack(">BxxxL", number, len(data)) + data


@dataclass
class Script:
    """What one exec does: its stream, its end, and what becomes of the container."""

    out: bytes = b""
    code: int | None = 0
    pid: int = 41
    kills: bool = False  # the container is gone afterwards
    refuses: bool = False  # the exec cannot even be created
    hangs: bool = False


@dataclass
class FakeApi:
    """Answers like an engine whose first container is `c1`, then `c2`, and so on."""

    scripts: list[Script]
    alive: int = 1
    given: list[bytes] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    held: list[socket.socket] = field(default_factory=list)
    serving: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        """Wait for what still serves, and close it."""
        for thread in self.serving:
            thread.join(5)
        for one in self.held:
            one.close()

    def inspect_container(self, identity: str) -> dict[str, Any]:
        """Answer for the container that lives, and for no other."""
        if identity != f"c{self.alive}":
            raise NotFound(f"No such container: {identity}")
        state = {"Running": True, "Status": "running", "ExitCode": 0, "StartedAt": identity}
        return {"Id": identity, "State": state}

    def exec_create(self, identity: str, argv: list[str], **options: object) -> dict[str, str]:
        """Take the next script, or refuse as an engine does."""
        assert argv
        assert set(options) == {"stdin", "user"}
        script = self.scripts[0]
        if script.refuses:
            self.scripts.pop(0)
            if script.kills:
                self.alive += 1
            raise APIError("409 Conflict: Container is not running")
        self.ran.append(identity)
        return {"Id": "exec"}

    def exec_start(self, identity: str, **options: object) -> socket.socket:
        """Serve the script's stream."""
        assert (identity, options) == ("exec", {"socket": True})
        ours, theirs = socket.socketpair()
        self.held.append(theirs)
        script = self.scripts[0]

        def serve() -> None:
            if script.hangs:
                return
            theirs.sendall(script.out)
            theirs.shutdown(socket.SHUT_WR)
            chunks = iter(lambda: theirs.recv(4096), b"")
            self.given.append(b"".join(chunks))

        self.serving.append(threading.Thread(target=serve, daemon=True))
        self.serving[-1].start()
        return ours

    def exec_inspect(self, identity: str) -> dict[str, Any]:
        """Say how the script ended, and let the container go if it is to go."""
        assert identity == "exec"
        script = self.scripts.pop(0)
        if script.kills:
            self.alive += 1
        if script.code is None:
            raise NotFound("No such exec instance")
        return {"ExitCode": script.code, "Pid": script.pid}


@pytest.fixture(name="target")
def target_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a target over an engine that follows a script."""
    monkeypatch.setattr(strict, "retry", _impatient)
    monkeypatch.setattr(strict, "DEATH_SECONDS", 0.05)
    apis: list[FakeApi] = []

    def make(*scripts: Script) -> tuple[ExecTarget, FakeApi]:
        api = FakeApi(list(scripts))
        apis.append(api)
        client: Any = SimpleNamespace(api=api)
        target = ExecTarget(
            client=client, name="app", resolve=lambda: f"c{api.alive}", patience=0.2
        )
        return target, api

    yield make
    for api in apis:
        api.close()


def _impatient(*args: Any, **options: Any) -> Any:  # noqa: ANN401  hands everything on
    return retry(*args, **options, pause=0.0)


def test_both_streams_come_back_apart_and_untouched(target: Make) -> None:
    """Bytes, not text; in pieces, however the engine cut them."""
    out = frame(1, b"\x00\xff") + frame(2, b"warn") + frame(1, b"end\n")
    got = target(Script(out=out))[0].exec(["x"], timeout=5)
    assert (got.stdout, got.stderr, got.code, got.container) == (b"\x00\xffend\n", b"warn", 0, "c1")


def test_a_failed_command_raises_with_its_code_and_streams(target: Make) -> None:
    """It never comes back as data, unless that was asked for."""
    script = Script(out=frame(1, b"some") + frame(2, b"why"), code=3)
    with pytest.raises(ExecFailedError) as caught:
        target(script)[0].exec(["x", "y"], timeout=5)
    assert "`x y` in app ended with code 3" in str(caught.value)
    assert "some\nwhy" in caught.value.detail
    unchecked = target(Script(code=3))[0].exec(["x"], timeout=5, check=False)
    assert unchecked.code == 3


@pytest.mark.parametrize("code", [126, 127, 137, 143])
def test_a_real_suspicious_code_of_a_living_container_is_the_commands_own(
    code: int, target: Make
) -> None:
    """It had a process, and the container stays: no replacement, whatever the number."""
    got = target(Script(code=code))[0].exec(["x"], timeout=5, check=False)
    assert (got.code, got.attempts) == (code, 1)


@pytest.mark.parametrize("code", [126, 127])
def test_what_never_had_a_process_could_not_be_started(code: int, target: Make) -> None:
    """And the runtime's message on standard output is never handed back as the command's."""
    script = Script(out=frame(1, b"OCI runtime exec failed: no such file"), code=code, pid=0)
    with pytest.raises(ExecNotStartedError) as caught:
        target(script)[0].exec(["nope"], timeout=5, check=False)
    assert "OCI runtime exec failed" in caught.value.detail


@pytest.mark.parametrize("code", [126, 137, None])
def test_a_command_under_which_the_container_went_away_is_run_again_if_that_is_safe(
    code: int | None, target: Make
) -> None:
    """In the new container, and the number of tries is told."""
    handle, api = target(Script(out=frame(1, b"half"), code=code, kills=True), Script())
    got = handle.exec(["x"], timeout=5, repeatable=True)
    assert (got.container, got.attempts, got.stdout) == ("c2", 2, b"")
    assert api.ran == ["c1", "c2"]


def test_a_command_that_is_not_safe_to_repeat_is_not_repeated(target: Make) -> None:
    """It may have done half of its work."""
    handle, api = target(Script(code=137, kills=True), Script())
    with pytest.raises(ContainerUnavailableError, match="replaced while"):
        handle.exec(["x"], timeout=5)
    assert api.ran == ["c1"]


def test_a_command_that_never_began_is_always_tried_again(target: Make) -> None:
    """The container went away before: nothing ran, so nothing can run twice."""
    handle, _ = target(Script(refuses=True, kills=True), Script())
    got = handle.exec(["x"], timeout=5)
    assert (got.container, got.attempts) == ("c2", 2)


def test_a_refusal_by_a_living_container_is_no_replacement(target: Make) -> None:
    """Trying again would not help."""
    with pytest.raises(ExecNotStartedError):
        target(Script(refuses=True))[0].exec(["x"], timeout=5)


def test_tries_are_bounded_and_each_leaves_a_trace(target: Make) -> None:
    """A container that is replaced for ever ends in an error of the test bed."""
    scripts = [Script(code=137, kills=True) for _ in range(9)]
    handle, api = target(*scripts)
    noted: list[str] = []
    noting = ExecTarget(
        client=handle.client, name="app", resolve=handle.resolve, patience=0.2, note=noted.append
    )
    with pytest.raises(ContainerUnavailableError):
        noting.exec(["x"], timeout=5, repeatable=True, attempts=3)
    assert api.ran == ["c1", "c2", "c3"]
    assert len(noted) == 2


def test_no_container_in_time_is_said_so(target: Make) -> None:
    """With what was last seen."""
    handle, _ = target()
    lonely = ExecTarget(client=handle.client, name="app", resolve=lambda: None, patience=0.05)
    with pytest.raises(ContainerUnavailableError, match="no usable container of app"):
        lonely.exec(["x"], timeout=5)


def test_a_command_that_does_not_end_is_given_up(target: Make) -> None:
    """Every exec has a time-out."""
    with pytest.raises(ExecTimeoutError, match="did not end within"):
        target(Script(hangs=True))[0].exec(["x"], timeout=0.05)


def test_standard_input_reaches_the_command_and_ends(target: Make) -> None:
    """A command that reads to the end must see one."""
    handle, api = target(Script(), Script())
    handle.exec(["cat"], timeout=5, stdin=b"\x00data")
    api.close()
    assert api.given == [b"\x00data"]
