"""Restarting an app: what is stopped and started again, and how the engine is asked to do so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import requests
from docker.errors import APIError

from harness.core.errors import WaitTimeoutError
from harness.core.model import Stage, WarningCode
from harness.swarm.events import EventLog
from harness.swarm.restart import LONG_GRACE, NOWHERE, outstayed, restart, restarted
from harness.swarm.states import ServiceState, StackSnapshot, TaskState
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_stack import container, look, service, task

APP, DB = service(), service("db", replicas=2)


def pair(owner: ServiceState = DB) -> StackSnapshot:
    """Return a look at an app, and at a database of two replicas that run."""
    return look(APP, owner, tasks=(task(APP), task(owner), task(owner, 2, slot="2")))


@dataclass
class Engine:
    """An engine with those two services; a service that is scaled to nothing stops at once.

    Args:
        now: how the stack looks.
        stale: how many updates it refuses, because the service has changed since.
        stubborn: whether containers go on when they are to stop.
        leaves: the tasks that Swarm still knows of a service which has stopped.
    """

    now: StackSnapshot = field(default_factory=pair)
    stale: int = 0
    stubborn: bool = False
    leaves: tuple[TaskState, ...] = ()
    asked: list[tuple[str, int, int]] = field(default_factory=list)  # service, version, replicas
    version: int = 7
    constraints: list[str] = field(default_factory=lambda: ["node.role == manager"])
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"

    def inspect_service(self, identity: str) -> dict[str, Any]:
        """Return a service with all that the engine knows of it."""
        spec = {"Name": identity, "Mode": {"Replicated": {"Replicas": 9}}, "Own": {"Kept": True}}
        if identity == "id-everywhere":
            template = {"Placement": {"Constraints": self.constraints}, "Kept": True}
            spec |= {"Mode": {"Global": {}}, "TaskTemplate": template}
        return {"Version": {"Index": self.version}, "Spec": spec}

    def request(
        self, method: str, url: str, *, json: Mapping[str, Any], timeout: float
    ) -> requests.Response:
        """Update a service."""
        before, _, version = url.partition("/update?version=")
        identity = before.removeprefix("http+docker://localhost/v1.41/services/")
        assert (method, timeout) == ("POST", 60.0)
        assert (json["Name"], json["Own"]) == (identity, {"Kept": True})
        if self.stale:
            self.stale -= 1
            self.version += 1
            return answered(500, "rpc error: code = Unknown desc = update out of sequence")
        if "Global" in json["Mode"]:
            assert json["TaskTemplate"]["Kept"]
            self.constraints = json["TaskTemplate"]["Placement"]["Constraints"]
            replicas = int(NOWHERE not in self.constraints)
        else:
            replicas = json["Mode"]["Replicated"]["Replicas"]
        self.asked.append((identity, int(version), replicas))
        if not replicas and not self.stubborn:
            kept = tuple(one for one in self.now.tasks if one.service_id != identity)
            self.now = replace(self.now, tasks=(*kept, *self.leaves))
        return answered(200, "")

    def restart(self) -> tuple[str, ...]:
        """Restart the stack on this engine."""
        client: Any = type("Client", (), {"api": self})
        return restart(client, lambda: self.now, ran={})


def answered(status: int, message: str) -> requests.Response:
    """Return an answer of the engine."""
    made = requests.Response()
    made.status_code = status
    made._content = json.dumps({"message": message}).encode()  # noqa: SLF001  no other way
    return made


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits pass at once."""
    stop_the_clock(monkeypatch)


def test_all_stops_before_anything_starts() -> None:
    """As in a reboot: each service is scaled to nothing and then back, and keeps the rest of it."""
    engine = Engine()
    assert engine.restart() == ("app", "db")
    assert engine.asked == [
        ("id-app", 7, 0), ("id-db", 7, 0), ("id-app", 7, 1), ("id-db", 7, 2),
    ]  # fmt: skip


def test_a_global_service_is_stopped_by_a_constraint_that_no_node_meets() -> None:
    """It cannot be scaled. Its own constraints stay, and it is alone on each node."""
    everywhere = service("everywhere", replicas=None, volumes={"data": "/d"})
    engine = Engine(now=replace(look(APP, everywhere), others=frozenset({"other"})))
    assert engine.restart() == ("app", "everywhere")
    assert engine.asked[1:] == [
        ("id-everywhere", 7, 0), ("id-app", 7, 1), ("id-everywhere", 7, 1),
    ]  # fmt: skip
    assert engine.constraints == ["node.role == manager"]
    assert names(look(everywhere, tasks=())) == []
    starting = task(everywhere, 2, slot="other", state="starting")
    assert names(look(everywhere, tasks=(task(everywhere), starting))) == []


def test_an_update_that_swarm_overtook_is_made_again() -> None:
    """With the new version, and a few times only."""
    engine = Engine(stale=2)
    engine.restart()
    assert engine.asked[0] == ("id-app", 9, 0)
    with pytest.raises(APIError, match="out of sequence"):
        Engine(stale=99).restart()


