"""The swarm that every recipe needs.

It is made when it is missing, once by however many runs race for it, and never changed when it
exists: on an engine that is not ours it may serve somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from harness.core.errors import EngineError, WaitTimeoutError
from harness.core.waiting import SYSTEM_CLOCK, Clock, Deadline, stretched, wait_for
from harness.engine.endpoint import Engine, root_reason
from harness.engine.layout import COMMAND
from harness.locks import file_lock as locks

ADVERTISED = "127.0.0.1"
GATEWAY = "docker_gwbridge"  # how containers on overlay networks reach other machines
# As the engine makes it: docs.docker.com, "Customize the docker_gwbridge interface".
GATEWAY_OPTIONS = {
    "com.docker.network.bridge.name": GATEWAY,
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
}
LOCK = "engine-swarm"
LOCK_SECONDS = 120.0
SETTLE_SECONDS = 30.0

Say = Callable[[str], None]


def ensure_swarm(
    client: docker.DockerClient,
    *,
    engine: Engine,
    cache: Path,
    say: Say,
    clock: Clock = SYSTEM_CLOCK,
) -> bool:
    """Make the engine a manager of a swarm unless it is one; return whether that was needed.

    Args:
        client: a client of the engine.
        engine: the same engine, for messages.
        cache: below it lies the lock that racing runs share.
        say: is told when a swarm is made on an engine that is not ours.
        clock: tests hand in a fake one.

    Raises:
        EngineError: the engine is a worker, or its swarm is locked, broken or without a leader.
        LockTimeoutError: another run held the lock for too long.
    """
    if not _leader_refuses(client, engine):
        return False  # the usual case, for a tenth of what the engine's whole state costs
    if _is_manager(_settled(client, engine, clock), engine):
        _await_leader(client, engine, clock)
        return False
    with _locked(cache, "making a swarm", say):
        if _is_manager(_settled(client, engine, clock), engine):
            return False
        if not engine.private:
            say(f"the engine at {engine.host} is in no swarm: making it a swarm of its own")
        made = _init(client, engine, clock)
        _await_leader(client, engine, clock)
    return made


def _locked(cache: Path, purpose: str, say: Say) -> AbstractContextManager[locks.Held]:
    return locks.hold(cache / "locks", LOCK, purpose=purpose, timeout=LOCK_SECONDS, say=say)


def _ask(call: Callable[[], Any], engine: Engine, doing: str) -> Any:  # noqa: ANN401  SDK data
    try:
        return call()
    except (DockerException, requests.RequestException) as error:
        raise _refused(error, engine, doing) from error


def _refused(error: Exception, engine: Engine, doing: str) -> EngineError:
    return EngineError(
        f"{doing} failed on the engine at {engine.host}",
        cause=_words(error),
        hint=_remedy(engine),
    )


def _words(error: Exception) -> str:
    said = getattr(error, "explanation", None)
    return str(said) if said else root_reason(error)


def _remedy(engine: Engine) -> str:
    if engine.private:
        return f"{COMMAND} purge, and run again: a fresh engine is made"
    return f"DOCKER_HOST={engine.host} docker info; or CCCI_ENGINE=private for an engine of our own"


def _settled(client: docker.DockerClient, engine: Engine, clock: Clock) -> Mapping[str, Any]:
    """Return what the engine says of its swarm, once it has made up its mind."""

    def look() -> Mapping[str, Any]:
        swarm: Mapping[str, Any] = _ask(client.info, engine, "asking for the swarm").get("Swarm")
        return swarm or {}

    try:
        return wait_for(
            look,
            what="the swarm",
            deadline=Deadline.after(stretched(SETTLE_SECONDS), clock),
            ready=lambda swarm: swarm.get("LocalNodeState") != "pending",
            interval=0.1,
        )
    except WaitTimeoutError as error:
        raise EngineError(
            f"the swarm of the engine at {engine.host} was still pending after "
            f"{stretched(SETTLE_SECONDS):g} s",
            cause="it waits for managers that do not answer",
            hint=_remedy(engine),
        ) from error


def _is_manager(swarm: Mapping[str, Any], engine: Engine) -> bool:
    """Return True for a manager and False for an engine in no swarm; refuse all else."""
    state = swarm.get("LocalNodeState") or "inactive"
    if state == "inactive":
        return False
    if state == "active" and swarm.get("ControlAvailable"):
        return True
    if state == "active":
        managers = ", ".join(str(m.get("Addr")) for m in swarm.get("RemoteManagers") or ())
        raise EngineError(
            f"the engine at {engine.host} is a worker of a swarm; stacks are deployed by a manager",
            cause=f"its managers are {managers}" if managers else "",
            hint="set DOCKER_HOST to a manager, or promote this node there: docker node promote",
        )
    if state == "locked":
        raise EngineError(
            f"the swarm of the engine at {engine.host} is locked",
            cause="it was made with --autolock, and the engine was started anew",
            hint=f"DOCKER_HOST={engine.host} docker swarm unlock",
        )
    raise EngineError(
        f"the swarm of the engine at {engine.host} is in the state '{state}'",
        cause=str(swarm.get("Error") or ""),
        hint=_remedy(engine),
    )


def _init(client: docker.DockerClient, engine: Engine, clock: Clock) -> bool:
    doing = "`docker swarm init`"
    try:
        # Else the first containers make it, and two at once, or a full disk, leave half of one,
        # with which no container of any stack starts again (moby issue 19677).
        with suppress(APIError):  # it is there, or the engine makes it in time
            client.networks.create(GATEWAY, driver="bridge", options=GATEWAY_OPTIONS)
        client.swarm.init(advertise_addr=ADVERTISED)
    except APIError as error:
        # Another cache's run has another lock: look whether the same was done meanwhile.
        if _is_manager(_settled(client, engine, clock), engine):
            return False
        raise _refused(error, engine, doing) from error
    except (DockerException, requests.RequestException) as error:
        raise _refused(error, engine, doing) from error
    return True


def _leader_refuses(client: docker.DockerClient, engine: Engine) -> str:
    """Return "" when a leader answers through this engine, else why not."""
    try:
        client.api.inspect_swarm()
    except APIError as error:
        return _words(error)
    except (DockerException, requests.RequestException) as error:
        raise _refused(error, engine, "asking the swarm's leader") from error
    return ""


def _await_leader(client: docker.DockerClient, engine: Engine, clock: Clock) -> None:
    """Wait until the swarm takes orders: an engine that was just started elects a leader first."""
    try:
        wait_for(
            lambda: _leader_refuses(client, engine),
            what="the swarm's leader",
            deadline=Deadline.after(stretched(SETTLE_SECONDS), clock),
            ready=lambda reason: not reason,
            interval=0.1,
        )
    except WaitTimeoutError as error:
        raise EngineError(
            f"the swarm of the engine at {engine.host} has no leader",
            cause=error.detail,
            hint=_remedy(engine),
        ) from error
