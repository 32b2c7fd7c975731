"""What a run needs of this machine and its engine, looked at in one go and named all at once.

Each run pays for it, so it asks the engine one question and starts two short programs, at the same
time.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from harness.core import capacity, proc
from harness.core.errors import DiskFullError, EngineError, ProcessError, TestBedError
from harness.core.waiting import stretched
from harness.engine import install
from harness.engine.endpoint import Engine, root_reason

GIB = 1024**3
DEFAULT_GIB = 2.0
OLDEST_ENGINE = (20, 10)
TOOL_SECONDS = 10.0
_NETLINK_GENERIC = 16  # linux/netlink.h; the socket module does not name it
_NLCTRL = 16  # the family that knows the other families: GENL_ID_CTRL


class Concern(StrEnum):
    """What a row is about, which decides the kind of error when it is a miss."""

    HOST = "host"
    ENGINE = "engine"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was looked at: what it is, and whether that will do."""

    name: str
    value: str
    ok: bool = True
    note: str = ""
    concern: Concern = Concern.ENGINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """All rows, and the facts that others decide by.

    `ipvs` says whether the engine's kernel can balance a service's virtual address, and is None
    where that cannot be known: the engine has a kernel of its own.
    """

    rows: tuple[Row, ...]
    ipvs: bool | None
    engine_version: str

    @property
    def misses(self) -> tuple[Row, ...]:
        """Return the rows that will not do."""
        return tuple(row for row in self.rows if not row.ok)

    def lines(self) -> list[str]:
        """Return the rows as the terminal shows them, one line each."""
        return [_line(row) for row in self.rows]

    def require(self) -> None:
        """Return when a run can start here.

        Raises:
            DiskFullError: there is too little room, and nothing else is wrong.
            EngineError: the engine will not do, and nothing else is wrong.
            TestBedError: something else, or more than one of these; all are named.
        """
        misses = self.misses
        if not misses:
            return
        concerns = {row.concern for row in misses}
        kind: type[TestBedError] = TestBedError
        if concerns == {Concern.DISK}:
            kind = DiskFullError
        elif concerns == {Concern.ENGINE}:
            kind = EngineError
        raise kind(
            f"this machine is not fit for a run: {', '.join(row.name for row in misses)}",
            hint="; ".join(dict.fromkeys(row.note for row in misses if row.note)),
            detail="\n".join(f"{row.name}: {row.value}" for row in misses),
        )


