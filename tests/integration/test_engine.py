"""The private engine with a real dockerd, in network and mount namespaces made for the test.

Two engines in one network namespace delete each other's docker0, so each scenario below is a
function that a test has run by a second Python inside a namespace of its own: this file is a
program, too. A scenario that fails shows its traceback in the test's error.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from harness.core import proc
from harness.core.errors import EngineError
from harness.core.waiting import Deadline, wait_for
from harness.engine import engine, layout, preflight, processes, swarm
from harness.engine.endpoint import Engine, probe
from tests.integration.own_engine import Namespaces, namespaces

pytestmark = pytest.mark.xdist_group("engine-private")

RACERS = 6


def environment() -> dict[str, str]:
    """Return this process's environment without a word about an engine."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}


@pytest.fixture(scope="module")
def spaces() -> Iterator[Namespaces]:
    """Give fresh namespaces, or skip where none may be made."""
    with namespaces() as made:
        yield made


@pytest.fixture
def inside(spaces: Namespaces) -> Iterator[Callable[[Callable[[Path], None]], None]]:
    """Give what runs a scenario in the namespaces; whatever it leaves running is removed."""
    # Not below pytest's own directory: its long names leave no room for those of sockets.
    folder = Path(tempfile.mkdtemp(prefix="ccci-"))
    cache = folder / "c"

    def call(scenario: str, one: Path, timeout: float) -> None:
        argv = [sys.executable, __file__, scenario, str(one)]
        spaces.run(*argv, timeout=timeout, own_mounts=True)

    yield lambda scenario: call(scenario.__name__, cache, 300)
    for one in (cache, cache / "other", *deep_caches(cache)):
        if layout.Paths.of(one).root.exists():
            call("remove", one, 120)
    shutil.rmtree(folder)


# --- the scenarios, run inside ---


def resolve(cache: Path) -> tuple[Engine, list[str]]:
    """Return the engine, and what was said on the way."""
    said: list[str] = []
    found = engine.resolve(mode="auto", cache=cache, environment=environment(), say=said.append)
    return found, said


def own_processes(cache: Path) -> list[processes.Process]:
    """Return all processes that belong to the private engine of the cache."""
    return processes.belonging_to(layout.Paths.of(cache).owned)


def pid_of(cache: Path) -> int:
    """Return the process id of the private engine."""
    pid = layout.Paths.of(cache).dockerd()
    assert pid is not None
    return pid


def silent(_: str) -> None:
    """Say nothing."""


def remove(cache: Path) -> None:
    """Remove what a failed scenario left."""
    engine.purge(cache, say=silent)


def life(cache: Path) -> None:
    """From nothing: started once, used again, told about, stopped, started again, removed."""
    assert str(engine.status(cache)) == "private engine: never started"
    assert not cache.exists()  # to ask changes nothing

    first, said = resolve(cache)
    pid = pid_of(cache)
    assert first.private
    assert first.local
    assert said == [f"starting a private engine in {cache}/engine"]
    assert os.getsid(pid) == pid  # Ctrl-C goes to our session, and does not reach it
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    again, said = resolve(cache)
    assert (again, said, pid_of(cache)) == (first, [], pid)
    shown = str(engine.status(cache))
    assert re.search(
        rf"^private engine: running, version \d.*, process {pid}$", shown, re.MULTILINE
    )
    assert f"export DOCKER_HOST={first.host}" in shown

    assert engine.stop(cache, say=silent)
    assert own_processes(cache) == []
    assert probe(first)
    assert not engine.stop(cache, say=silent)
    assert str(engine.status(cache)).startswith("private engine: stopped")

    assert engine.start(cache, environment=environment(), say=silent) == first
    assert pid_of(cache) != pid
    removed = engine.purge(cache, say=silent)
    assert f"{cache}/engine" in removed
    assert engine.purge(cache, say=silent) == ()


def named(cache: Path) -> None:
    """DOCKER_HOST and a docker context lead to an engine, and the preflight describes it."""
    ours, _ = resolve(cache)
    by_host = engine.resolve(
        mode="external",
        cache=cache,
        environment={**environment(), "DOCKER_HOST": ours.host},
        say=silent,
    )
    assert (by_host.origin, by_host.private) == ("DOCKER_HOST", True)
    if shutil.which("docker"):
        config = cache / "config"
        env = {**environment(), "DOCKER_CONFIG": str(config)}
        there = f"host={ours.host}"
        proc.run(["docker", "context", "create", "mine", "--docker", there], timeout=60, env=env)
        proc.run(["docker", "context", "use", "mine"], timeout=60, env=env)
        by_context = engine.resolve(mode="external", cache=cache, environment=env, say=silent)
        assert (by_context.origin, by_context.host) == ("context mine", ours.host)
        shown = proc.run(["docker", "version"], timeout=60, env=ours.environ(env))
        assert "Server" in shown.stdout
    seen = preflight.check(ours.client(), ours, cache=cache)
    assert seen.ipvs is not None
    assert {row.name: row.value for row in seen.rows}["swarm"] == "inactive"
    engine.purge(cache, say=silent)


