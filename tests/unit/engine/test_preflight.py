"""What the preflight sees, and what it makes of it: a fake engine, a fake machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from harness.core import proc
from harness.core.errors import DiskFullError, EngineError, ProcessError, TestBedError
from harness.engine.endpoint import Engine
from harness.engine.preflight import GIB, Host, Preflight, Row, check

LOCAL = Engine(host="unix:///c/docker.sock", origin="private", private=True)
REMOTE = Engine(host="tcp://192.0.2.1:2375", origin="DOCKER_HOST")
KERNEL = "6.1.0"
INFO: dict[str, Any] = {
    "ServerVersion": "20.10.24+dfsg1",
    "Driver": "overlay2",
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1",
    "Swarm": {"LocalNodeState": "active", "ControlAvailable": True},
    "DockerRootDir": "/data",
    "MemTotal": 8 * GIB,
    "NCPU": 2,
    "KernelVersion": KERNEL,
    "OperatingSystem": "Some Linux",
    "OSType": "linux",
    "SecurityOptions": ["name=seccomp,profile=default"],
}


@dataclass
class Fake:
    """An engine and the machine beside it; each program that is run is written down."""

    info: Mapping[str, Any] = field(default_factory=lambda: dict(INFO))
    engine: Engine = LOCAL
    root: bool = True
    free: Mapping[str, float] = field(default_factory=lambda: {"/data": 50.0, "/cache": 50.0})
    families: set[str] = field(default_factory=lambda: {"IPVS"})
    netlink: bool = True
    programs: set[str] = field(default_factory=lambda: {"git", "docker", "modprobe"})
    modprobe_adds: set[str] = field(default_factory=set)
    ran: list[list[str]] = field(default_factory=list)
    infos: int = 0

    def run(self, argv: list[str], *, timeout: float, env: Mapping[str, str]) -> proc.Completed:
        """Run one of three programs."""
        assert timeout <= 10
        assert "PATH" in env
        self.ran.append(argv)
        if argv[0] not in self.programs:
            raise ProcessError(f"`{argv[0]}` could not be started", code=None)
        if argv[0] == "modprobe":
            assert argv[-1] == "ip_vs"
            if not self.modprobe_adds and "--dry-run" not in argv:
                raise ProcessError("`modprobe` failed", code=1)
            self.families |= self.modprobe_adds
            return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr="")
        assert argv[1:] == ["--version"]
        words = {"git": "git version 2.39.5\n", "docker": "Docker version 28.2.2, build e6534b4\n"}
        return proc.Completed(argv=tuple(argv), code=0, stdout=words[argv[0]], stderr="")

    def free_bytes(self, path: Path) -> int:
        """Return the room at a path that exists."""
        if str(path) not in self.free:
            raise FileNotFoundError(2, "No such file or directory")
        return int(self.free[str(path)] * GIB)

    def has_family(self, name: str) -> bool:
        """Return whether the kernel has a netlink family."""
        if not self.netlink:
            raise PermissionError(1, "Operation not permitted")
        return name in self.families

    def ask(self) -> Mapping[str, Any]:
        """Return the engine's information."""
        self.infos += 1
        return self.info

    def check(self, cache: str = "/cache", ip_vs: Path = Path("/none"), **more: float) -> Preflight:
        """Have the preflight look."""
        client = SimpleNamespace(info=self.ask, api=SimpleNamespace(api_version="1.41"))
        host = Host(
            run=self.run,
            is_root=lambda: self.root,
            kernel=lambda: KERNEL,
            free_bytes=self.free_bytes,
            has_family=self.has_family,
            ip_vs=ip_vs,
        )
        return check(
            cast("docker.DockerClient", client),
            self.engine,
            cache=Path(cache),
            environment={"PATH": "/bin"},
            host=host,
            **more,
        )


def row(seen: Preflight, name: str) -> Row:
    """Return the row of that name."""
    (found,) = [one for one in seen.rows if one.name == name]
    return found


def test_a_good_machine_is_described_with_one_question_and_two_programs() -> None:
    """Each run pays for it: one look at the engine, git, docker, and no more."""
    fake = Fake()
    seen = fake.check()
    seen.require()
    assert {one.name: one.value for one in seen.rows if one.name != "python"} == {
        "git": "2.39.5",
        "docker": "28.2.2",
        "engine": "20.10.24+dfsg1, API 1.41",
        "storage driver": "overlay2",
        "control groups": "version 1, driver cgroupfs",
        "swarm": "active, manager",
        "disk of the engine": "50.0 GiB free at /data",
        "disk of the cache": "50.0 GiB free at /cache",
        "memory": "8.0 GiB, 2 processors",
        "IPVS": "yes",
        "system": f"Some Linux, kernel {KERNEL}",
    }
    assert (seen.ipvs, seen.engine_version) == (True, "20.10.24+dfsg1")
    assert fake.infos == 1
    assert sorted(fake.ran) == [["docker", "--version"], ["git", "--version"]]


def test_lines_mark_what_is_missing() -> None:
    rows = (
        Row(name="a", value="1"),
        Row(name="b", value="2", ok=False, note="do this"),
    )
    lines = Preflight(rows=rows, ipvs=None, engine_version="1").lines()
    assert lines == [f"ok    {'a':<20}  1", f"MISS  {'b':<20}  2  (do this)"]


def test_all_misses_are_named_at_once() -> None:
    """Whoever mends a machine should not have to run once for each of its faults."""
    fake = Fake(info={**INFO, "ServerVersion": "19.03.15"}, programs={"docker", "modprobe"})
    fake.free = {"/data": 1.0, "/cache": 0.5}
    with pytest.raises(TestBedError) as caught:
        fake.check().require()
    error = caught.value
    assert type(error) is TestBedError
    assert error.what.endswith("git, engine, disk of the engine, disk of the cache")
    assert len(error.detail.splitlines()) == 4
    assert "apt-get install git" in error.hint
    assert "20.10 or later" in error.hint
    assert "CCCI_CACHE" in error.hint


