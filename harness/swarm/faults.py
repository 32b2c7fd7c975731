"""Whose fault it is: what an exception, the engine's words and a look at the machine say.

A fault of the machine is an *error* and never a verdict on a recipe. The engine's words are
compared with sentences that only a machine which is wrong makes it say; what a recipe can bring
about as well is not among them.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from harness.core.errors import (
    DiskFullError,
    EngineError,
    HarnessError,
    ImageError,
    InternalError,
    TestBedError,
)
from harness.core.model import Outcome
from harness.swarm.nodes import Nodes

# What the SDK raises; while it reads an answer in pieces, the errors of the library below it.
ENGINE_ERRORS = (DockerException, RequestException, HTTPError)
MEBIBYTE = 1024**2
FULL_BYTES = 256 * MEBIBYTE  # a run begins with 2 GiB: with less than this left, anything may fail
FULL_FILES = 1000  # that can still be made
NO_ROOM_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
EXHAUSTED_ERRNOS = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.EROFS)
LOCAL_SOCKET = "http+docker://localhost"  # what the SDK calls an engine behind a Unix socket
LOG = "nox -s engine -- status names the engine's log, which has the last word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that can be wrong with a machine, and the engine's words for it."""

    kind: type[TestBedError]
    words: re.Pattern[str]
    what: str
    cause: str
    hint: str

    def error(self, said: str = "", *, detail: str = "") -> TestBedError:
        """Return the error; `said` are the engine's words, in one line."""
        what = f"{self.what}: {said}" if said else self.what
        return self.kind(what, cause=self.cause, hint=self.hint, detail=detail)


def _fault(kind: type[TestBedError], what: str, words: str, *, cause: str, hint: str) -> Fault:
    pattern = re.compile(words, re.IGNORECASE)
    return Fault(kind=kind, words=pattern, what=what, cause=cause, hint=hint)


