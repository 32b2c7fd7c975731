"""The strict exec: what each answer of an engine means, on an engine that answers as told."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from harness.core.errors import (
    ContainerUnavailableError,
    DiskFullError,
    EngineError,
    ExecFailedError,
    ExecNotStartedError,
    ExecOutputError,
    ExecTimeoutError,
)
from harness.core.model import Outcome
from harness.exec.exec import DEATH_SECONDS, ExecTarget
from tests.unit.fake_clock import FakeClock

Make = Callable[..., tuple[ExecTarget, "FakeApi"]]
LONG = 30.0  # seconds that no test waits for


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
    looks: int = 0  # how many looks after its end the engine still takes it for running
    superseded: bool = False  # it runs on, but another one is to serve
    refuses: str = ""  # the exec cannot even be created
    status: int = 409  # of the answer that refuses it
    hangs: bool = False
    running: int = 0  # how many looks it goes on for, its streams closed
    takes: float = 0.0  # seconds


@dataclass
class FakeApi:
    """Answers like an engine whose first container is `c1`, then `c2`, and so on."""

    scripts: list[Script]
    clock: FakeClock
    serving: int = 1
    dying: int = 0  # looks until it shows that the container ended
    retired: list[str] = field(default_factory=list)  # run on, and serve no more
    given: list[bytes] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    held: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        """Wait for what still serves, and close it."""
        for thread in self.threads:
            thread.join(5)
        for one in self.held:
            one.close()

    def resolve(self) -> str:
        """Return which container serves, as the Swarm knows it."""
        return f"c{self.serving}"

    def kill(self, looks: int = 0) -> None:
        """Let the container end, which shows after so many looks; another one takes its place."""
        if looks:
            self.dying = looks
        else:
            self.serving += 1

    def inspect_container(self, identity: str) -> dict[str, Any]:
        """Answer for the containers that live, and for no other."""
        if self.dying:
            self.dying -= 1
            self.serving += not self.dying
        if identity not in {self.resolve(), *self.retired}:
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
                self.kill(script.looks)
            answer: Any = SimpleNamespace(status_code=script.status, url="u", reason="r")
            raise APIError(script.refuses, answer, script.refuses)
        self.ran.append(identity)
        return {"Id": "exec"}

    def exec_start(self, identity: str, **options: object) -> socket.socket:
        """Serve the script's stream."""
        assert (identity, options) == ("exec", {"socket": True})
        ours, theirs = socket.socketpair()
        self.held.append(theirs)
        script = self.scripts[0]
        if script.kills and script.hangs:
            self.kill()

        def serve() -> None:
            if script.hangs:
                return
            theirs.sendall(script.out)
            theirs.shutdown(socket.SHUT_WR)
            chunks = iter(lambda: theirs.recv(4096), b"")
            self.given.append(b"".join(chunks))

        self.threads.append(threading.Thread(target=serve, daemon=True))
        self.threads[-1].start()
        return ours

    def exec_inspect(self, identity: str) -> dict[str, Any]:
        """Say how the script ended, and let the container go if it is to go."""
        assert identity == "exec"
        script = self.scripts[0]
        if script.running:
            script.running -= 1
            return {"ExitCode": None, "Running": True, "Pid": script.pid}
        self.clock.sleep(script.takes)
        self.scripts.pop(0)
        if script.superseded:
            self.retired.append(self.resolve())
            self.serving += 1
        if script.kills:
            self.kill(script.looks)
        if script.code is None:
            raise NotFound("No such exec instance")
        return {"ExitCode": script.code, "Running": False, "Pid": script.pid}


@pytest.fixture(name="target")
def target_fixture() -> Iterator[Make]:
    """Makes a target over an engine that follows a script."""
    apis: list[FakeApi] = []

    def make(*scripts: Script, **options: Any) -> tuple[ExecTarget, FakeApi]:  # noqa: ANN401
        clock = FakeClock()
        api = FakeApi(list(scripts), clock)
        apis.append(api)
        client: Any = SimpleNamespace(api=api)
        given = {"resolve": api.resolve, **options}
        return ExecTarget(client=client, name="app", clock=clock, **given), api

    yield make
    for api in apis:
        api.close()


