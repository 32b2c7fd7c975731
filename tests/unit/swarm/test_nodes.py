"""Which engine a node's containers are asked of, and what is said when it cannot be asked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests import ConnectionError as NoConnectionError

from harness.backups.tools import ToolContainers
from harness.core.errors import EngineError, TestBedError
from harness.exec import look_only
from harness.exec.exec import ExecTarget
from harness.exec.http import Prober
from harness.platforms.base import Target
from harness.platforms.refusals import _refuse_taken as refuse_taken
from harness.run.reaper import reap, scope
from harness.swarm.deaths import killed_from_outside
from harness.swarm.diagnose import collect_logs, failed_checks
from harness.swarm.faults import spoiled
from harness.swarm.nodes import Endpoint, Nodes
from harness.swarm.readiness import Before, unsettled
from harness.swarm.snapshot import read_stack
from harness.swarm.states import TaskState
from harness.swarm.sweep import RUN_LABEL, find, sweep
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import FakeEngine, Thing
from tests.unit.fake_stack import STACK, ended, look, service, task

WORKER = Endpoint(id="n2", name="worker1", environ={"DOCKER_HOST": "ssh://worker1"})
READY: Mapping[str, Any] = {
    "ID": "n2",
    "Status": {"State": "ready"},
    "Spec": {"Availability": "active"},
}


def engine(answer: object = "it", *, nodes: list[Mapping[str, Any]] | None = None) -> Any:  # noqa: ANN401  stands in for a client
    """Return a client whose requests come to that, and whose engine knows these nodes."""

    def send(_request: object, **_options: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    api = SimpleNamespace(send=send, nodes=lambda: nodes or [])
    return SimpleNamespace(api=api, ping=lambda: api.send(None), close=lambda: None)


def swarm(worker: object, *, nodes: list[Mapping[str, Any]] | None = None) -> Nodes:
    """Return a Swarm of a manager and a worker, whose client is made of that."""

    def connect(environ: Mapping[str, str]) -> Any:  # noqa: ANN401  as above
        assert environ == WORKER.environ
        if isinstance(worker, Exception):
            raise worker
        return worker

    manager = engine(nodes=[READY] if nodes is None else nodes)
    return Nodes(client=manager, own="n1", others=(WORKER,), connect=connect)


def test_each_node_has_its_own_engine() -> None:
    """The manager's client is for the manager's node; another one is connected once."""
    worker = engine()
    nodes = swarm(worker)
    assert nodes.client_of("n1") is nodes.client
    assert nodes.client_of("n2") is worker
    assert nodes.client_of("n2") is worker
    assert ("n1" in nodes, "n2" in nodes, "n3" in nodes) == (True, True, False)
    assert (nodes.name("n2"), nodes.name("n3")) == ("worker1", "n3")


def test_a_container_is_asked_of_the_node_where_it_was_seen() -> None:
    """It never moves; the harness's own, which no task tells of, are on the manager's node."""
    worker = engine()
    nodes = swarm(worker)
    nodes.saw([("c1", "n1"), ("c2", "n2")])
    assert nodes.having("c2") is worker
    assert nodes.having("c1") is nodes.client
    assert nodes.having("a tool") is nodes.client


def test_a_node_that_joined_meanwhile_cannot_be_asked() -> None:
    """It has no endpoint; to look at the manager's containers instead would be a lie."""
    nodes = swarm(engine())
    nodes.saw([("c3", "n3")])
    with pytest.raises(EngineError, match="cannot reach the engine of node n3"):
        nodes.having("c3")


@pytest.mark.parametrize("error", [DockerException("no"), NoConnectionError("no"), OSError("no")])
def test_an_engine_that_cannot_be_connected_is_named(error: Exception) -> None:
    """Which of the nodes it was is what a person needs."""
    with pytest.raises(EngineError, match="the engine of the node worker1 does not answer: no"):
        swarm(error).client_of("n2")


def test_a_request_that_is_not_answered_names_the_node() -> None:
    """Whichever call it belongs to; an engine's own "no" is passed on as it is."""
    client = swarm(engine(NoConnectionError("cut"))).client_of("n2")
    with pytest.raises(EngineError, match="the node worker1 does not answer: cut"):
        client.ping()
    with pytest.raises(APIError):
        swarm(engine(APIError("no"))).client_of("n2").ping()


def test_a_swarm_of_one_node_costs_no_look() -> None:
    """There is nobody to ask."""
    client: Any = SimpleNamespace()
    assert Nodes(client=client, own="n1").gone() is None


