"""The private engine: a dockerd of our own, with its data, socket and log in the cache directory.

It is started once by however many runs race for it, outlives them, and is stopped on request
(`harness.engine.ending`). Two engines in one network namespace delete each other's docker0, so a
second one is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.core import proc
from harness.core.errors import EngineError, WaitTimeoutError
from harness.core.waiting import Deadline, stretched, wait_for
from harness.engine import install, processes
from harness.engine.ending import sweep
from harness.engine.endpoint import DEFAULT_HOST, Engine, probe
from harness.engine.layout import DEFAULT_ENGINE, Paths, link_exists, locked

Say = Callable[[str], None]

START_SECONDS = 90.0
DETAIL_LINES = 15
# For each container, dockerd starts its own program about ten times, and a third of that was the
# collector of Go's memory: with this, a run takes a tenth less of the processor, and dockerd up
# to twice its memory (240 MB in a run, 370 MB after fifty at once).
COLLECT_LATER = "400"  # percent, as GOGC has it; 100 is Go's own
_HOST_CONFIG = Path("/etc/docker/daemon.json")
# What says how networks and registries are reached here, and as whom containers run; where things
# lie is ours to say.
_KEPT_SETTINGS = frozenset(
    {
        "bip",
        "default-address-pools",
        "dns",
        "dns-opts",
        "dns-search",
        "insecure-registries",
        "mtu",
        "proxies",
        "registry-mirrors",
        "userns-remap",
    }
)
# So that no container fills the disk with its log.
_ROTATED_LOGS: Mapping[str, object] = {
    "log-driver": "json-file",
    "log-opts": {"max-size": "50m", "max-file": "2"},
}
_REMEDIES = (
    ("remapped root", "userns-remap needs an open path: set CCCI_CACHE=/var/cache/cc-ci"),
    ("cgroup", "mount the control groups: apt-get install cgroupfs-mount && cgroupfs-mount"),
    ("iptables", "apt-get install iptables; in a container, run it with --privileged"),
    ("apparmor", "apt-get install apparmor"),
    ("permitted", "give this container more rights (--privileged), or set DOCKER_HOST"),
    ("no space left", "free some disk space, or set CCCI_CACHE to a larger disk"),
)


class State(StrEnum):
    """What the private engine can be found in."""

    RUNNING = "running"
    SILENT = "running, but it does not answer"
    STOPPED = "stopped"
    ABSENT = "never started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of the private engine; `pid` is None where it runs out of our sight."""

    state: State
    host: str
    directory: Path
    pid: int | None = None
    version: str = ""

    def __str__(self) -> str:
        """Return the status as the terminal shows it, a few lines."""
        process = f", process {self.pid}" if self.pid else ""
        version = f", version {self.version}" if self.version else ""
        lines = [f"private engine: {self.state}{version}{process}"]
        if self.state is not State.ABSENT:
            lines.append(f"  directory: {self.directory}")
        if self.state is State.RUNNING:
            lines.append(f"  use it by hand: export DOCKER_HOST={self.host}")
        if self.state is State.SILENT:
            lines.append(f"  its log: {self.directory / 'log'}")
        return "\n".join(lines)


def status(cache: Path) -> Status:
    """Return what is known of the cache's private engine, without changing anything."""
    paths = Paths.of(cache)
    pid = paths.dockerd()
    answers = not probe(paths.engine)
    if answers:
        state = State.RUNNING
    elif pid:
        state = State.SILENT
    else:
        state = State.STOPPED if paths.data.is_dir() else State.ABSENT
    version = ""
    if answers:
        client = paths.engine.client(5)
        version = str(client.version()["Version"])
        client.close()
    return Status(
        state=state, host=paths.engine.host, directory=paths.root, pid=pid, version=version
    )


def start(
    cache: Path, *, environment: Mapping[str, str], say: Say, timeout: float = START_SECONDS
) -> Engine:
    """Start the cache's private engine unless it runs, and return it once it answers.

    Raises:
        EngineError: it cannot be started here, or did not answer within `timeout` seconds.
        LockTimeoutError: another run held the start for too long.
    """
    paths = Paths.of(cache)
    if not probe(paths.engine):
        return paths.engine
    with locked(cache, "starting the private engine", say):
        if not probe(paths.engine):
            return paths.engine  # another run was quicker
        refuse_rivals(cache)
        pid = paths.dockerd()
        if pid is None:
            _make_directories(paths)
            sweep(paths)
            say(f"starting a private engine in {paths.root}")
            pid = _launch(paths, environment)
        _await_answer(paths, pid, timeout)
    return paths.engine


