"""Which processes and mounts are ours, on a made-up /proc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.engine import processes
from harness.engine.processes import Process
from tests.crash.killing import is_alive

NO_SUCH_PID = 2**22 + 1  # one more than the kernel ever gives
DATA = Path("/c/engine/data")
EXEC = Path("/c/engine/exec")
OWNED = (DATA, EXEC)


def add(
    root: Path, pid: int, *argv: str, parent: int = 1, state: str = "S", network: str = "here"
) -> None:
    """Add a process to a made-up /proc; a zombie has no command line."""
    entry = root / str(pid)
    (entry / "ns").mkdir(parents=True)
    words = "" if state == "Z" else "".join(f"{word}\0" for word in argv)
    (entry / "cmdline").write_text(words)
    (entry / "stat").write_text(f"{pid} (a) b (c)) {state} {parent} {'7 ' * 48}")
    (root / network).touch()
    (entry / "ns" / "net").symlink_to(root / network)


@pytest.fixture
def fake_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a /proc with one process: ours, as `self`."""
    root = tmp_path / "proc"
    root.mkdir()
    add(root, 10, "python", "-m", "harness")
    (root / "self").symlink_to("10")
    (root / "stat").write_text("btime 1\n")
    monkeypatch.setattr("psutil.PROCFS_PATH", str(root))
    psutil.process_iter.cache_clear()
    yield root
    psutil.process_iter.cache_clear()


# --- what runs ---


def test_only_engines_that_name_our_directories_are_ours(fake_proc: Path) -> None:
    """A reader of our log, another cache's engine, a longer name: none of them may be signalled."""
    add(fake_proc, 20, "/usr/sbin/dockerd", "--data-root", str(DATA), "--exec-root", str(EXEC))
    add(fake_proc, 21, "containerd", "--config", f"{EXEC}/containerd/containerd.toml")
    add(fake_proc, 22, "containerd-shim-runc-v2", "-id", "x", "-address", f"{EXEC}/c/c.sock")
    add(fake_proc, 23, "dockerd", f"--data-root={DATA}")
    add(fake_proc, 30, "less", f"{DATA}/log")
    add(fake_proc, 31, "dockerd", "--data-root", f"{DATA}2")
    add(fake_proc, 32, "dockerd", "--data-root", "/var/lib/docker")
    add(fake_proc, 33, "dockerd", "--data-root", str(DATA), state="Z")
    add(fake_proc, 34, "containerd")
    found = processes.belonging_to(OWNED)
    assert sorted(one.pid for one in found) == [20, 21, 22, 23]


def test_rivals_are_the_engines_of_this_network_namespace(fake_proc: Path) -> None:
    """Not ours, not in a namespace of its own, not a mere helper; one we may not see counts."""
    add(fake_proc, 20, "dockerd", "--data-root", str(DATA))
    add(fake_proc, 21, "dockerd", "-H", "unix:///x.sock")
    add(fake_proc, 22, "dockerd", network="elsewhere")
    add(fake_proc, 23, "containerd")
    add(fake_proc, 24, "dockerd")
    (fake_proc / "24" / "ns" / "net").unlink()
    found = processes.rivals(OWNED)
    assert sorted(one.pid for one in found) == [21, 24]


def test_options_are_read_in_both_forms() -> None:
    process = Process(pid=1, argv=("/usr/sbin/dockerd", "-H", "unix:///a", "--pidfile=/p", "-D"))
    assert process.program == "dockerd"
    assert process.option("-H", "--host") == "unix:///a"
    assert process.option("--pidfile") == "/p"
    assert process.option("-D") == ""
    assert process.option("--none") == ""


def test_descendants_are_found_at_any_depth(fake_proc: Path) -> None:
    """Names with blanks and parentheses do not disturb the reading of the parent's number."""
    add(fake_proc, 20, "containerd-shim-runc-v2")
    add(fake_proc, 21, "sh", parent=20)
    add(fake_proc, 22, "nginx", parent=21)
    add(fake_proc, 23, "other")
    assert processes.descendants([20]) == {21, 22}


def test_a_zombie_does_not_run(fake_proc: Path) -> None:
    """An init that reaps late must not look like an engine that does not end."""
    add(fake_proc, NO_SUCH_PID, "dockerd")
    add(fake_proc, NO_SUCH_PID + 1, "dockerd", state="Z")
    states = [processes.is_running(NO_SUCH_PID + n) for n in range(3)]
    assert states == [True, False, False]


def test_mounts_are_listed_deepest_first_and_decoded(fake_proc: Path) -> None:
    points = ["/c/engine/data", "/c/engine2", "/", r"/c/engine/a\040b/é", "/c/engine/data/x/y"]
    lines = [f"{n} 1 0:{n} / {point} rw - ext4 d rw" for n, point in enumerate(points)]
    (fake_proc / "10" / "mountinfo").write_text("\n".join(lines))
    found = processes.mounts_below([Path("/c/engine")])
    assert found == ["/c/engine/data/x/y", "/c/engine/a b/é", "/c/engine/data"]


def test_what_an_engine_is_about_to_run_is_not_a_second_engine(fake_proc: Path) -> None:
    """Between fork and exec a child shows its parent's command line, for a moment."""
    argv = ("dockerd", "--data-root", str(DATA))
    add(fake_proc, 19, *argv, parent=20)
    add(fake_proc, 20, *argv)
    add(fake_proc, 21, *argv)
    add(fake_proc, 22, "containerd", "--config", f"{EXEC}/c.toml", parent=20)
    add(fake_proc, 23, *argv, parent=20)
    (fake_proc / "23" / "stat").unlink()  # it ended between two looks at it
    found = processes.belonging_to(OWNED)
    assert sorted(one.pid for one in found) == [20, 21, 22]


def test_an_id_that_is_used_again_is_told_apart(fake_proc: Path) -> None:
    """By when its process began."""
    add(fake_proc, NO_SUCH_PID, "sh")
    first = psutil.Process(NO_SUCH_PID)
    assert is_alive(first)
    stat = fake_proc / str(NO_SUCH_PID) / "stat"
    stat.write_text(stat.read_text().replace("7", "8").replace(str(NO_SUCH_PID), "1"))
    assert not is_alive(first)
    assert is_alive(psutil.Process(NO_SUCH_PID))
