"""The exec contract on a real engine: what a script of answers cannot show."""

import http.client
import secrets
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from harness.core.errors import (
    ContainerUnavailableError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
    LookOnlyError,
)
from harness.exec import look_only
from harness.exec.exec import ExecTarget
from harness.run.testbed import TestBed
from harness.swarm.nodes import Nodes
from harness.swarm.snapshot import read_container, read_stack
from harness.swarm.sweep import RUN_LABEL, sweep

LARGE = bytes(range(256)) * 49152  # 12 MiB, which is less than a command may write


class Box:
    """A container that can be replaced by a fresh one, as an update would do it."""

    def __init__(self, client: docker.DockerClient, image: str) -> None:
        self.client, self.image = client, image
        self.run = f"exec-test-{secrets.token_hex(4)}"
        self.current = self._start()
        self.target = ExecTarget(
            client=client, name="box", resolve=lambda: self.current.id, patience=20
        )

    def _start(self) -> Container:
        return self.client.containers.run(
            self.image, ["sleep", "600"], detach=True, init=True, labels={RUN_LABEL: self.run}
        )

    def replace(self) -> None:
        """Kill the container, and start another one in its place."""
        old = self.current
        old.kill()
        self.current = self._start()


@pytest.fixture(name="box")
def box_fixture(bed: TestBed) -> Iterator[Box]:
    """A container of the tool image."""
    box = Box(bed.client, bed.toolbox)
    yield box
    assert sweep(bed.client, box.run, timeout=60).left == ()


def test_streams_are_apart_and_binary(box: Box) -> None:
    """A mebibyte of all bytes goes in and comes out as it was; standard error stays apart."""
    data = bytes(range(256)) * 4096
    got = box.target.exec(["sh", "-c", "cat; echo warn >&2"], timeout=30, stdin=data)
    assert got.stdout == data
    assert got.stderr == b"warn\n"
    assert got.attempts == 1


def test_twelve_mebibytes_go_in_and_come_out_at_once(box: Box) -> None:
    """`cat` writes as it reads: whoever sends all of it first waits for ever."""
    assert box.target.exec(["cat"], timeout=60, stdin=LARGE).stdout == LARGE


@pytest.mark.parametrize(("argv", "out"), [(["true"], b""), (["head", "-c", "10"], LARGE[:10])])
def test_a_command_need_not_read_its_input(argv: list[str], out: bytes, box: Box) -> None:
    """It ends well, and what it wrote is all there."""
    assert box.target.exec(argv, timeout=60, stdin=LARGE).stdout == out