NO_ROOM = _fault(
    DiskFullError,
    "no room is left on a disk that the run needs",
    r"no space left on device|disk quota exceeded",
    cause="the disk of the engine or of the cache is full, or a volume that was given a size is",
    hint="make room (docker system df; nox -s reap removes what old runs left), and run again",
)
NO_ADDRESSES = _fault(
    EngineError,
    "the engine has no addresses left for networks",
    r"ip addresses may be exhausted|no available (ipv[46] )?address|predefined address pools"
    r"|non-overlapping ipv4 address pool|could not find an available predefined network"
    r"|failed to allocate (gateway|network ip)|pool overlaps with other one",
    cause="networks that nobody needs any more hold them, or one of another app has the same",
    hint="docker network ls, and docker network prune; nox -s engine -- purge, if it is our own",
)
NO_CREDENTIALS = _fault(
    ImageError,
    "a credential store of the docker configuration cannot be used",
    r"credentials store error|error getting credentials",
    cause="config.json names a program (credsStore, credHelpers) that is missing or fails",
    hint="install that program, or remove its entry from config.json in ~/.docker or DOCKER_CONFIG",
)
# In order: the first whose words are found.
FAULTS = (
    _fault(
        EngineError,
        "the kernel refuses the engine a control group",
        r"cgroup[^ ]*: no space left on device|unable to apply cgroup configuration"
        r"|cannot find cgroup mount|cgroup mountpoint does not exist|cgroup deleted"
        r"|unable to start unit|devices cgroup isn't mounted",
        cause="control groups are not mounted, used up, or another program manages them",
        hint="restart the engine, and look at `docker info` for the cgroup driver",
    ),
    NO_ROOM,
    NO_ADDRESSES,
    NO_CREDENTIALS,
    _fault(
        EngineError,
        "a port of this machine is taken",
        r"port is already allocated|address already in use|host-mode port already in use",
        cause="another app, or another run of this recipe, publishes the same port",
        hint="docker ps and ss -ltnp show whose it is; run recipes with fixed ports one at a time",
    ),
    _fault(
        EngineError,
        "the Swarm has no node that takes the task",
        r"no suitable node",
        cause="the recipe asks for more processors, memory, nodes or labels than this Swarm has",
        hint="docker node inspect self; use a larger machine, or give the node what is asked for",
    ),
    _fault(
        ImageError,
        "an image is gone that was there before the deploy",
        r"no such image",
        cause="something on this machine removes images while a run needs them",
        hint="stop what runs `docker image prune` or `docker system prune`, and run again",
    ),
    _fault(
        EngineError,
        "something of the app was removed under it",
        r"no such container|no such volume|(could not find|failed to find) network"
        r"|network \S+ not found|could not find the network",
        cause="something on this machine removes containers, networks or volumes",
        hint="stop what runs `docker system prune` or `docker rm`, and run again",
    ),
    _fault(
        TestBedError,
        "a path of the host that the recipe mounts, as it may, does not exist",
        r"bind source path does not exist|failed to mount local volume.*no such file or directory"
        r"|error while creating mount source path",
        cause="HOST_ACCESS or --trust allows the path, and the engine's machine lacks it",
        hint="make it on that machine, as an operator of the recipe does; or correct the path",
    ),
    _fault(
        TestBedError,
        "a volume that lies on another machine cannot be mounted",
        r"failed to mount local volume.*(no such device|unknown filesystem|refused|timed out"
        r"|unreachable|no route to host|host is down|not permitted)",
        cause="the file server that the recipe names is not in reach, or this kernel cannot ask it",
        hint="mount it by hand; test the recipe where its file server can be reached",
    ),
    _fault(
        TestBedError,
        "the log server that the recipe names is not in reach",
        r"failed to initialize logging driver.*(refused|timed? ?out|unreachable|no such host"
        r"|no route to host)",
        cause="`logging:` in the compose file sends the service's log to another machine",
        hint="test it where that server can be reached, or without `logging:`",
    ),
    _fault(
        EngineError,
        "no plugin of this machine provides a driver that the recipe names",
        r"could not find plugin|plugin \"[^\"]+\" not found"
        r"|error looking up (network|volume|logging) plugin",
        cause="`driver:` of a network or a volume names a plugin that is not installed here",
        hint="docker plugin install; or correct the name",
    ),
    _fault(
        EngineError,
        "the engine could not make a network connection for a container",
        r"error creating vxlan|sandbox join failed|failed to create endpoint|network sandbox"
        r"|operation not supported.*(veth|vxlan)|failed to (add|create) (the )?(veth|bridge)"
        r"|failed to add (the host|interface) |endpoint with name .* already exists"
        r"|(programming|creating) external connectivity|networks have same bridge name"
        r"|iptables failed|failed to setup ip tables|conflicts with existing route"
        r"|unable to complete atomic operation",
        cause="the kernel lacks a module, or keeps what an engine that died has left",
        hint=f"restart the engine, or the machine; {LOG}",
    ),
    _fault(
        EngineError,
        "the engine's own storage is damaged, or its disk fails",
        r"error creating overlay mount|layer does not exist|structure needs cleaning"
        r"|input/output error|thin pool has|/(overlay2|containers)/[^:]*: read-only file system"
        r"|evaluating symlinks from mount source",
        cause="the disk has errors, files of the engine were removed, or it was stopped by force",
        hint=f"dmesg | tail; {LOG}; nox -s engine -- purge makes a new one, if it is our own",
    ),
    _fault(
        TestBedError,
        "this machine has run out of memory, processes or open files",
        r"cannot allocate memory|resource temporarily unavailable|too many open files"
        r"|fatal error: out of memory",
        cause="other programs use them up, or a limit of this machine is low",
        hint="free -m; ulimit -a; run fewer things at the same time",
    ),
    _fault(
        EngineError,
        "the engine's own runtime failed",
        r"runc did not terminate|unable to retrieve oci runtime error|failed to start (the )?shim"
        r"|exec: \"(runc|containerd-shim[^\"]*)\": |ttrpc: closed|containerd[^ ]*\.sock"
        r"|unknown (or invalid )?runtime|unavailable: connection error|already exists: unknown"
        r"|container with (the )?(given )?id (already )?exists|final child's pid from pipe"
        r"|container name \S+ is already in use|loading seccomp filter|apply apparmor profile"
        r"|error mounting \"cgroup\"|nvidia-container-cli",
        cause="containerd or runc crashed, was replaced, does not fit this kernel, or kept a name",
        hint=f"restart the engine; {LOG}",
    ),
    _fault(
        EngineError,
        "the engine does not keep up, or went away",
        r"cannot connect to the docker daemon|error during connect|connection refused"
        r"|connection reset by peer|broken pipe|i/o timeout|tls handshake timeout"
        r"|deadline exceeded|context canceled|request canceled|permission denied while trying to"
        r"|does not have a leader|not a swarm manager|not part of a swarm|update out of sequence"
        r"|node is down|node is not ready|heartbeat failure|swarm is encrypted|raft: "
        r"|transport is closing|code = (unavailable|resourceexhausted)|/swarm/certificates",
        cause="it was stopped or restarted, it is overloaded, or its Swarm has no leader",
        hint=LOG,
    ),
)