def has_netlink_family(name: str) -> bool:
    """Return whether the kernel has a generic netlink family of that name.

    The question is CTRL_CMD_GETFAMILY to the family "nlctrl", as in netlink(7) and
    linux/genetlink.h; no rights are needed for it.

    Raises:
        OSError: this kernel or sandbox has no generic netlink.
    """
    word = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(word), 2) + word + bytes(-len(word) % 4)
    request = struct.pack("=BBH", 3, 1, 0) + attribute
    header = struct.pack("=IHHII", 16 + len(request), _NLCTRL, 1, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as stream:
        stream.settimeout(1.0)
        stream.bind((0, 0))
        stream.send(header + request)
        _, kind, *_ = struct.unpack_from("=IHHII", stream.recv(65536))
    return bool(kind == _NLCTRL)  # "no such family" comes as an error message instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is asked of this machine; tests hand in another."""

    run: Callable[..., proc.Completed] = proc.run
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0
    kernel: Callable[[], str] = platform.release
    free_bytes: Callable[[Path], int] = capacity.free_at
    has_family: Callable[[str], bool] = has_netlink_family
    ip_vs: Path = Path("/proc/net/ip_vs")


def check(
    client: docker.DockerClient,
    engine: Engine,
    *,
    cache: Path,
    needed_gib: float = DEFAULT_GIB,
    environment: Mapping[str, str] | None = None,
    host: Host | None = None,
) -> Preflight:
    """Look at everything a run needs, and return what was seen; a miss raises nothing here.

    Args:
        client: a client of the engine.
        engine: the same engine.
        cache: the directory in which runs keep their files; it need not exist yet.
        needed_gib: the room that must be free, in GiB.
        environment: the user's environment variables; None means this process's.
        host: what is asked of this machine; None means this one.

    Raises:
        EngineError: the engine did not say what it is.
    """
    host = host or Host()
    environment = os.environ if environment is None else environment
    with ThreadPoolExecutor(max_workers=2) as pool:
        git = pool.submit(_tool, "git", "apt-get install git", host, environment)
        cli = pool.submit(_tool, "docker", "apt-get install docker.io", host, environment)
        info = _info(client, engine)
        ipvs = _ipvs(info, engine, host, environment)
        rows = [_python(), git.result(), cli.result()]
    rows += _engine_rows(info, client.api.api_version)
    rows += _disk_rows(info, engine, cache, needed_gib, host)
    rows += [_memory(info), _ipvs_row(ipvs), _kernel(info)]
    return Preflight(rows=tuple(rows), ipvs=ipvs, engine_version=str(info.get("ServerVersion")))


def _line(row: Row) -> str:
    note = f"  ({row.note})" if row.note else ""
    return f"{'ok  ' if row.ok else 'MISS'}  {row.name:<20}  {row.value}{note}"


def _info(client: docker.DockerClient, engine: Engine) -> Mapping[str, Any]:
    try:
        info: Mapping[str, Any] = client.info()
    except (DockerException, requests.RequestException) as error:
        raise EngineError(
            f"the engine at {engine.host} ({engine.origin}) went away: {root_reason(error)}",
            hint=f"ask it yourself: DOCKER_HOST={engine.host} docker info",
        ) from error
    return info


def _python() -> Row:
    return Row(name="python", value=platform.python_version(), concern=Concern.HOST)


def _tool(name: str, remedy: str, host: Host, environment: Mapping[str, str]) -> Row:
    try:
        said = host.run(
            [name, "--version"], timeout=stretched(TOOL_SECONDS), env=environment
        ).stdout
    except ProcessError as error:
        return Row(name=name, value=error.what, ok=False, note=remedy, concern=Concern.HOST)
    found = re.search(r"\d+(?:\.\d+)+", said)
    value = found[0] if found else said.strip()
    return Row(name=name, value=value, concern=Concern.HOST)


def _engine_rows(info: Mapping[str, Any], api: str) -> Iterator[Row]:
    version = str(info.get("ServerVersion"))
    new = _version(version) >= OLDEST_ENGINE
    oldest = ".".join(f"{part:02}" for part in OLDEST_ENGINE)
    yield Row(
        name="engine",
        value=f"{version}, API {api}",
        ok=new,
        note="" if new else f"an engine of version {oldest} or later is needed",
    )
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    if rootless:
        note = "Docker supports no overlay networks in rootless mode, and may ignore limits there: "
        note += "see docs/isolation.md"
        yield Row(name="rootless", value="yes", ok=False, note=note)
    driver = str(info.get("Driver"))
    slow = "every layer is a full copy: slow, and needs much room" if driver == "vfs" else ""
    yield Row(name="storage driver", value=driver, note=slow)
    yield Row(
        name="control groups",
        value=f"version {info.get('CgroupVersion') or 1}, driver {info.get('CgroupDriver')}",
    )
    yield _swarm(info.get("Swarm") or {})


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _swarm(swarm: Mapping[str, Any]) -> Row:
    state = str(swarm.get("LocalNodeState") or "inactive")
    manager = bool(swarm.get("ControlAvailable"))
    if state == "active":
        value = "active, manager" if manager else "active, worker"
        note = "" if manager else "set DOCKER_HOST to a manager of this swarm"
        return Row(name="swarm", value=value, ok=manager, note=note)
    if state == "inactive":
        return Row(name="swarm", value=state, note="it is made before the first deployment")
    note = str(swarm.get("Error") or "") or "docker swarm unlock, or docker swarm leave --force"
    return Row(name="swarm", value=state, ok=state == "pending", note=note)


def _disk_rows(
    info: Mapping[str, Any], engine: Engine, cache: Path, needed_gib: float, host: Host
) -> Iterator[Row]:
    root = engine_data(info, engine, host)
    if root is not None:
        yield _disk("disk of the engine", root, needed_gib, "docker system prune", host)
    yield _disk("disk of the cache", cache, needed_gib, "set CCCI_CACHE to a larger disk", host)


def engine_data(info: Mapping[str, Any], engine: Engine, host: Host | None = None) -> Path | None:
    """Return the engine's data directory, or None when it does not lie on this machine."""
    root = Path(str(info.get("DockerRootDir") or ""))
    ours = _shares_kernel(info, engine, host or Host()) and root.is_absolute()
    return root if ours else None


def _disk(name: str, path: Path, needed_gib: float, remedy: str, host: Host) -> Row:
    free = capacity.free_bytes(path, host.free_bytes)
    if free is None:
        return Row(name=name, value=f"unknown at {path}", concern=Concern.DISK)
    ok = free / GIB >= needed_gib
    return Row(
        name=name,
        value=f"{free / GIB:.1f} GiB free at {path}",
        ok=ok,
        note="" if ok else f"{needed_gib:g} GiB are needed: {remedy}",
        concern=Concern.DISK,
    )


def _memory(info: Mapping[str, Any]) -> Row:
    total = float(info.get("MemTotal") or 0) / GIB
    return Row(name="memory", value=f"{total:.1f} GiB, {info.get('NCPU')} processors")


def _shares_kernel(info: Mapping[str, Any], engine: Engine, host: Host) -> bool:
    # An engine behind a local socket may still live in a virtual machine with its own kernel.
    return engine.local and info.get("KernelVersion") == host.kernel()


def _ipvs(
    info: Mapping[str, Any], engine: Engine, host: Host, environment: Mapping[str, str]
) -> bool | None:
    if not _shares_kernel(info, engine, host):
        return None
    if _has_ipvs(host):
        return True
    # dockerd loads the module when it first needs it; without root, only whether it could is known.
    argv = ["modprobe", "--quiet", "ip_vs"]
    if not host.is_root():
        argv.insert(1, "--dry-run")
    path = {**environment, "PATH": install.search_path(environment)}
    try:
        host.run(argv, timeout=stretched(TOOL_SECONDS), env=path)
    except ProcessError:
        return False
    return _has_ipvs(host) or not host.is_root()


def _has_ipvs(host: Host) -> bool:
    with suppress(OSError):
        return host.has_family("IPVS")
    return host.ip_vs.exists()


def _ipvs_row(ipvs: bool | None) -> Row:  # noqa: FBT001  one argument, and three values
    if ipvs is None:
        return Row(name="IPVS", value="unknown", note="the engine has another kernel than we do")
    note = "" if ipvs else "services are reached without virtual addresses; said in each report"
    return Row(name="IPVS", value="yes" if ipvs else "no", note=note)


def _kernel(info: Mapping[str, Any]) -> Row:
    linux = info.get("OSType") == "linux"
    return Row(
        name="system",
        value=f"{info.get('OperatingSystem')}, kernel {info.get('KernelVersion')}",
        ok=linux,
        note="" if linux else "recipes are made of Linux containers",
    )