def test_a_node_that_is_well_is_not_gone() -> None:
    """It is ready, active, and its engine answers."""
    assert swarm(engine()).gone() is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"Status": {"State": "down", "Message": "heartbeat failure"}}, "down: heartbeat failure"),
        ({"Status": {"State": "disconnected"}}, "disconnected"),
        ({"Spec": {"Availability": "drain"}}, "set to drain"),
        ({"ID": "n9"}, "no part of it any more"),
    ],
)
def test_a_node_that_took_part_and_does_not_any_more_is_gone(
    raw: Mapping[str, Any], words: str
) -> None:
    """Whatever failed on it says nothing of the recipe."""
    error = swarm(engine(), nodes=[{**READY, **raw}]).gone()
    assert isinstance(error, EngineError)
    assert f"the node worker1 of the Swarm is {words}" in error.what


@pytest.mark.parametrize("error", [NoConnectionError("cut"), APIError("500")])
def test_a_node_whose_engine_does_not_answer_is_gone(error: Exception) -> None:
    """The managers notice much later."""
    found = swarm(engine(error)).gone()
    assert isinstance(found, EngineError)
    assert "worker1 does not answer" in found.what


def test_the_nodes_of_assertions_only_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every node, not on the manager's alone."""
    made: list[str] = []

    def connect(environ: Mapping[str, str]) -> Any:  # noqa: ANN401  as above
        made.append(environ["DOCKER_HOST"])
        return engine()

    monkeypatch.setattr(look_only, "connect", connect)
    nodes = look_only.look_only_nodes({"DOCKER_HOST": "unix:///s"}, "n1", [WORKER])
    assert made == ["unix:///s"]
    nodes.client_of("n2")
    assert made == ["unix:///s", "ssh://worker1"]


# What a run left on other nodes

MINE = {RUN_LABEL: "run1"}


def two(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeEngine, FakeEngine, Nodes]:
    """Return the engines of a manager and a worker, with something of a run on each."""
    stop_the_clock(monkeypatch)
    own = FakeEngine(things=[Thing(kind="service", name="s", labels=MINE)])
    other = FakeEngine(
        things=[Thing(kind=kind, name=kind, labels=MINE) for kind in ("volume", "network")]
    )
    other.things.append(Thing(kind="container", name="c", labels=MINE))
    api = SimpleNamespace(send=None)
    for name in ("containers", "images", "volumes", "remove_container", "remove_volume"):
        setattr(api, name, getattr(other, name))
    worker: Any = SimpleNamespace(api=api)
    nodes = Nodes(client=own.client, own="n1", others=(WORKER,), connect=lambda _: worker)
    return own, other, nodes


def test_containers_and_volumes_of_other_nodes_are_removed_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is the Swarm's is left to the manager, so nothing is removed twice."""
    own, other, nodes = two(monkeypatch)
    found = find(own.client, f"{RUN_LABEL}=run1", nodes=nodes)
    assert [(item.kind, item.node) for item in found] == [
        ("service", ""), ("container", "n2"), ("volume", "n2"),
    ]  # fmt: skip
    swept = sweep(own.client, "run1", timeout=5, nodes=nodes)
    assert (swept.removed, swept.left) == ({"container": 1, "service": 1, "volume": 1}, ())
    assert [thing.kind for thing in other.things] == ["network"]


def test_a_node_that_does_not_answer_is_listed_and_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All else is removed; what it has may still be there."""
    own, _, nodes = two(monkeypatch)
    tries: list[object] = []

    def connect(environ: object) -> Any:  # noqa: ANN401  as above
        tries.append(environ)
        raise OSError("refused")

    nodes.connect = connect
    swept = sweep(own.client, "run1", timeout=5, nodes=nodes)
    assert own.things == []
    assert swept.removed == {"service": 1}
    (left,) = swept.left
    assert left.startswith("what is on node worker1 (")
    assert len(tries) == 1
    with pytest.raises(EngineError, match="worker1"):
        find(own.client, RUN_LABEL, nodes=nodes)


# Looks, commands and logs


def inspected(identity: str) -> dict[str, Any]:
    """Return what an engine says of a running container."""
    state = {"Running": True, "Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00Z"}
    return {
        "Id": identity, "State": {**state, "OOMKilled": False}, "HostConfig": {"Memory": 0},
        "Config": {},
    }  # fmt: skip


def having(*identities: str, tasks: tuple[TaskState, ...] = ()) -> Any:  # noqa: ANN401  as above
    """Return a client of an engine with these containers; a manager's knows these tasks."""

    def inspect(identity: str) -> dict[str, Any]:
        if identity not in identities:
            raise NotFound(identity)
        return inspected(identity)

    def logs(identity: str, **_: object) -> list[bytes]:
        return [f"log of {identity}".encode()]

    raw = [
        {
            "ID": one.id, "ServiceID": "s1", "Slot": 1, "NodeID": one.node_id,
            "DesiredState": one.desired, "CreatedAt": one.created_at, "Spec": {},
            "Status": {
                "State": one.state, "ContainerStatus": {"ContainerID": one.container_id}
            },
        }
        for one in tasks
    ]  # fmt: skip
    api = SimpleNamespace(
        inspect_container=inspect, send=None, logs=logs,
        services=lambda **_: [], tasks=lambda **_: raw,
    )  # fmt: skip
    return SimpleNamespace(api=api, close=lambda: None)