def fault_in(said: str) -> Fault | None:
    """Return what is wrong with the machine if the engine's words mean that, else None."""
    return next((fault for fault in FAULTS if fault.words.search(said)), None)


def as_harness_error(error: Exception) -> HarnessError:
    """Return the error itself when it is ours, else the one of ours that says what it means.

    An engine that does not answer, or a full disk, is the test bed's fault and says nothing about
    the recipe. Anything unforeseen is a fault of the harness, and is never taken for a verdict. An
    error of ours whose details tell of a full disk becomes one that names it, unless it is a
    verdict: an app may fill a disk of its own.
    """
    said = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, HarnessError):
        full = error.outcome is Outcome.ERROR and NO_ROOM.words.search(str(error))
        if full and not isinstance(error, DiskFullError):
            return NO_ROOM.error(error.what, detail=error.detail or error.cause)
        return error
    number = getattr(error, "errno", None)
    if NO_ROOM.words.search(said) or number in NO_ROOM_ERRNOS:
        return NO_ROOM.error(said)
    if isinstance(error, ENGINE_ERRORS):
        return _engine_error(error, said)
    if isinstance(error, MemoryError) or number in EXHAUSTED_ERRNOS:
        return TestBedError(
            f"this machine does not give the harness what it needs: {said}",
            cause="memory, processes or open files have run out, or a disk is broken",
            hint="free -m; ulimit -a; dmesg | tail",
        )
    return InternalError(
        f"the harness itself failed: {said}",
        cause="a fault in cc-ci, not in the recipe",
        hint="please report it, with the lines below",
        detail="".join(traceback.format_exception(error)),
    )


def _engine_error(error: Exception, said: str) -> TestBedError:
    # The SDK's own errors are errors of requests, too; those are answers.
    if not isinstance(error, DockerException):
        return EngineError(
            f"the engine does not answer: {said}",
            cause="it was stopped, killed or restarted, or it is overloaded",
            hint=LOG,
        )
    if fault := fault_in("no such image" if isinstance(error, ImageNotFound) else said):
        return fault.error(said)
    return EngineError(
        f"the engine did not do what it was asked: {said}",
        cause="it was stopped or restarted, it is overloaded, or it refuses",
        hint=LOG,
    )


def spoiled(nodes: Nodes) -> TestBedError | None:
    """Return what is wrong with the machine right now, if that makes any failure on it worthless.

    Looked at before something is called *failed*: an app that has no room to write, or whose
    engine went away under it, fails in words of its own.

    Args:
        nodes: the engines of the Swarm's nodes; each that was ready at the start has to be.
    """
    client = nodes.client
    try:
        info: Mapping[str, Any] = client.info()
    except ENGINE_ERRORS as error:
        return _engine_error(error, "".join(traceback.format_exception_only(error)).strip())
    swarm: Mapping[str, Any] = info.get("Swarm") or {}
    if swarm.get("LocalNodeState") != "active" or not swarm.get("ControlAvailable"):
        return EngineError(
            "the engine is no manager of a Swarm any more",
            cause=str(swarm.get("Error") or "") or "it left its Swarm while the run went on",
            hint="docker info shows its state; the next run makes a Swarm again",
        )
    try:
        gone = nodes.gone()
    except ENGINE_ERRORS as error:
        return _engine_error(error, "".join(traceback.format_exception_only(error)).strip())
    if gone or nodes.events.restarted:
        return gone or EngineError(
            "an engine of the Swarm was restarted while the run went on",
            cause="the containers that it stopped with it end as if by themselves",
            hint="look who restarts it, and run again",
        )
    return _full_disk(client, info)


def _full_disk(client: docker.DockerClient, info: Mapping[str, Any]) -> DiskFullError | None:
    """Look at the engine's disk, where it is a disk of this machine."""
    here = client.api.base_url == LOCAL_SOCKET and info.get("KernelVersion") == platform.release()
    root = Path(str(info.get("DockerRootDir") or ""))
    if not here or not root.is_absolute():
        return None
    with suppress(OSError):  # only root may look into it
        room = os.statvfs(root)
        free = room.f_bavail * room.f_frsize
        no_files = bool(room.f_files) and room.f_favail < FULL_FILES
        if free < FULL_BYTES or no_files:
            left = f"{room.f_favail} more files" if no_files else f"{free // MEBIBYTE} MiB"
            return DiskFullError(
                f"the engine's disk is full: room for {left} is left at {root}",
                cause=NO_ROOM.cause,
                hint=NO_ROOM.hint,
            )
    return None
