"""The swarm, made by a strict fake of the engine: no engine, no clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError

from harness.core.errors import EngineError
from harness.engine.endpoint import Engine
from harness.engine.swarm import GATEWAY, ensure_swarm
from tests.unit.fake_clock import FakeClock

OURS = Engine(host="unix:///c/docker.sock", origin="private", private=True)
THEIRS = Engine(host="tcp://192.0.2.1:2375", origin="DOCKER_HOST")
MANAGER = {"LocalNodeState": "active", "ControlAvailable": True}
INACTIVE = {"LocalNodeState": "inactive", "ControlAvailable": False}
PENDING = {"LocalNodeState": "pending"}


def refused(status: int, words: str) -> APIError:
    """Return the error of the SDK for an answer that is not 200."""
    response = requests.Response()
    response.status_code = status
    return APIError("server error", response=response, explanation=words)


class FakeSwarm:
    """A client of the SDK with as much of an engine as it may ask for."""

    def __init__(self, swarm: dict[str, Any]) -> None:
        self.state = swarm
        self.leader = True
        self.has_gateway = False
        self.init_fails: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.infos = 0
        self.api = self
        self.swarm = self
        self.networks = self

    @property
    def client(self) -> docker.DockerClient:
        """Return itself, as what it stands for."""
        return cast("docker.DockerClient", self)

    def info(self) -> dict[str, Any]:
        """Return what `docker info` would."""
        self.infos += 1
        return {"Swarm": self.state}

    def inspect_swarm(self) -> dict[str, Any]:
        """Return the swarm, if this is a manager with a leader."""
        if self.state != MANAGER:
            raise refused(503, "This node is not a swarm manager.")
        if not self.leader:
            raise refused(503, "The swarm does not have a leader.")
        return {"ID": "x"}

    def create(self, name: str, **how: Any) -> None:  # noqa: ANN401  as the SDK has it
        """Make a network."""
        self.done.append((name, how))
        if self.has_gateway:
            raise refused(409, f"network with name {name} already exists")

    def init(self, **how: Any) -> str:  # noqa: ANN401  as the SDK has it
        """Make a swarm."""
        self.done.append(("init", how))
        self.meanwhile()
        if self.init_fails:
            raise self.init_fails
        self.state = MANAGER
        return "id"


def swarm(
    fake: FakeSwarm, cache: Path, engine: Engine = OURS, clock: FakeClock | None = None
) -> tuple[bool, list[str]]:
    """Ensure the swarm; return whether it was made, and what was said."""
    said: list[str] = []
    made = ensure_swarm(
        fake.client, engine=engine, cache=cache, say=said.append, clock=clock or FakeClock()
    )
    return made, said


def test_a_manager_is_left_alone_for_one_question(tmp_path: Path) -> None:
    """Each run pays for this: the engine's whole state is not asked for, no lock is taken."""
    fake = FakeSwarm(MANAGER)
    assert swarm(fake, tmp_path) == (False, [])
    assert (fake.done, fake.infos) == ([], 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_gateway", [False, True])
@pytest.mark.parametrize("engine", [OURS, THEIRS])
def test_an_engine_in_no_swarm_is_made_one(
    tmp_path: Path,
    engine: Engine,
    has_gateway: bool,  # noqa: FBT001  a case
) -> None:
    """On loopback, once, after its gateway; on an engine that is not ours it is said aloud."""
    fake = FakeSwarm(INACTIVE)
    fake.has_gateway = has_gateway
    made, said = swarm(fake, tmp_path, engine)
    assert made
    assert [name for name, _ in fake.done] == [GATEWAY, "init"]
    assert fake.done[1] == ("init", {"advertise_addr": "127.0.0.1"})
    assert len(said) == (0 if engine.private else 1)
    assert swarm(fake, tmp_path, engine) == (False, [])


def test_a_run_that_waited_for_the_lock_makes_no_second_swarm(tmp_path: Path) -> None:
    fake = FakeSwarm(INACTIVE)

    def look() -> dict[str, Any]:
        fake.infos += 1
        return {"Swarm": INACTIVE if fake.infos == 1 else MANAGER}

    fake.info = look  # type: ignore[method-assign]  # another run is quicker
    assert swarm(fake, tmp_path) == (False, [])
    assert fake.done == []


def test_a_swarm_made_meanwhile_under_another_lock_is_fine(tmp_path: Path) -> None:
    """Two users' caches have two locks; the engine refuses the second, and that is no error."""
    fake = FakeSwarm(INACTIVE)
    fake.init_fails = refused(503, "This node is already part of a swarm.")
    fake.meanwhile = lambda: setattr(fake, "state", MANAGER)
    assert swarm(fake, tmp_path) == (False, [])


def test_a_refused_swarm_is_an_engine_error(tmp_path: Path) -> None:
    fake = FakeSwarm(INACTIVE)
    fake.init_fails = refused(500, "listen tcp 127.0.0.1:2377: address already in use")
    with pytest.raises(EngineError, match="swarm init` failed") as caught:
        swarm(fake, tmp_path)
    assert "address already in use" in caught.value.cause


def test_a_worker_is_refused_with_its_managers(tmp_path: Path) -> None:
    fake = FakeSwarm(
        {
            "LocalNodeState": "active",
            "ControlAvailable": False,
            "RemoteManagers": [{"Addr": "192.0.2.7:2377"}],
        }
    )
    with pytest.raises(EngineError, match="is a worker of a swarm") as caught:
        swarm(fake, tmp_path, THEIRS)
    assert caught.value.cause == "its managers are 192.0.2.7:2377"
    assert "set DOCKER_HOST to a manager" in caught.value.hint
    assert fake.done == []


@pytest.mark.parametrize(
    ("engine", "state", "hint"),
    [
        (THEIRS, {"LocalNodeState": "locked"}, "docker swarm unlock"),
        (THEIRS, {"LocalNodeState": "error", "Error": "bad"}, "docker info"),
        (OURS, {"LocalNodeState": "error", "Error": "bad"}, "python -m harness engine purge"),
    ],
)
def test_a_broken_swarm_is_never_made_anew(
    tmp_path: Path, engine: Engine, state: dict[str, Any], hint: str
) -> None:
    fake = FakeSwarm(state)
    with pytest.raises(EngineError) as caught:
        swarm(fake, tmp_path, engine)
    assert hint in caught.value.hint
    assert caught.value.cause
    assert fake.done == []


def test_a_pending_swarm_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    """An engine that was just started is pending for a moment."""
    fake = FakeSwarm(PENDING)
    assert swarm(
        fake, tmp_path, clock=FakeClock(on_sleep=lambda: setattr(fake, "state", MANAGER))
    ) == (
        False,
        [],
    )
    with pytest.raises(EngineError, match="still pending"):
        swarm(FakeSwarm(PENDING), tmp_path)


def test_a_swarm_without_a_leader_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    """A manager whose engine was killed elects itself again within a few seconds."""
    fake = FakeSwarm(MANAGER)
    fake.leader = False
    clock = FakeClock(on_sleep=lambda: setattr(fake, "leader", True))
    assert swarm(fake, tmp_path, clock=clock) == (False, [])
    fake.leader = False
    with pytest.raises(EngineError, match="has no leader") as caught:
        swarm(fake, tmp_path)
    assert caught.value.cause == "The swarm does not have a leader."


def test_an_engine_that_goes_away_meanwhile_is_an_engine_error(tmp_path: Path) -> None:
    fake = FakeSwarm(MANAGER)

    def gone() -> dict[str, Any]:
        raise requests.ConnectionError(OSError(111, "Connection refused"))

    fake.inspect_swarm = gone  # type: ignore[method-assign]  # it goes away
    with pytest.raises(EngineError) as caught:
        swarm(fake, tmp_path)
    assert caught.value.cause == "Connection refused"
