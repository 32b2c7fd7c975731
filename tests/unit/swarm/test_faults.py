"""Whatever was raised has its word: the machine's fault, the harness's, or what it was before."""

import errno
import os
import platform
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout
from urllib3.exceptions import ProtocolError

from harness.core.errors import (
    AbortedError,
    BackupError,
    DiskFullError,
    EngineError,
    ExecFailedError,
    HarnessError,
    ImageError,
    InternalError,
    SourceError,
    TestBedError,
)
from harness.core.model import Outcome
from harness.swarm.faults import (
    FULL_BYTES,
    FULL_FILES,
    LOCAL_SOCKET,
    as_harness_error,
    fault_in,
    spoiled,
)
from harness.swarm.nodes import Nodes

NO_ROOM = "write /var/lib/x: no space left on device"


@pytest.mark.parametrize("error", [BackupError("b"), AbortedError("a"), EngineError("e")])
def test_our_own_errors_are_left_alone(error: HarnessError) -> None:
    """The very same object: its cause and hint belong to it."""
    assert as_harness_error(error) is error


@pytest.mark.parametrize(
    "error",
    [
        TestBedError("restic failed", detail=NO_ROOM),
        SourceError("it cannot be cloned", cause=NO_ROOM),
        EngineError(f"the secret could not be created: {NO_ROOM}"),
    ],
)
def test_an_error_that_tells_of_a_full_disk_names_it(error: HarnessError) -> None:
    """Whoever raised it, and wherever in it that stands: the remedy is to make room."""
    got = as_harness_error(error)
    assert type(got) is DiskFullError
    assert error.what in got.what
    assert NO_ROOM in str(got)
    assert got.exit_code == 3
    assert as_harness_error(got) is got


@pytest.mark.parametrize(
    "error", [BackupError("b", detail=NO_ROOM), ExecFailedError("e", detail=NO_ROOM)]
)
def test_what_an_app_says_of_a_full_disk_decides_nothing(error: HarnessError) -> None:
    """It may have filled one of its own, of the size that the recipe gave it."""
    assert as_harness_error(error) is error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (APIError("500 Server Error"), "did not do what it was asked"),
        (NotFound("404"), "did not do what it was asked"),
        (DockerException("while fetching server API version"), "did not do what it was asked"),
        (RequestsConnectionError("refused"), "does not answer"),
        (ReadTimeout("timed out"), "does not answer"),
        (ProtocolError("Connection broken"), "does not answer"),
    ],
)
def test_an_engine_that_does_not_answer_is_the_machines_fault(error: Exception, words: str) -> None:
    """An app's verdict must not hang on it; a refusal is told from silence."""
    got = as_harness_error(error)
    assert type(got) is EngineError
    assert words in got.what
    assert str(error) in got.what
    assert got.hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ImageNotFound("404", explanation="no such thing"), ImageError),
        (APIError("500", explanation="cannot allocate memory"), TestBedError),
        (APIError("503", explanation="The swarm does not have a leader."), EngineError),
    ],
)
def test_the_engines_refusals_have_their_reason(error: Exception, kind: type[HarnessError]) -> None:
    """Not just that it refused."""
    got = as_harness_error(error)
    assert type(got) is kind
    assert "did not do" not in got.what


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "translated words"),
        OSError(errno.EDQUOT, "quota"),
        APIError("500", explanation=NO_ROOM),
        RuntimeError("No Space Left On Device"),
    ],
)
def test_a_full_disk_is_told_from_all_else(error: Exception) -> None:
    """Whoever reports it: the remedy is to make room, and the message says so."""
    got = as_harness_error(error)
    assert type(got) is DiskFullError
    assert "reap" in got.hint


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "x")]
)
def test_a_machine_that_has_run_out_of_something_is_to_blame(error: Exception) -> None:
    """Nobody has to report that as a fault of the harness."""
    assert type(as_harness_error(error)) is TestBedError


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EACCES, "no"), AssertionError()])
def test_what_nobody_foresaw_is_never_a_verdict(error: Exception) -> None:
    """A fault of the harness is an *error*, and its traceback is kept for whoever mends it."""
    try:
        raise error
    except type(error) as raised:
        got = as_harness_error(raised)
    assert type(got) is InternalError
    assert got.outcome is Outcome.ERROR
    assert type(error).__name__ in got.what
    assert "test_faults.py" in got.detail


START = "starting container failed: "
CREATE = "failed to create shim task: OCI runtime create failed: "
RUNC = f"{START}{CREATE}runc create failed: "