def racers(cache: Path) -> None:
    """However many processes race: one dockerd, one swarm."""

    def race(_: int) -> dict[str, object]:
        argv = [sys.executable, __file__, "racer", str(cache)]
        told: dict[str, object] = json.loads(proc.run(argv, timeout=200).stdout)
        return told

    with ThreadPoolExecutor(RACERS) as pool:
        told = list(pool.map(race, range(RACERS)))
    assert [one["pid"] for one in told] == [pid_of(cache)] * RACERS
    assert sum(bool(one["started"]) for one in told) == 1
    assert sum(bool(one["swarm"]) for one in told) == 1
    daemons = [p for p in own_processes(cache) if p.program == "dockerd"]
    assert len(daemons) == 1
    engine.purge(cache, say=silent)


def racer(cache: Path) -> None:
    """Do what each run does first, and tell what it had to make."""
    found, said = resolve(cache)
    client = found.client()
    told = {
        "pid": pid_of(cache),
        "started": any("starting a private engine" in line for line in said),
        "swarm": swarm.ensure_swarm(client, engine=found, cache=cache, say=silent),
    }
    sys.stdout.write(json.dumps(told))


def killed(cache: Path) -> None:
    """A dockerd that was killed is followed by another one, on the same data."""
    found, _ = resolve(cache)
    client = found.client()
    swarm.ensure_swarm(client, engine=found, cache=cache, say=silent)
    sleeper = start_sleeper(client)
    # Those of overlay networks; the others are removed by the next dockerd, up to a minute later.
    overlays = list((layout.Paths.of(cache).exec / "netns").glob("1-*"))
    assert overlays
    old = pid_of(cache)
    os.kill(old, signal.SIGKILL)
    _await_gone([old])
    assert processes.is_running(sleeper)  # a container outlives its engine

    again, said = resolve(cache)
    assert again == found
    assert len(said) == 1
    assert pid_of(cache) != old
    assert not any(one.exists() for one in overlays)
    client = again.client()
    assert not swarm.ensure_swarm(client, engine=again, cache=cache, say=silent)

    # Now with a container, and removed at once: nothing of it may stay. Nor may links of which a
    # dockerd that is killed has not yet moved one end to a container; others' links stay.
    sleeper = start_sleeper(client)
    os.kill(pid_of(cache), signal.SIGKILL)
    for first, second in (("veth0a1b2c3", "veth0a1b2c4"), ("theirs0", "theirs1")):
        argv = ["ip", "link", "add", first, "type", "veth", "peer", "name", second]
        proc.run(argv, timeout=60)
    engine.purge(cache, say=silent)
    _await_gone([sleeper])
    assert own_processes(cache) == []
    assert processes.mounts_below([cache]) == []
    assert sorted(path.name for path in cache.iterdir()) == ["locks"]
    _await_no_links_but(["lo", "theirs0", "theirs1"])
    proc.run(["ip", "link", "delete", "theirs0"], timeout=60)


def foreign_pid_files(cache: Path) -> None:
    """Numbers in stale pid files that are other programs' now are neither obeyed nor signalled."""
    found, _ = resolve(cache)
    engine.stop(cache, say=silent)
    paths = layout.Paths.of(cache)
    stale = (paths.pidfile, paths.exec / "containerd" / "containerd.pid")
    for file in stale:
        file.write_text(str(os.getpid()))
    paths.socket.touch()
    assert not engine.stop(cache, say=silent)  # this very process would have ended
    for file in stale:
        file.write_text(str(os.getpid()))
    again, _ = resolve(cache)
    assert again == found
    assert not probe(again)
    engine.purge(cache, say=silent)


def orphan(cache: Path) -> None:
    """A containerd that outlived its dockerd stops neither the next start nor a stop."""
    found, _ = resolve(cache)
    engine.stop(cache, say=silent)
    left = _start_containerd(cache)
    again, _ = resolve(cache)
    assert again == found
    assert not processes.is_running(left)
    engine.stop(cache, say=silent)
    left = _start_containerd(cache)
    assert engine.stop(cache, say=silent)
    assert not processes.is_running(left)
    engine.purge(cache, say=silent)