def test_a_slow_reader_gets_all_of_the_output(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the command has ended before this process reads the engine's answer at all."""
    begin = http.client.HTTPResponse.begin

    def late(self: http.client.HTTPResponse) -> None:
        threading.Event().wait(0.5)
        begin(self)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", late)
    got = box.target.exec(["sh", "-c", "cat; echo out; echo err >&2"], timeout=30, stdin=b"in ")
    assert (got.stdout, got.stderr) == (b"in out\n", b"err\n")


def test_large_output_goes_to_a_file_and_not_through_memory(box: Box, tmp_path: Path) -> None:
    """Fifty megabytes; with some on standard error beside."""
    path = tmp_path / "dump"
    script = "head -c 50000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo end >&2"
    tracemalloc.start()
    try:
        got = box.target.exec(["sh", "-c", script], timeout=120, stdout_to=path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == 50_000_000
    assert (got.stdout, got.stderr[-4:]) == (b"", b"end\n")
    assert peak < 8_000_000
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_holds_the_output_of_one_run(box: Box, tmp_path: Path) -> None:
    """A container that is replaced in the middle of a dump leaves nothing of it behind."""
    path = tmp_path / "dump"
    timer = threading.Timer(0.5, box.replace)
    timer.start()
    script = "echo begun; test -e /tmp/ran || { touch /tmp/ran; sleep 5; }; echo done"
    got = box.target.exec(["sh", "-c", script], timeout=30, repeatable=True, stdout_to=path)
    timer.join()
    assert got.attempts >= 2
    assert path.read_bytes() == b"begun\ndone\n"


def test_a_failed_dump_leaves_no_file(box: Box, tmp_path: Path) -> None:
    """Half of a dump must not pass for one, and a runtime's message neither."""
    for argv in (["sh", "-c", "echo half; exit 3"], ["no-such-program"]):
        with pytest.raises((ExecFailedError, ExecNotStartedError)):
            box.target.exec(argv, timeout=30, stdout_to=tmp_path / "dump")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_closes_its_streams_is_waited_for(box: Box) -> None:
    """Its code counts, though it comes later."""
    argv = ["sh", "-c", "exec >&- 2>&-; sleep 1; exit 3"]
    assert box.target.exec(argv, timeout=30, check=False).code == 3


@pytest.mark.parametrize("code", [1, 126, 127, 137, 143])
def test_a_code_is_the_commands_own_when_the_container_stays(code: int, box: Box) -> None:
    """Whatever the number."""
    got = box.target.exec(["sh", "-c", f"exit {code}"], timeout=30, check=False)
    assert got.code == code
    with pytest.raises(ExecFailedError, match=f"code {code}"):
        box.target.exec(["sh", "-c", f"exit {code}"], timeout=30)


def test_a_command_killed_in_a_living_container_is_137(box: Box) -> None:
    """By the kernel, say, for want of memory: a failure of the command, not of the container."""
    assert box.target.exec(["sh", "-c", "kill -9 $$"], timeout=30, check=False).code == 137


@pytest.mark.parametrize("argv", [["no-such-program"], ["/etc/hostname"]])
def test_what_cannot_be_started_says_so_in_the_runtimes_words(argv: list[str], box: Box) -> None:
    """Missing, or not executable; never handed back as output."""
    with pytest.raises(ExecNotStartedError) as caught:
        box.target.exec(argv, timeout=30, check=False)
    assert argv[0] in str(caught.value)
    assert "exec" in caught.value.detail


def test_a_command_that_hangs_is_given_up(box: Box) -> None:
    """And the next one works."""
    with pytest.raises(ExecTimeoutError):
        box.target.exec(["sleep", "60"], timeout=0.5)
    with pytest.raises(ExecTimeoutError):
        box.target.exec(["sleep", "60"], timeout=0.5, stdin=LARGE)
    assert box.target.exec(["echo", "x"], timeout=30).text == "x\n"


def test_a_repeatable_command_survives_its_container(box: Box) -> None:
    """It is run again in the new one, and how often is told."""
    timer = threading.Timer(0.5, box.replace)
    timer.start()
    first = box.current.id
    got = box.target.exec(
        ["sh", "-c", "test -e /tmp/ran || { touch /tmp/ran; sleep 5; }; echo done"],
        timeout=30, repeatable=True,
    )  # fmt: skip
    timer.join()
    assert got.text == "done\n"
    assert got.container != first
    assert got.attempts >= 2


def test_a_command_that_must_not_run_twice_does_not(box: Box) -> None:
    """It raises instead, and says why."""
    timer = threading.Timer(0.5, box.replace)
    timer.start()
    with pytest.raises(ContainerUnavailableError, match="replaced while"):
        box.target.exec(["sleep", "20"], timeout=30)
    timer.join()


def test_a_command_that_never_began_waits_for_the_new_container(box: Box) -> None:
    """Nothing ran, so nothing can run twice."""
    box.current.kill()
    timer = threading.Timer(0.5, lambda: setattr(box, "current", box._start()))  # noqa: SLF001
    timer.start()
    assert box.target.exec(["echo", "x"], timeout=30).text == "x\n"
    timer.join()


def test_many_replacements_never_give_a_wrong_answer(box: Box) -> None:
    """Thirty execs while the container is killed again and again: each is right, or raises."""
    stop = threading.Event()

    def keep_killing() -> None:
        while not stop.wait(0.35):
            box.replace()

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        for number in range(30):
            got = box.target.exec(
                ["sh", "-c", f"sleep 0.05; echo {number}"], timeout=30, repeatable=True, attempts=20
            )
            assert got.stdout == f"{number}\n".encode()
    finally:
        stop.set()
        killer.join()


def test_the_client_of_assertions_looks_and_runs_commands(bed: TestBed, box: Box) -> None:
    """Through every call that the handle of an app needs."""
    client = look_only.connect(bed.engine.environ({}))
    try:
        target = ExecTarget(client=client, name="box", resolve=lambda: box.current.id)
        data = bytes(range(256)) * 4096
        assert target.exec(["cat"], timeout=30, stdin=data).stdout == data
        state = read_container(client, str(box.current.id))
        assert state is not None
        assert state.usable
        assert read_stack(Nodes(client=client, own=bed.nodes.own), "no-such-stack").services == ()
    finally:
        client.close()


def test_the_client_of_assertions_changes_nothing(bed: TestBed, box: Box) -> None:
    """The container is still there and was not restarted, nor was another one made."""
    client = look_only.connect(bed.engine.environ({}))
    before = read_container(bed.client, str(box.current.id))
    try:
        mine = client.containers.get(str(box.current.id))
        changes: list[Callable[[], object]] = [mine.kill, mine.restart, mine.remove]
        for change in changes:
            with pytest.raises(LookOnlyError, match="tried to change the deployment"):
                change()
        with pytest.raises(LookOnlyError, match=r"POST .*/containers/create"):
            client.containers.run(box.image, ["true"], labels={RUN_LABEL: box.run})
    finally:
        client.close()
    after = read_container(bed.client, str(box.current.id))
    assert before is not None
    assert after is not None
    assert (after.id, after.started_at, after.running) == (before.id, before.started_at, True)
    found = bed.client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={box.run}"})
    assert [one.id for one in found] == [box.current.id]