def test_any_other_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine says why."""
    engine = Engine()
    refused = answered(500, "rpc error: no leader")
    monkeypatch.setattr(engine, "request", lambda *_, **__: refused)
    with pytest.raises(APIError, match="no leader"):
        engine.restart()


def test_what_does_not_stop_is_named() -> None:
    """Nothing is started beside a container that still runs."""
    engine = Engine(stubborn=True)
    with pytest.raises(WaitTimeoutError) as caught:
        engine.restart()
    assert caught.value.detail == "app, db"
    assert [replicas for *_, replicas in engine.asked] == [0, 0]


def names(seen: StackSnapshot, *ran: str) -> list[str]:
    """Return which services would be restarted."""
    return [one.name for one in restarted(seen, ran)]


@pytest.mark.parametrize("desired", ["shutdown", "remove"])
def test_a_task_that_has_ended_is_waited_for_until_swarm_forgets_it(desired: str) -> None:
    """Of those of before Swarm remembers a few; one that it stopped looks as if it had quit."""
    over = task(APP, 3, state="complete", desired=desired)
    engine = Engine(now=look(APP, tasks=(task(APP),)))
    engine.leaves = (over,)
    if desired == "remove":
        with pytest.raises(WaitTimeoutError):
            engine.restart()
    else:
        assert engine.restart() == ("app",)


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 0},
        {"replicas": 3},
        {"job": True},
        {"template": {"ContainerSpec": {"StopGracePeriod": (LONG_GRACE + 1) * 1e9}}},
        {"restart": "on-failure"},
    ],
)
def test_what_cannot_be_restarted_is_left_running(changes: Mapping[str, Any]) -> None:
    """Jobs, what does not run in full, and what takes long to stop or start."""
    assert names(pair()) == ["app", "db"]
    assert names(pair(replace(DB, **cast("Any", changes)))) == ["app"]


@pytest.mark.parametrize("restart_policy", ["on-failure", "none"])
def test_what_may_be_a_job_is_restarted_if_it_is_none_and_has_something_to_lose(
    restart_policy: str,
) -> None:
    """Its base ran on, or it has a health check, which says soon that it is up."""
    plain = service("db", restart=restart_policy)
    keeps = service("db", restart=restart_policy, volumes={"data": "/d"})
    assert names(look(plain)) == names(look(plain), "db") == names(look(keeps)) == []
    assert names(look(keeps), "db") == ["db"]
    healthy = {"c-db-1": container("c-db-1", health="healthy")}
    assert names(replace(look(plain), containers=healthy)) == ["db"]


def test_a_volume_is_not_left_behind_on_another_node() -> None:
    """Swarm starts a task wherever there is room, unless the recipe names the node."""
    keeps = service("db", volumes={"data": "/d"})
    assert names(look(APP, keeps)) == ["app", "db"]
    several = replace(look(APP, keeps), others=frozenset({"other"}))
    assert names(several) == ["app"]
    pinned = {"TaskTemplate": {"Placement": {"Constraints": ["node.hostname == one"]}}}
    assert names(replace(several, services=(APP, replace(keeps, definition=pinned)))) == [
        "app",
        "db",
    ]


def stopped(*actions: tuple[str, int], keeps: ServiceState | None = None) -> list[str]:
    """Return what is told of a database's stop, of which the engine told these events."""
    log = EventLog()
    for action, signal in (*actions, ("die", 0)):
        attributes = {"signal": str(signal)} if signal else {}
        log.add({"id": "c-db-1", "Action": action, "Actor": {"Attributes": attributes}})
    db = keeps or service("db", volumes={"data": "/d"})
    told = list(outstayed(look(APP, db), ("app", "db"), log, Stage.BACKUP))
    assert all((o.code, o.stage) == (WarningCode.KILLED_AT_STOP, Stage.BACKUP) for o in told)
    assert list(outstayed(look(APP, db), ("app",), log, Stage.BACKUP)) == []
    return [one.text for one in told]


def test_a_service_that_is_killed_when_it_is_to_stop_is_told() -> None:
    """It could write to a volume, and may not have done so."""
    (text,) = stopped(("kill", 15), ("kill", 9))
    assert text == (
        "service db did not end within its grace period of 10 s after signal 15, and was killed: "
        "what it had not yet written to /d is lost"
    )
    grace = service("db", volumes={"data": "/d"})
    grace.template["ContainerSpec"]["StopGracePeriod"] = 2_500_000_000
    assert "of 2.5 s after signal 3" in stopped(("kill", 3), ("kill", 9), keeps=grace)[0]


def test_a_service_that_ends_in_time_or_keeps_nothing_is_not_told() -> None:
    """Nor is one whose signal to stop is SIGKILL, as its recipe says."""
    assert stopped(("kill", 15)) == stopped() == stopped(("kill", 9)) == []
    assert stopped(("kill", 1), ("kill", 15)) == []
    assert stopped(("kill", 15), ("kill", 9), keeps=service("db")) == []
    reads = service("db", volumes={"data": "/d"})
    reads.template["ContainerSpec"]["Mounts"][0]["ReadOnly"] = True
    assert stopped(("kill", 15), ("kill", 9), keeps=reads) == []