NETWORK = (
    f"{START}error creating external connectivity network: cannot create network a37e",
    "conflicts with network 643e (docker_gwbridge): networks have same bridge name",
    "Unable to enable DROP INCOMING rule: (iptables failed: iptables -t filter: exit status 4)",
    f"{START}failed to set up container networking: Failed to Setup IP tables: Unable to enable",
    "failed to add the host (veth1) <=> sandbox (veth3) pair interfaces: operation not supported",
    "cannot program address 10.0.1.3/24 in sandbox interface: it conflicts with existing route",
    "endpoint with name s_app.1.x already exists in network s_default",
    "Unable to complete atomic operation, key modified",
)
STORAGE = (
    "error creating overlay mount to /data/overlay2/abc/merged: no such file or directory",
    "layer does not exist",
    "mkdir /data/overlay2/abc-init: read-only file system",
    "mkdir /data/containers/abc: input/output error",
    'error evaluating symlinks from mount source "/data/volumes/x/_data": lstat: no such file',
)
RUNTIME = (
    f"{RUNC}unable to start container process: can't get final child's PID from pipe: EOF",
    f"{CREATE}error loading seccomp filter into kernel: errno 524",
    f"{CREATE}apply apparmor profile: apparmor failed to apply profile: no such file or directory",
    f"{CREATE}container with id exists: unknown",
    "failed to create task for container: AlreadyExists: task 12: already exists: unknown",
    'Conflict. The container name "/s_app.1.x" is already in use by container "0a1b"',
)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("mkdir /data/overlay2/237c-init: no space left on device", DiskFullError, "no room"),
        ("write /x: disk quota exceeded", DiskFullError, "no room"),
        (f"{RUNC}mkdir /sys/fs/cgroup/memory/docker/1: no space left on device", EngineError,
         "control group"),
        (f"{RUNC}unable to apply cgroup configuration: EBUSY", EngineError, "control group"),
        ("cgroups: cannot find cgroup mount destination: unknown", EngineError, "control group"),
        ("node is missing network attachments, ip addresses may be exhausted", EngineError,
         "addresses"),
        ("could not find an available, non-overlapping IPv4 address pool among the defaults",
         EngineError, "addresses"),
        ("all predefined address pools have been fully subnetted", EngineError, "addresses"),
        ("failed to allocate gateway (10.0.1.1): Address already in use", EngineError, "addresses"),
        ("Pool overlaps with other one on this address space", EngineError, "addresses"),
        ("Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
         EngineError, "port"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", EngineError, "port"),
        ("no suitable node (host-mode port already in use on 1 node)", EngineError, "port"),
        ("no suitable node (insufficient resources on 1 node)", EngineError, "no node"),
        ("no suitable node (1 node not available for new tasks)", EngineError, "no node"),
        ("no suitable node (unsupported platform on 1 node)", EngineError, "no node"),
        ("No such image: localhost/cc-ci/nginx:1.27.4", ImageError, "image is gone"),
        ("No such container: 8e0af361dcb8", EngineError, "removed under it"),
        ("get made_content: no such volume", EngineError, "removed under it"),
        ("could not find network proxy", EngineError, "removed under it"),
        ('invalid mount config for type "bind": bind source path does not exist: /srv/x',
         TestBedError, "path of the host"),
        ("failed to mount local volume: mount /srv/x:/data/v/_data: no such file or directory",
         TestBedError, "path of the host"),
        ("failed to mount local volume: mount :/x:/data, data: addr=10.0.0.9: no such device",
         TestBedError, "another machine"),
        ("failed to initialize logging driver: dial tcp 10.0.0.9:514: connect: connection refused",
         TestBedError, "log server"),
        *((said, EngineError, "network connection") for said in NETWORK),
        *((said, EngineError, "storage") for said in STORAGE),
        *((said, EngineError, "own runtime") for said in RUNTIME),
        ("subnet sandbox join failed: error creating vxlan interface: file exists", EngineError,
         "network connection"),
        ('could not find plugin weave in v1 plugin registry: plugin "weave" not found',
         EngineError, "no plugin"),
        ('error looking up volume plugin rexray: plugin "rexray" not found', EngineError,
         "no plugin"),
        ("fork/exec /usr/bin/runc: cannot allocate memory", TestBedError, "memory"),
        ("fork/exec /proc/self/exe: resource temporarily unavailable", TestBedError, "processes"),
        (f"{CREATE}unable to retrieve OCI runtime error (open /run/x: no such file or directory)",
         EngineError, "own runtime"),
        (f'{CREATE}exec: "runc": executable file not found in $PATH', EngineError, "own runtime"),
        ("failed to start shim: start failed: exit status 1", EngineError, "own runtime"),
        ("ttrpc: closed: unknown", EngineError, "own runtime"),
        ("unknown or invalid runtime name: nvidia", EngineError, "own runtime"),
        (f"{CREATE.removesuffix('OCI runtime create failed: ')}context deadline exceeded: unknown",
         EngineError, "does not keep up"),
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", EngineError,
         "does not keep up"),
        ("rpc error: code = Unavailable desc = transport is closing: connection reset by peer",
         EngineError, "does not keep up"),
        ('heartbeat failure for node in "unknown" state', EngineError, "does not keep up"),
    ],
)  # fmt: skip
def test_the_engines_words_that_accuse_the_machine(
    said: str, kind: type[TestBedError], words: str
) -> None:
    """Whatever recipe was deployed; with advice."""
    fault = fault_in(said)
    assert fault is not None
    error = fault.error(f"app: {said}")
    assert type(error) is kind
    assert words in error.what
    assert said in error.what
    assert error.cause
    assert error.hint