def _start_containerd(cache: Path) -> int:
    folder = layout.Paths.of(cache).exec / "containerd"
    argv = ["containerd", "--config", str(folder / "containerd.toml")]
    pid = proc.start_daemon(argv, log=cache / "containerd.log")
    (folder / "containerd.pid").write_text(str(pid))
    wait_for(
        (folder / "containerd.sock").exists,
        what="the socket of containerd",
        deadline=Deadline.after(60),
    )
    return pid


def dies(cache: Path) -> None:
    """A dockerd that cannot start is reported at once, in its own words."""
    paths = layout.Paths.of(cache)
    paths.root.mkdir(parents=True)
    paths.data.write_text("not a directory")
    with pytest.raises(EngineError) as caught:
        resolve(cache)
    assert caught.value.what == "the private engine ended while it was starting"
    assert "canonical path points to a file" in caught.value.cause
    assert caught.value.cause in caught.value.detail
    assert str(paths.log) in caught.value.hint
    assert own_processes(cache) == []


def deep_caches(cache: Path) -> dict[Path, bool]:
    """Return cache directories, and whether there is room for the names of sockets below them."""
    room = layout.SOCKET_PATH_BYTES - len("/engine/exec/containerd/containerd.sock.ttrpc")
    fill = room - len(os.fsencode(cache)) - 1
    found = {cache / ("d" * 120): False}
    if fill > 1:  # else the directory for temporary files is deep itself
        found |= {cache / ("d" * fill): True, cache / ("d" * (fill + 1)): False}
    return found


def deep(cache: Path) -> None:
    """A cache directory too deep for sockets has them elsewhere, and leaves nothing there."""
    for one, enough in deep_caches(cache).items():
        found, _ = resolve(one)
        paths = layout.Paths.of(one)
        assert (paths.runtime == paths.root) is enough
        assert found.client().ping()
        assert engine.stop(one, say=silent)
        assert resolve(one)[0] == found
        engine.purge(one, say=silent)
        assert not paths.runtime.exists()
        assert not paths.root.exists()


def rival(cache: Path) -> None:
    """A second engine in the namespace is refused, and the first one keeps its bridge."""
    first, _ = resolve(cache)
    for mode in ("auto", "private"):
        with pytest.raises(EngineError, match="another Docker engine") as caught:
            engine.resolve(mode=mode, cache=cache / "other", environment=environment(), say=silent)
        assert f"DOCKER_HOST={first.host}" in caught.value.hint
    engine.purge(cache / "other", say=silent)
    assert "docker0" in [name for _, name in socket.if_nameindex()]
    engine.purge(cache, say=silent)


def start_sleeper(client: docker.DockerClient) -> int:
    """Start a container that sleeps, by this machine's own program, and return its process id."""
    client.api.import_image_from_data(_image(), repository="sleeper", tag="1")
    container = client.containers.run(
        "sleeper:1", [_sleep(), "600"], detach=True, network_mode="none"
    )
    container.reload()
    return int(container.attrs["State"]["Pid"])


def _sleep() -> str:
    found = shutil.which("sleep")
    assert found
    return str(Path(found).resolve())


def _image() -> bytes:
    libraries = re.findall(r"(/\S+) \(0x", proc.run(["ldd", _sleep()], timeout=60).stdout)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for path in (_sleep(), *libraries):
            archive.add(path)
    return packed.getvalue()


def _await_gone(pids: list[int]) -> None:
    wait_for(
        lambda: [pid for pid in pids if processes.is_running(pid)],
        what=f"the end of {pids}",
        deadline=Deadline.after(60),
        ready=lambda left: not left,
    )


def _await_no_links_but(names: list[str]) -> None:
    """Wait for the kernel, which takes a dead container's network apart after its last process."""
    wait_for(
        lambda: [name for _, name in socket.if_nameindex()],
        what=f"the end of all links but {names}",
        deadline=Deadline.after(60),
        ready=lambda left: sorted(left) == names,
    )


# --- the tests, run outside ---


@pytest.mark.parametrize(
    "scenario",
    [life, named, racers, killed, foreign_pid_files, orphan, dies, deep, rival],
    ids=lambda scenario: scenario.__name__,
)
def test_private_engine(
    scenario: Callable[[Path], None], inside: Callable[[Callable[[Path], None]], None]
) -> None:
    inside(scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
