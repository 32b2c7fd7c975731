"""The exec contract on a real engine: what a script of answers cannot show."""

import secrets
import threading
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from harness.docker.exec import ExecTarget
from harness.docker.sweep import RUN_LABEL, sweep
from harness.errors import (
    ContainerUnavailableError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
)
from harness.testbed import TestBed


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
