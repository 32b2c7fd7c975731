"""Why no node takes a task: what waiting cannot change, and whose fault it is."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ConvergenceError, EngineError, HarnessError
from harness.swarm.placement import unplaceable
from harness.swarm.states import ServiceState
from tests.unit.fake_stack import look, service, task

NODE: Mapping[str, Any] = {
    "ID": "abc",
    "Status": {"State": "ready"},
    "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone": "North"}},
    "Description": {
        "Hostname": "Host1",
        "Platform": {"OS": "linux", "Architecture": "x86_64"},
        "Resources": {
            "NanoCPUs": 2_000_000_000,
            "MemoryBytes": 8 << 30,
            "GenericResources": [{"NamedResourceSpec": {"Kind": "gpu", "Value": "1"}}],
        },
        "Engine": {"Labels": {"disk": "ssd"}},
    },
}
PENDING = "no suitable node (scheduling constraints not satisfied on 1 node)"


def why(
    asked: ServiceState, *, nodes: tuple[Mapping[str, Any], ...] = (NODE,), said: str = PENDING
) -> HarnessError | None:
    """Return why a service whose task is pending finds no node."""
    client: Any = SimpleNamespace(api=SimpleNamespace(nodes=lambda: list(nodes)))
    tasks = (task(asked, state="pending", error=said),) if asked.replicas is not None else ()
    return unplaceable(client, look(asked, tasks=tasks))


def placed(*constraints: str, **changes: Any) -> ServiceState:  # noqa: ANN401  any field
    """Return a service with these placement constraints."""
    definition = {"TaskTemplate": {"Placement": {"Constraints": list(constraints)}}}
    return service(definition=definition, **changes)


@pytest.mark.parametrize(
    "constraint",
    [
        "node.labels.zone == north", "node.labels.zone==North", "node.role != worker",
        "node.hostname == host1", "node.platform.arch == amd64", "node.platform.os == linux",
        "engine.labels.disk == ssd", "node.labels.gpu != true", "node.id == abc",
        "node.ip == 10.0.0.0/8",
    ],
)  # fmt: skip
def test_a_constraint_that_a_node_meets_is_waited_for(constraint: str) -> None:
    """Values are compared as Swarm does, whatever their case; what cannot be read is not judged."""
    assert why(placed(constraint)) is None


@pytest.mark.parametrize(
    "constraint",
    [
        "node.labels.gpu == true", "node.role == worker", "node.role != manager",
        "node.hostname == other", "node.platform.arch == arm64", "engine.labels.disk == hdd",
        "node.labels.zone != north", "node.id == def",
    ],
)  # fmt: skip
@pytest.mark.parametrize("replicas", [1, None], ids=["replicated", "global"])
def test_a_constraint_that_no_node_meets_is_named(constraint: str, replicas: int | None) -> None:
    """At once. A global service has no task then, and Swarm calls it complete."""
    error = why(placed("node.platform.os == linux", constraint, replicas=replicas))
    assert type(error) is EngineError
    assert error.what.endswith(f"meets the constraint {constraint}")
    assert error.hint


def test_constraints_that_only_different_nodes_meet_are_all_named() -> None:
    """Each is met somewhere, and all of them nowhere."""
    worker = {**NODE, "Spec": {"Role": "worker", "Labels": {}}}
    error = why(placed("node.labels.zone == north", "node.role == worker"), nodes=(NODE, worker))
    assert error is not None
    assert "node.labels.zone == north, node.role == worker" in error.what


@pytest.mark.parametrize(
    "constraints",
    [
        ("node.rolle == manager",),
        ("node.role == manager", "node.role == worker"),
        ("node.role == manager", "node.role != manager"),
    ],
)
def test_what_no_node_of_any_swarm_meets_is_the_recipes_fault(constraints: tuple[str, ...]) -> None:
    """A key that Swarm does not know, or two that contradict each other."""
    assert type(why(placed(*constraints))) is ConvergenceError


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"NanoCPUs": 64_000_000_000}, "processors that it reserves: it asks for 64"),
        ({"MemoryBytes": 64 << 30}, "memory (MiB) that it reserves: it asks for 65536"),
        ({"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}, "the gpu"),
        ({"GenericResources": [{"DiscreteResourceSpec": {"Kind": "tpu", "Value": 1}}]}, "the tpu"),
        ({"NanoCPUs": 2_000_000_000, "MemoryBytes": 8 << 30}, ""),
    ],
)
def test_a_reservation_beyond_every_node_is_named(asked: Mapping[str, Any], words: str) -> None:
    """What others only hold for the moment is waited for."""
    error = why(service(definition={"TaskTemplate": {"Resources": {"Reservations": asked}}}))
    assert words in error.what if error else not words
    assert error is None or type(error) is EngineError


def test_replicas_that_have_no_place_are_told() -> None:
    """Too few nodes are the machine's; an update that needs one place more is the recipe's."""
    placement = {"TaskTemplate": {"Placement": {"MaxReplicas": 1}}}
    first = {**placement, "UpdateConfig": {"Order": "start-first"}}
    assert type(why(service(replicas=2, definition=placement))) is EngineError
    assert why(service(definition=placement)) is None
    assert why(service(definition=first)) is None, "not while it is installed"
    updating = service(definition=first, update_state="updating")  # moby/moby#40797
    assert type(why(updating)) is ConvergenceError


def test_a_port_of_a_node_that_more_tasks_want_than_there_are_nodes_is_told() -> None:
    """Too many replicas need more nodes; an update that needs it twice is the recipe's."""
    port = {"PublishMode": "host", "PublishedPort": 8080}
    ports = {"EndpointSpec": {"Ports": [port]}}
    first = {**ports, "UpdateConfig": {"Order": "start-first"}}
    error = why(service(replicas=2, definition=ports))
    assert type(error) is EngineError
    assert "port 8080" in error.what
    assert why(service(definition=ports)) is None, "another stack may have it for the moment"
    assert why(service(definition=first)) is None, "not while it is installed"
    assert type(why(service(definition=first, update_state="updating"))) is ConvergenceError
    open_ = {"EndpointSpec": {"Ports": [{**port, "PublishMode": "ingress"}]}}
    assert why(service(replicas=2, definition=open_)) is None


@pytest.mark.parametrize("words", ["missing plugin", "unsupported platform"])
def test_what_swarm_says_of_a_node_for_good_is_told(words: str) -> None:
    """A volume or log driver that is not installed, an image for another platform."""
    said = f"no suitable node ({words} on 1 node)"
    error = why(service(), said=said)
    assert error is not None
    assert said in error.what
    assert why(service(), said="no suitable node (insufficient resources on 1 node)") is None


def test_a_swarm_without_an_active_node_is_told() -> None:
    """Somebody paused or drained it."""
    off = {**NODE, "Spec": {"Role": "manager", "Availability": "drain"}}
    error = why(service(), nodes=(off,))
    assert error is not None
    assert "Host1 is set to drain" in error.what


def test_a_stack_whose_tasks_have_nodes_asks_nobody() -> None:
    """The nodes are listed only where a task waits for one."""
    unasked: Any = SimpleNamespace()
    assert unplaceable(unasked, look(service(), service("db"))) is None