@pytest.mark.parametrize(
    "said",
    [
        "",
        "task: non-zero exit (1)",
        "task: non-zero exit (137): dockerexec: unhealthy container",
        f'{RUNC}exec: "no-such": executable file not found in $PATH: unknown',
        f'{RUNC}unable to start container process: exec: "/etc/hostname": permission denied',
        f'{RUNC}error mounting "/data/configs/1" to rootfs at "/etc/nginx": not a directory',
        f"{RUNC}container init was OOM-killed (memory limit too low?)",
        f'{RUNC}error mounting "/data/volumes/x/_data" to rootfs at "/x": read-only file system',
        f"{RUNC}exec /entrypoint.sh: exec format error",
        "failed to mount local volume: mount tmpfs:/data, data: sise=1m: invalid argument",
        'network "inner" is declared as external, but could not be found',
        "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component",
        "services.app.command contains an invalid type, it should be a string",
    ],
)
def test_what_a_recipe_can_bring_about_accuses_no_machine(said: str) -> None:
    """Else a broken recipe would never be *failed*."""
    assert fault_in(said) is None


INFO: dict[str, Any] = {
    "KernelVersion": platform.release(),
    "DockerRootDir": "/data",
    "Swarm": {"LocalNodeState": "active", "ControlAvailable": True},
}
Bench = Callable[..., Nodes]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """What makes the only node of a Swarm: what its engine says of itself, and its disk's room."""

    def make(
        said: dict[str, Any] | Exception,
        *,
        free: int = 2 * FULL_BYTES,
        files: int = 2 * FULL_FILES,
        url: str = LOCAL_SOCKET,
    ) -> Nodes:
        def info() -> dict[str, Any]:
            if isinstance(said, Exception):
                raise said
            return said

        def statvfs(path: object) -> object:
            assert str(path) == "/data"
            return SimpleNamespace(
                f_bavail=free // 4096, f_frsize=4096, f_files=10**6, f_favail=files
            )

        monkeypatch.setattr(os, "statvfs", statvfs)
        client: Any = SimpleNamespace(info=info, api=SimpleNamespace(base_url=url))
        return Nodes(client=client, own="n")

    return make


def test_a_machine_that_is_well_spoils_nothing(bench: Bench) -> None:
    """The usual case: a failure is then the recipe's own."""
    assert spoiled(bench(INFO)) is None


def test_an_engine_that_was_restarted_spoils_every_verdict(bench: Bench) -> None:
    """An app that it stopped with it ended with code 0, and may not be started again."""
    nodes = bench(INFO)
    nodes.events.restarted = True
    got = spoiled(nodes)
    assert isinstance(got, EngineError)
    assert "was restarted" in got.what


@pytest.mark.parametrize(
    ("said", "room", "kind", "words"),
    [
        (RequestsConnectionError("refused"), {}, EngineError, "does not answer"),
        (APIError("500"), {}, EngineError, "did not do"),
        ({**INFO, "Swarm": {"LocalNodeState": "inactive"}}, {}, EngineError, "no manager"),
        ({**INFO, "Swarm": {"LocalNodeState": "active"}}, {}, EngineError, "no manager"),
        (INFO, {"free": FULL_BYTES - 4096}, DiskFullError, "255 MiB"),
        (INFO, {"files": FULL_FILES - 1}, DiskFullError, "999 more files"),
    ],
)
def test_a_machine_that_is_not_spoils_every_verdict(
    bench: Bench,
    said: dict[str, Any] | Exception,
    room: dict[str, int],
    kind: type[HarnessError],
    words: str,
) -> None:
    """An app without room to write fails in words of its own."""
    got = spoiled(bench(said, **room))
    assert got is not None
    assert type(got) is kind
    assert words in got.what
    assert (got.outcome, got.exit_code) == (Outcome.ERROR, 3)


@pytest.mark.parametrize(
    ("said", "url"),
    [
        (INFO, "http://10.0.0.9:2375"),
        ({**INFO, "KernelVersion": "another"}, LOCAL_SOCKET),
        ({**INFO, "DockerRootDir": ""}, LOCAL_SOCKET),
    ],
)
def test_another_machines_disk_is_not_looked_for_here(
    bench: Bench, said: dict[str, Any], url: str
) -> None:
    """A directory of that name may well be here, on a disk that has nothing to do with it."""
    assert spoiled(bench(said, free=0, url=url)) is None