APP = service()
HERE, THERE = task(APP, 1, node_id="n1"), task(APP, 2, node_id="n2")


def spread_out(worker: Any) -> Nodes:  # noqa: ANN401  as above
    """Return a Swarm with a container of the app on each node."""
    nodes = swarm(worker)
    nodes.client = having(HERE.container_id, tasks=(HERE, THERE))
    return nodes


def test_a_look_shows_the_containers_of_every_node() -> None:
    """Each is asked of its own node's engine, and known by its place from then on."""
    worker = having(THERE.container_id)
    nodes = spread_out(worker)
    seen = read_stack(nodes, STACK)
    assert set(seen.containers) == {HERE.container_id, THERE.container_id}
    assert (seen.sees("n1"), seen.sees("n2"), seen.sees("n3")) == (True, True, False)
    assert nodes.having(THERE.container_id) is worker


def test_a_look_past_a_node_that_does_not_answer_is_an_error() -> None:
    """To call its containers gone would blame the app; only who cleans up passes it over."""
    nodes = spread_out(OSError("refused"))
    with pytest.raises(EngineError, match="worker1"):
        read_stack(nodes, STACK)
    seen = read_stack(nodes, STACK, patient=True)
    assert set(seen.containers) == {HERE.container_id}
    assert (seen.sees("n1"), seen.sees("n2")) == (True, False)


def test_a_container_that_its_own_node_does_not_have_is_gone() -> None:
    """The manager's engine is not asked about it, and would say the same of every one."""
    seen = read_stack(spread_out(having()), STACK)
    assert set(seen.containers) == {HERE.container_id}
    live = look(APP, tasks=(THERE,))
    assert unsettled(replace(live, containers={}, others=frozenset({"n2"})), Before()) == [
        "app: its container is gone"
    ]


def test_a_commands_container_is_found_on_its_node() -> None:
    """Whoever looks at it, or runs something in it, asks that engine."""
    nodes = spread_out(having(THERE.container_id))
    nodes.saw([(THERE.container_id, "n2")])
    target = ExecTarget(
        client=nodes.client, name="app", resolve=lambda: THERE.container_id, nodes=nodes
    )
    assert target.current().id == THERE.container_id
    assert target.engine_of(THERE.container_id) is nodes.client_of("n2")
    assert target.engine_of(HERE.container_id) is nodes.client


def test_why_a_container_ended_is_asked_of_its_node() -> None:
    """A node that does not answer leaves it open whose fault it was."""
    killed = ended(THERE, 137)

    def seen(found: Any) -> bool:  # noqa: ANN401  what the node has, or what it raises
        nodes = spread_out(found)
        nodes.events.add({"Action": "oom", "id": THERE.container_id})
        return killed_from_outside(nodes, killed)

    assert seen(having(THERE.container_id)), "it has no memory limit of its own"
    assert not seen(having()), "the container is not known any more"
    with pytest.raises(EngineError, match="worker1"):
        seen(OSError("refused"))


def test_logs_come_from_every_node_that_answers(tmp_path: Path) -> None:
    """One that went away between the look and now is said in the log's place."""
    seen = replace(look(APP, tasks=(HERE, THERE)), node_id="n1", others=frozenset({"n2"}))
    collect_logs(spread_out(having()), seen, tmp_path, scrub=lambda text, _place: text)
    text = (tmp_path / "app.log").read_text()
    assert f"log of {HERE.container_id}" in text
    assert f"log of {THERE.container_id}" in text
    collect_logs(spread_out(OSError("refused")), seen, tmp_path, scrub=lambda text, _place: text)
    assert "out of reach: the engine of the node worker1" in (tmp_path / "app.log").read_text()
    assert failed_checks(spread_out(OSError("refused")), seen) == ()