def refuse_rivals(cache: Path) -> None:
    """Refuse to go on when another engine runs in this network namespace.

    Raises:
        EngineError: there is one; the hint names its socket.
    """
    what = "a private engine cannot run here: another Docker engine uses this machine's network"
    cause = "two engines in one network namespace delete each other's bridge docker0"
    for rival in processes.rivals(Paths.of(cache).owned):
        host = rival.option("-H", "--host")
        use = f"DOCKER_HOST={host}" if host.startswith("unix://") else "CCCI_ENGINE=auto"
        raise EngineError(
            f"{what} (process {rival.pid})",
            cause=cause,
            hint=f"use that one: set {use}; or stop it first",
            detail=" ".join(rival.argv),
        )
    # Its process may be out of sight, in another process namespace; its bridge is not.
    if link_exists("docker0") and not probe(DEFAULT_ENGINE):
        raise EngineError(
            f"{what} ({DEFAULT_HOST} answers, and docker0 exists)",
            cause=cause,
            hint="use that one: set CCCI_ENGINE=auto; or stop it first",
        )


def _make_directories(paths: Paths) -> None:
    try:
        for directory in (paths.root, paths.runtime):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"{error.filename} cannot be made: {error.strerror}",
            cause="the private engine keeps its data in the cache directory",
            hint="set CCCI_CACHE to a directory on a local disk with room on it",
        ) from error


def _launch(paths: Paths, environment: Mapping[str, str]) -> int:
    with suppress(FileNotFoundError):
        paths.log.replace(paths.log.with_name("log.1"))
    settings = _kept_settings(_HOST_CONFIG)
    paths.config.write_text(json.dumps(settings, indent=2))
    if "userns-remap" in settings:
        paths.root.chmod(0o711)  # root in a container, who is nobody here, passes through it
    program = install.finder(environment)("dockerd")
    if program is None:
        raise EngineError(
            "a private engine cannot be started: there is no program dockerd",
            hint="apt-get install docker.io; or point DOCKER_HOST at an engine",
        )
    argv = ["env", "--chdir=/"]  # a checkout that is removed later must not be its directory
    argv += [program, "--config-file", str(paths.config), "--data-root", str(paths.data)]
    argv += ["--exec-root", str(paths.exec), "--pidfile", str(paths.pidfile)]
    argv += ["-H", paths.engine.host]
    return proc.start_daemon(argv, log=paths.log, env=_daemon_environment(environment))


def _daemon_environment(environment: Mapping[str, str]) -> dict[str, str]:
    # DOCKER_TLS_VERIFY would make dockerd look for certificates; NOTIFY_SOCKET is our caller's. The
    # engine outlives its caller, so it gets neither its marks nor its temporary directory.
    ours = ("DOCKER_", "NOTIFY_", "LISTEN_", "CCCI_", "CC_CI_", "TMPDIR")
    kept = {
        key: value
        for key, value in environment.items()
        if key == "DOCKER_RAMDISK" or not key.startswith(ours)
    }
    return {"GOGC": COLLECT_LATER, **kept, "PATH": install.search_path(environment)}


def _kept_settings(host_config: Path) -> dict[str, object]:
    try:
        settings = json.loads(host_config.read_text())
        kept = {key: value for key, value in settings.items() if key in _KEPT_SETTINGS}
    except (OSError, ValueError, AttributeError):
        kept = {}
    return {**kept, **_ROTATED_LOGS}


def _await_answer(paths: Paths, pid: int, timeout: float) -> None:
    def died(reason: str) -> EngineError | None:
        if not reason or processes.is_running(pid):
            return None
        return _start_error("ended while it was starting", paths)

    try:
        wait_for(
            lambda: probe(paths.engine),
            what="the private engine",
            deadline=Deadline.after(stretched(timeout)),
            ready=lambda reason: not reason,
            failed=died,
        )
    except WaitTimeoutError as error:
        raise _start_error(f"did not answer within {stretched(timeout):g} s", paths) from error


def _start_error(what: str, paths: Paths) -> EngineError:
    try:
        lines = paths.log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    reason = failure_in(lines)
    remedy = next((then for word, then in _REMEDIES if word in reason.lower()), "")
    return EngineError(
        f"the private engine {what}",
        cause=reason,
        hint=f"{remedy or 'point DOCKER_HOST at an engine'}; the whole log is {paths.log}",
        detail="\n".join(lines[-DETAIL_LINES:]),
    )


def failure_in(lines: list[str]) -> str:
    """Return why dockerd says it failed, from the lines of its log, or ""."""
    # The last word of a dockerd that gives up is a bare line; all others carry a time.
    bare = [line for line in lines if line and not line.startswith("time=")]
    if bare:
        return bare[-1]
    severe = re.compile(r"level=(?:fatal|panic|error) msg=\"((?:[^\"\\]|\\.)*)\"")
    said = [found[1] for found in map(severe.search, lines) if found]
    return said[-1].replace('\\"', '"') if said else ""
