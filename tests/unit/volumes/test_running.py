"""As whom a container's programs run, and what is told of those that ended."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.errors import ExecNotStartedError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.exec.exec import ExecTarget
from harness.swarm.programs import READ, Process
from harness.volumes.inside import Inside
from harness.volumes.running import Running
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_stack import service
from tests.unit.swarm.test_programs import container, stat, status

MOUNT = {"Type": "volume", "Destination": "/srv", "RW": True}


def inside(user: str = "") -> Inside:
    """Return a container with a volume."""
    client: Any = None
    return Inside(
        service=service(), client=client, id="c1", node="n", mounts=(MOUNT,), changes={},
        started=0.0, user=user,
    )  # fmt: skip


def as_users(*users: str) -> tuple[Process, ...]:
    """Return a process of each user; the first one starts the others."""
    return tuple(
        Process(pid=n + 1, parent=n and 1, name="p", ended=False, age=60.0, user=user)
        for n, user in enumerate(users)
    )


def looks(
    monkeypatch: pytest.MonkeyPatch, *looks: tuple[Process, ...], may: tuple[str, ...]
) -> list[str]:
    """Look once at each, where these users may write, and return what is told."""

    class Target:
        def exec(self, argv: list[str], **options: Any) -> Any:  # noqa: ANN401  a result
            assert argv == ["test", "-w", "/srv"]
            return SimpleNamespace(code=int(options["user"] not in may))

    running = Running(target=lambda _: cast("ExecTarget", Target()))
    told: list[RunWarning] = []
    for seen in looks:
        monkeypatch.setattr(running, "_processes", lambda _, seen=seen: seen)
        told += running.warnings(inside(), Stage.UPGRADE)
    assert all(one.code is WarningCode.VOLUME_NOT_WRITABLE for one in told)
    return [one.text for one in told]


def test_a_program_to_which_root_was_given_up_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image says root, as it starts the program; its number changed with the image."""
    old, new = as_users("0:0", "101:101"), as_users("0:0", "999:999")
    (text,) = looks(monkeypatch, old, new, new, may=("101:101",))
    assert text.startswith("service app runs as user 999:999, who cannot write to /srv")


def test_who_could_not_write_before_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root alone may have written; or one of several can still."""
    root, web = as_users("0:0"), as_users("0:0", "33:33")
    assert looks(monkeypatch, root, web, may=()) == []
    assert looks(monkeypatch, web, web, may=()) == []
    assert looks(monkeypatch, web, as_users("0:0", "33:33", "5:5"), may=("33:33",)) == []
    assert looks(monkeypatch, web, as_users("0:0"), may=("33:33",)) == []
    assert len(looks(monkeypatch, root, as_users("33:33"), may=())) == 1


def test_a_program_that_ended_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last look, too, when all stages are over."""
    both, one = container("nginx", "worker"), container("nginx")
    running = Running(target=lambda _: cast("Any", None))
    monkeypatch.setattr(running, "_processes", lambda _: both)
    assert list(running.warnings(inside(), Stage.UPGRADE)) == []
    monkeypatch.setattr(running, "_processes", lambda _: one)
    (warning,) = running.ended([inside()])
    assert (warning.code, warning.stage) == (WarningCode.PROGRAM_ENDED, None)
    assert warning.text.startswith("service app ran worker beside its first program, and now")
    monkeypatch.setattr(running, "_processes", lambda _: both)
    assert list(running.ended([inside()])) == []
    monkeypatch.setattr(running, "_processes", lambda _: one)
    assert list(running.ended([inside()])) == []


def test_a_program_that_is_missing_early_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start script may start it a little later; what misses nothing is not waited for."""
    clock = stop_the_clock(monkeypatch)
    both, late = container("nginx", "worker"), [
        container("nginx", age=4.0), container("nginx", "worker", age=10.0),
        container("nginx", age=4.0), container("nginx", age=10.0),
        container("nginx", "worker", age=4.0), [],
    ]  # fmt: skip
    running = Running(target=lambda _: cast("Any", None))
    monkeypatch.setattr(running, "_processes", lambda _: both)
    list(running.warnings(inside(), Stage.UPGRADE))
    monkeypatch.setattr(running, "_processes", lambda _: late.pop(0))
    assert list(running.ended([inside()])) == []
    assert [one.code for one in running.ended([inside()])] == [WarningCode.PROGRAM_ENDED]
    assert clock.slept == [6.0, 6.0]
    assert list(running.ended([inside()])) == list(running.ended([inside()])) == []
    assert len(clock.slept) == 2


def test_processes_are_read_as_root_where_that_can_be_done() -> None:
    """An image without a shell says nothing."""

    class Target:
        def exec(self, argv: list[str], **options: Any) -> Any:  # noqa: ANN401  a result
            assert (argv, options["user"], options["check"]) == (["sh", "-c", READ], "0", False)
            if self is broken:
                raise ExecNotStartedError("no sh")
            text = stat(1, 0, "p", 0) + status(1, 5, 6) + stat(2, 1, "p", 500)
            return SimpleNamespace(text=text)

    broken = Target()
    read = Running(target=lambda _: cast("Any", Target()))._processes(inside())  # noqa: SLF001  what is read
    assert [(one.pid, one.user, one.age) for one in read] == [(1, "5:6", 5.0), (2, "", 0.0)]
    assert Running(target=lambda _: cast("Any", broken))._processes(inside()) == ()  # noqa: SLF001