def test_both_streams_come_back_apart_and_untouched(target: Make) -> None:
    """Bytes, not text; in pieces, however the engine cut them."""
    out = frame(1, b"\x00\xff") + frame(2, b"warn") + frame(1, b"end\n")
    got = target(Script(out=out))[0].exec(["x"], timeout=LONG)
    assert (got.stdout, got.stderr, got.code, got.container) == (b"\x00\xffend\n", b"warn", 0, "c1")


def test_a_failed_command_raises_with_its_code_and_streams(target: Make) -> None:
    """It never comes back as data, unless that was asked for."""
    script = Script(out=frame(1, b"some") + frame(2, b"why"), code=3)
    with pytest.raises(ExecFailedError) as caught:
        target(script)[0].exec(["x", "y"], timeout=LONG)
    assert "`x y` in app ended with code 3" in str(caught.value)
    assert caught.value.detail == "some\nwhy"
    unchecked = target(replace(script))[0].exec(["x"], timeout=LONG, check=False)
    assert (unchecked.code, unchecked.stdout, unchecked.stderr) == (3, b"some", b"why")


@pytest.mark.parametrize("code", [126, 127, 137, 143])
def test_a_real_suspicious_code_of_a_living_container_is_the_commands_own(
    code: int, target: Make
) -> None:
    """It had a process, and the container stays: no replacement, whatever the number."""
    got = target(Script(code=code))[0].exec(["x"], timeout=LONG, check=False)
    assert (got.code, got.attempts) == (code, 1)
    with pytest.raises(ExecFailedError, match=f"code {code}"):
        target(Script(code=code))[0].exec(["x"], timeout=LONG, repeatable=True)


@pytest.mark.parametrize("code", [126, 127])
def test_what_never_had_a_process_could_not_be_started(code: int, target: Make) -> None:
    """And the runtime's message on standard output is never handed back as the command's."""
    script = Script(out=frame(1, b"OCI runtime exec failed: no such file"), code=code, pid=0)
    with pytest.raises(ExecNotStartedError) as caught:
        target(script)[0].exec(["nope"], timeout=LONG, check=False)
    assert "OCI runtime exec failed" in caught.value.detail


def test_a_runtime_without_room_is_the_machines_fault(target: Make) -> None:
    """A full disk says nothing about the recipe, however it is put."""
    said = "OCI runtime exec failed: write /run/x: No space left on device"
    scripts = [
        Script(out=frame(1, said.encode()), code=126, pid=0),
        Script(refuses=said, status=400),
        Script(refuses=said, status=500),
    ]
    for script in scripts:
        with pytest.raises(DiskFullError):
            target(script)[0].exec(["x"], timeout=LONG)


@pytest.mark.parametrize("code", [126, 137, None])
@pytest.mark.parametrize("looks", [0, 4])
def test_a_command_under_which_the_container_went_away_is_run_again_if_that_is_safe(
    code: int | None, looks: int, target: Make
) -> None:
    """In the new container; also when the engine notices a little later that the old one ended."""
    out = frame(1, b"half") + frame(2, b"cut")
    handle, api = target(Script(out=out, code=code, kills=True, looks=looks), Script())
    got = handle.exec(["x"], timeout=LONG, repeatable=True)
    assert (got.container, got.attempts, got.stdout, got.stderr) == ("c2", 2, b"", b"")
    assert api.ran == ["c1", "c2"]


@pytest.mark.parametrize("code", [126, 137, None])
@pytest.mark.parametrize("looks", [0, 4])
def test_a_command_that_is_not_safe_to_repeat_is_not_repeated(
    code: int | None, looks: int, target: Make
) -> None:
    """It may have done half of its work, and what it wrote is no output."""
    handle, api = target(Script(code=code, kills=True, looks=looks), Script())
    with pytest.raises(ContainerUnavailableError, match="replaced while") as caught:
        handle.exec(["x"], timeout=LONG, check=False)
    assert api.ran == ["c1"]
    assert "repeatable=True" in caught.value.hint