def test_only_a_full_disk_is_a_full_disk() -> None:
    fake = Fake(free={"/data": 50.0, "/cache": 1.9})
    with pytest.raises(DiskFullError, match=r"run: disk of the cache\n"):
        fake.check().require()
    fake.check(needed_gib=1.5).require()


@pytest.mark.parametrize(
    ("version", "ok"),
    [
        ("20.10.24+dfsg1", True),
        ("28.2.2", True),
        ("100.0.0", True),
        ("v29.1", True),
        ("20.9.9", False),
        ("19.03.15", False),
        ("4.9.3", False),
        ("strange", False),
    ],
)
def test_the_engine_is_20_10_or_later(version: str, *, ok: bool) -> None:
    seen = Fake(info={**INFO, "ServerVersion": version}).check()
    assert row(seen, "engine").ok is ok
    if not ok:
        with pytest.raises(EngineError, match=r"run: engine\n"):
            seen.require()


@pytest.mark.parametrize(
    ("swarm", "value", "ok"),
    [
        ({"LocalNodeState": "inactive"}, "inactive", True),
        ({}, "inactive", True),
        ({"LocalNodeState": "pending"}, "pending", True),
        ({"LocalNodeState": "active", "ControlAvailable": False}, "active, worker", False),
        ({"LocalNodeState": "locked"}, "locked", False),
        ({"LocalNodeState": "error", "Error": "bad"}, "error", False),
    ],
)
def test_a_swarm_must_be_led_from_here_or_not_exist_yet(
    swarm: dict[str, Any], value: str, *, ok: bool
) -> None:
    found = row(Fake(info={**INFO, "Swarm": swarm}).check(), "swarm")
    assert (found.value, found.ok) == (value, ok)
    assert found.note


def test_a_rootless_engine_will_not_do() -> None:
    """Tasks on overlay networks are rejected, for which the recipe would be blamed."""
    fake = Fake(info={**INFO, "SecurityOptions": ["name=seccomp", "name=rootless"]})
    with pytest.raises(EngineError, match="rootless") as caught:
        fake.check().require()
    assert "docs/isolation.md" in caught.value.hint


def test_containers_of_another_system_will_not_do() -> None:
    with pytest.raises(EngineError, match="system"):
        Fake(info={**INFO, "OSType": "windows"}).check().require()


def test_a_driver_that_copies_every_layer_is_noted() -> None:
    found = row(Fake(info={**INFO, "Driver": "vfs"}).check(), "storage driver")
    assert found.ok
    assert "slow" in found.note


def test_a_remote_engines_disk_and_kernel_are_not_mistaken_for_ours() -> None:
    """Its data root is a path on its machine, and its IPVS cannot be known."""
    fake = Fake(engine=REMOTE, free={"/data": 0.0, "/cache": 50.0}, families=set())
    seen = fake.check()
    seen.require()
    assert seen.ipvs is None
    assert [one.name for one in seen.rows if one.name.startswith("disk")] == ["disk of the cache"]
    assert ["modprobe", "--quiet", "ip_vs"] not in fake.ran


def test_an_engine_in_a_virtual_machine_counts_as_remote() -> None:
    """A local socket may lead to another kernel; then ours says nothing about it."""
    assert Fake(info={**INFO, "KernelVersion": "5.15-desktop"}).check().ipvs is None


def test_a_cache_that_is_not_there_yet_is_measured_where_it_will_be() -> None:
    fake = Fake(free={"/data": 50.0, "/": 1.0})
    found = row(fake.check("/cache/not/yet"), "disk of the cache")
    assert (found.value, found.ok) == ("1.0 GiB free at /cache/not/yet", False)


def test_a_missing_module_is_loaded_and_looked_for_once_more() -> None:
    fake = Fake(families=set(), modprobe_adds={"IPVS"})
    assert fake.check().ipvs is True
    assert ["modprobe", "--quiet", "ip_vs"] in fake.ran


@pytest.mark.parametrize("programs", [{"git", "docker"}, {"git", "docker", "modprobe"}])
def test_a_kernel_without_ipvs_is_no_miss(programs: set[str]) -> None:
    """Stacks are adapted to it, aloud; with or without a program to load modules."""
    fake = Fake(families=set(), programs=programs)
    seen = fake.check()
    seen.require()
    assert seen.ipvs is False
    assert row(seen, "IPVS").note


def test_without_root_it_is_only_asked_whether_the_module_could_be_loaded() -> None:
    """The engine loads it by itself; we may not, and must not call it missing."""
    fake = Fake(families=set(), root=False)
    assert fake.check().ipvs is True
    assert ["modprobe", "--dry-run", "--quiet", "ip_vs"] in fake.ran
    fake = Fake(families=set(), root=False, programs={"git", "docker"})
    assert fake.check().ipvs is False


def test_without_netlink_the_file_in_proc_decides(tmp_path: Path) -> None:
    """Sandboxes forbid netlink sockets."""
    there = tmp_path / "ip_vs"
    there.touch()
    assert Fake(netlink=False).check(ip_vs=there).ipvs is True
    assert Fake(netlink=False).check(ip_vs=tmp_path / "none").ipvs is False


def test_an_engine_that_goes_away_is_an_engine_error() -> None:
    fake = Fake()

    def gone() -> Mapping[str, Any]:
        raise docker.errors.DockerException("gone")

    fake.ask = gone  # type: ignore[method-assign]  # it goes away
    with pytest.raises(EngineError, match="went away: gone"):
        fake.check()