def test_a_node_that_is_gone_spoils_every_verdict() -> None:
    """The manager's own engine is well, and the app failed in words of its own."""
    nodes = swarm(engine(), nodes=[{**READY, "Status": {"State": "down"}}])
    nodes.client.info = lambda: {  # type: ignore[method-assign]  # a stand-in
        "Swarm": {"LocalNodeState": "active", "ControlAvailable": True}
    }
    found = spoiled(nodes)
    assert isinstance(found, EngineError)
    assert "worker1 of the Swarm is down" in found.what


def test_a_pages_address_is_asked_of_the_containers_node() -> None:
    """The manager's engine knows nothing of it."""
    inspected = {"NetworkSettings": {"Networks": {"proxy": {"IPAddress": "10.0.1.7"}}}}
    api = SimpleNamespace(inspect_container=lambda _: inspected, send=None)
    nodes = swarm(SimpleNamespace(api=api))
    nodes.saw([("c2", "n2")])
    tool: Any = None
    assert Prober(client=nodes.client, tool=tool, nodes=nodes).address("c2") == "10.0.1.7"


def test_what_a_dead_run_left_on_another_node_is_reaped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is found by the scope, and removed by the run, also if nothing else is left."""
    own, other, nodes = two(monkeypatch)
    labels = {RUN_LABEL: "run1", "ccci.stack": "s", "ccci.scope": scope(tmp_path)}
    own.things = []
    other.things = [Thing(kind="volume", name="v", labels=labels)]
    (reaped,) = reap(own.client, cache=tmp_path, nodes=nodes, say=print)
    assert reaped.swept is not None
    assert reaped.swept.removed == {"volume": 1}
    assert other.things == []


def test_a_volume_that_is_taken_on_another_node_is_not_deployed_over() -> None:
    """A restore would empty somebody's data there."""

    def missing(name: str) -> Any:  # noqa: ANN401  it raises
        raise NotFound(name)

    worker = SimpleNamespace(api=SimpleNamespace(inspect_volume=lambda _: {}, send=None))
    nodes = swarm(worker)
    nodes.client.api.inspect_volume = missing  # type: ignore[method-assign]  # a stand-in
    for kind in ("configs", "secrets"):
        setattr(nodes.client.api, kind, list)
    volume = SimpleNamespace(external=False, full_name=lambda _stack: "fixed")
    compose: Any = SimpleNamespace(volumes={"v": volume}, configs={}, secrets={}, networks={})
    target = Target(recipe="r", run="run1", scope="s", domain="a.test")
    refuse_taken(nodes.client, compose, target)
    with pytest.raises(TestBedError, match="volume fixed"):
        refuse_taken(nodes.client, compose, target, nodes)


def test_another_node_has_a_repository_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once, in a reader that stays there; on a volume that is swept."""
    begun: list[str] = []
    made: list[str] = []

    def start(_tools: ToolContainers, role: str, mounts: list[Any], **where: Any) -> str:  # noqa: ANN401
        begun.append(f"{role} {len(mounts)} {where['client'].name}")
        if where.get("files"):
            made.append(role)
        return role

    monkeypatch.setattr(ToolContainers, "_start", start)
    volumes: list[str] = []
    create = SimpleNamespace(create=lambda name, **_: volumes.append(name))
    removed = SimpleNamespace(remove=lambda **_: None)
    containers = SimpleNamespace(get=lambda _: removed)
    api = SimpleNamespace(send=None, inspect_volume=lambda _: {"Driver": "local", "Options": None})
    worker = SimpleNamespace(api=api, name="worker", volumes=create, containers=containers)
    nodes = swarm(worker)
    manager: Any = SimpleNamespace(name="manager", containers=containers, api=api)
    tools = ToolContainers(client=manager, image="i", stack="s", labels={}, nodes=nodes)
    for names, node in ((("a",), ""), (("b",), "n2"), (("b", "c"), "n2"), (("b",), "n2")):
        with tools.vault(names, node=node):
            pass
    assert begun == [
        "vault-1 2 manager", "reader 1 worker", "vault-2 2 worker", "vault-3 3 worker",
        "vault-4 2 worker",
    ]  # fmt: skip
    assert made == ["reader"]
    assert tools.readers == {"n2": "reader"}
    assert volumes == ["s_ccci-repository"]