def test_a_command_that_never_began_is_always_tried_again(target: Make) -> None:
    """The container went away before: nothing ran, so nothing can run twice."""
    message = frame(1, b"OCI runtime exec failed: cannot exec in a stopped state")
    for script in (
        Script(refuses="Container is not running", kills=True),
        Script(refuses="task not found", status=500, kills=True, looks=4),
        Script(out=message, code=126, pid=0, kills=True),
    ):
        handle, _ = target(script, Script())
        got = handle.exec(["x"], timeout=LONG)
        assert (got.container, got.attempts, got.stdout) == ("c2", 2, b"")


def test_a_failure_in_a_container_that_is_on_its_way_out_is_repeated_if_that_is_safe(
    target: Make,
) -> None:
    """A client of a server that is being stopped fails with a code of its own."""
    handle, _ = target(Script(code=1, superseded=True), Script())
    got = handle.exec(["x"], timeout=LONG, repeatable=True)
    assert (got.code, got.container, got.attempts) == (0, "c2", 2)


def test_a_failure_that_may_not_be_repeated_is_a_failure(target: Make) -> None:
    """Also when its container went away after it."""
    handle, api = target(Script(code=1, kills=True), Script())
    assert handle.exec(["x"], timeout=LONG, check=False).code == 1
    assert api.ran == ["c1"]


def test_a_refusal_by_a_living_container_is_no_replacement(target: Make) -> None:
    """Trying again would not help."""
    with pytest.raises(ExecNotStartedError):
        target(Script(refuses="no"))[0].exec(["x"], timeout=LONG)


def test_an_engine_that_fails_is_not_the_recipes_fault(target: Make) -> None:
    """It said 500, or forgot the exec, or says something of its own in the stream."""
    for script in (
        Script(refuses="internal", status=500),
        Script(code=None),
        Script(out=frame(1, b"some") + frame(3, b"log driver failed")),
    ):
        handle, api = target(script)
        with pytest.raises(EngineError):
            handle.exec(["x"], timeout=LONG, repeatable=True)
        assert len(api.ran) <= 1


def test_tries_are_bounded_by_count_and_each_leaves_a_trace(target: Make) -> None:
    """A container that is replaced for ever ends in an error of the test bed."""
    noted: list[str] = []
    scripts = [Script(code=137, kills=True) for _ in range(9)]
    handle, api = target(*scripts, note=noted.append)
    with pytest.raises(ContainerUnavailableError, match="3 tries ended like that"):
        handle.exec(["x", "y"], timeout=LONG, repeatable=True, attempts=3)
    assert api.ran == ["c1", "c2", "c3"]
    again = "container {} was replaced: the command ended with code 137; tried again"
    assert noted == [
        f"exec of `x y` in app, try 1: {again.format('c1')}",
        f"exec of `x y` in app, try 2: {again.format('c2')}",
        "exec of `x y` in app: 3 tries were made",
    ]


def test_tries_are_bounded_by_time(target: Make) -> None:
    """None is begun when the patience and the command's own time are over."""
    scripts = [Script(code=137, kills=True, takes=20.0) for _ in range(9)]
    handle, api = target(*scripts, patience=10.0)
    with pytest.raises(ContainerUnavailableError):
        handle.exec(["x"], timeout=LONG, repeatable=True, attempts=9)
    assert api.ran == ["c1", "c2"]


def test_the_record_says_how_many_tries_a_success_took_and_nothing_of_a_clean_one(
    target: Make,
) -> None:
    """Whoever reads it sees what was unsteady, and only that."""
    noted: list[str] = []
    handle, _ = target(Script(code=137, kills=True), Script(), Script(), note=noted.append)
    handle.exec(["x"], timeout=LONG, repeatable=True)
    assert [line.partition(": ")[2][:12] for line in noted] == ["container c1", "2 tries were"]
    noted.clear()
    handle.exec(["x"], timeout=LONG)
    assert noted == []


def test_no_container_in_time_is_said_so(target: Make) -> None:
    """With what was last seen."""
    handle, api = target(resolve=lambda: None, patience=7.0)
    with pytest.raises(ContainerUnavailableError, match="no usable container of app"):
        handle.exec(["x"], timeout=LONG)
    assert 7.0 <= api.clock.now < 8.0


