"""How the project's own tests are distributed, and what is left of a suite that is killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.core.waiting import Deadline, wait_for
from tests.suite import leftovers, plugin, scheduling

WAITING = {"engine-a": 200.0, "long": 60.0, "short": 1.0}


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/unit/test_a.py::test_b[x@y]", "tests/unit/test_a.py"),
        ("tests/integration/test_a.py::test_b[c]", "tests/integration/test_a.py::test_b[c]"),
        ("tests/integration/test_a.py::test_b[c]@engine-d", "engine-d"),
        ("tests/integration/test_a.py::test_b[x@y]", "tests/integration/test_a.py::test_b[x@y]"),
    ],
)
def test_what_stays_together(nodeid: str, scope: str) -> None:
    """Groups, and modules of unit tests."""
    assert scheduling.scope_of(nodeid) == scope


@pytest.mark.parametrize(
    ("busy", "engines", "chosen"),
    [
        (0.0, 0, "engine-a"),
        (0.0, scheduling.ENGINES_AT_ONCE, "long"),
        (90.0, scheduling.ENGINES_AT_ONCE, "short"),
        (500.0, 0, "short"),
    ],
)
def test_the_longest_begins_first_and_waits_behind_nothing(
    busy: float, engines: int, chosen: str
) -> None:
    """A worker with much to do gets the shortest; engines of their own are limited."""
    assert scheduling.choose(WAITING, busy=busy, engines=engines) == chosen


def test_a_recorded_duration_counts_without_the_group() -> None:
    """Without a record a unit test counts as short, and any other as long."""
    test = "tests/integration/test_a.py::test_b"
    assert scheduling.seconds_of(f"{test}@engine-d", {test: 5.0}) == 5.0
    assert scheduling.seconds_of(test, {}) == scheduling.OTHER_SECONDS
    assert scheduling.seconds_of("tests/unit/a.py::test_b", {}) == scheduling.UNIT_SECONDS


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        (["tests/unit", "tests/integration"], plugin.WORKERS),
        (["tests/integration"], plugin.WORKERS),
        (["tests/unit"], 2),
        (["tests/integration/test_a.py::test_b", "tests/unit/test_c.py"], 0),
    ],
)
def test_how_many_workers_start(arguments: list[str], workers: int) -> None:
    """None for single files, where starting them takes longer than it saves."""
    assert plugin.workers(arguments, 2) == workers


SUITE = """\
import subprocess, sys
from tests.suite.leftovers import Suite
suite = Suite(watched=sys.argv[1] == "watched")
(suite.directory / "file").touch()
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, suite.directory, flush=True)
input()
"""


def killed_suite(tmp_path: Path, watched: str) -> tuple[int, Path]:
    """Kill a process that holds a suite; return what it had started, and its directory."""
    environ = {key: value for key, value in os.environ.items() if key != leftovers.MARK}
    with subprocess.Popen(  # noqa: S603  a script of this file
        [sys.executable, "-c", SUITE, watched], cwd=leftovers.ROOT, text=True,
        env={**environ, "TMPDIR": str(tmp_path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        child, directory = holder.stdout.readline().split()
        holder.kill()
    return int(child), Path(directory)


def test_a_watcher_removes_what_a_killed_suite_left(tmp_path: Path) -> None:
    """Its processes and its directory, without another suite."""
    child, directory = killed_suite(tmp_path, "watched")
    wait_for(
        lambda: Path(f"/proc/{child}").exists() or directory.exists(), what="the watcher",
        deadline=Deadline.after(30), ready=lambda left: not left,
    )  # fmt: skip


def test_the_next_suite_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And spares what a living one has."""
    child, directory = killed_suite(tmp_path, "alone")
    assert directory.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (leftovers.MARK, "TMPDIR"):
        monkeypatch.setenv(name, os.environ[name])  # to be restored
    with leftovers.suite() as living:
        assert not directory.exists()
        wait_for(
            Path(f"/proc/{child}").exists, what="its end", deadline=Deadline.after(30),
            ready=lambda there: not there,
        )  # fmt: skip
        leftovers.sweep()
        assert living.directory.exists()


def test_what_a_dead_engine_still_holds_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its services start with it again; until then the files say whose they are."""
    monkeypatch.setattr(leftovers, "probe", lambda _: "no such file")
    directory, cache = tmp_path / "suite", tmp_path / "suite" / leftovers.SCOPES / "0a1b"
    cache.mkdir(parents=True)
    (directory / leftovers.ENGINE).write_text("unix:///engine.sock")
    leftovers.remove(directory)
    assert cache.exists()
    cache.rmdir()
    leftovers.remove(directory)
    assert not directory.exists()