def test_a_command_that_does_not_end_is_given_up(target: Make) -> None:
    """Every exec has a time-out."""
    with pytest.raises(ExecTimeoutError, match="did not end within"):
        target(Script(hangs=True))[0].exec(["x"], timeout=0.05)


def test_a_command_that_hangs_as_its_container_goes_has_not_run_out_of_time(target: Make) -> None:
    """Its stream may stay open for ever then."""
    handle, _ = target(Script(hangs=True, kills=True))
    with pytest.raises(ContainerUnavailableError, match="replaced while"):
        handle.exec(["x"], timeout=0.05)


def test_a_command_that_closes_its_streams_is_waited_for(target: Make) -> None:
    """Its code comes later; and it, too, may run out of time."""
    got = target(Script(code=0, running=3))[0].exec(["x"], timeout=LONG)
    assert got.code == 0
    with pytest.raises(ExecTimeoutError):
        target(Script(running=10_000))[0].exec(["x"], timeout=LONG)


def test_a_real_failure_costs_a_moment_and_no_more(target: Make) -> None:
    """The container is looked at for so long, since its end may show late."""
    handle, api = target(Script(code=137))
    handle.exec(["x"], timeout=LONG, check=False)
    assert DEATH_SECONDS <= api.clock.now < DEATH_SECONDS + 0.2
    handle, api = target(Script(code=1))
    handle.exec(["x"], timeout=LONG, check=False)
    assert api.clock.now == 0.0


def test_standard_input_reaches_the_command_and_ends(target: Make) -> None:
    """A command that reads to the end must see one."""
    handle, api = target(Script())
    handle.exec(["cat"], timeout=LONG, stdin=b"\x00data")
    api.close()
    assert api.given == [b"\x00data"]


def test_a_file_gets_the_output_of_the_try_that_counts(target: Make, tmp_path: Path) -> None:
    """Nothing of an earlier try, and nothing in memory."""
    path = tmp_path / "dump"
    half = Script(out=frame(1, b"a longer half"), code=137, kills=True)
    handle, _ = target(half, Script(out=frame(1, b"whole") + frame(2, b"warn")))
    got = handle.exec(["dump"], timeout=LONG, repeatable=True, stdout_to=path)
    assert (got.stdout, got.stderr, got.attempts) == (b"", b"warn", 2)
    assert path.read_bytes() == b"whole"


def test_a_file_is_not_there_when_the_command_failed(target: Make, tmp_path: Path) -> None:
    """Whatever was wrong, a runtime's message included; unless failures are wanted as data."""
    path = tmp_path / "dump"
    bad = [
        Script(out=frame(1, b"half a dump"), code=3),
        Script(out=frame(1, b"OCI runtime exec failed"), code=126, pid=0),
        Script(out=frame(1, b"half"), code=137, kills=True),
    ]
    for script in bad:
        handle, _ = target(replace(script))
        with pytest.raises(
            (ExecFailedError, ExecNotStartedError, ContainerUnavailableError)
        ) as caught:
            handle.exec(["dump"], timeout=LONG, stdout_to=path)
        assert list(tmp_path.iterdir()) == []
        if not script.kills:
            assert script.out[8:].decode() in caught.value.detail
    got = target(bad[0])[0].exec(["dump"], timeout=LONG, check=False, stdout_to=path)
    assert (got.code, path.read_bytes()) == (3, b"half a dump")


def test_a_command_that_writes_too_much_has_failed(target: Make) -> None:
    """The recipe's program prints without end: with the limit, the command and the end of it."""
    app, _ = target(Script(out=frame(1, b"y" * 100)))
    with pytest.raises(
        ExecOutputError, match=r"`yes` in app wrote more than .*: 64 bytes"
    ) as caught:
        app.exec(["yes"], timeout=5, most=64)
    assert caught.value.outcome is Outcome.FAILED
    assert caught.value.detail == "y" * 64
    app, _ = target(Script(out=frame(1, b"y" * 100)))
    done = app.exec(["yes"], timeout=5, most=64, cut=True)
    assert (done.stdout, done.cut) == (b"y" * 64, True)
    app, _ = target(Script(out=frame(1, b"y" * 64)))
    assert not app.exec(["yes"], timeout=5, most=64, cut=True).cut
