"""What was handed over to assertions, and how it is told what became of it since."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.docker.nodes import Nodes
from harness.docker.snapshot import ServiceState, StackSnapshot
from harness.handover import HandOver
from harness.model import Stage
from tests.unit.fake_stack import NODE, container, ended, look, service, task

APP, DB = service(labels={"a": "b"}), service("db")
OPS = {"deploy": 1, "backup": 0}
CLIENT: Any = SimpleNamespace(
    api=SimpleNamespace(
        inspect_container=lambda _identity: {"State": {"OOMKilled": False}, "HostConfig": {}}
    )
)
NODES = Nodes(client=CLIENT, own=NODE)


def given(seen: StackSnapshot) -> HandOver:
    """Return a hand-over of that look, after an upgrade."""
    return HandOver(stage=Stage.UPGRADE, look=seen, ops=OPS)


def changed(*services: ServiceState, **ops: int) -> str:
    """Return what is said of a stack of an app and a database that now looks like this."""
    return given(look(APP, DB)).changed(look(*services), {**OPS, **ops})


def test_the_containers_are_those_that_ran() -> None:
    """In order; one that was there and did not run is not among them."""
    seen = look(DB, APP)
    off = container("c-off", running=False, status="exited")
    seen = replace(seen, containers={**seen.containers, "c-off": off})
    assert given(seen).containers == ("c-app-1", "c-db-1")


def test_an_untouched_deployment_has_not_changed() -> None:
    """Not even when the services are listed in another order."""
    assert changed(APP, DB) == ""
    assert changed(DB, APP) == ""


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("template", {**APP.template, "ForceUpdate": 1}, "TaskTemplate"),
        ("labels", {"a": "c"}, "Labels"),
        ("replicas", 2, "replicas"),
        ("id", "another", "id"),
        ("update_started", "later", "last update"),
    ],
)
def test_a_service_that_somebody_changed_is_named_with_what_was_changed(
    name: str, value: object, what: str
) -> None:
    """Updated, relabelled, scaled, removed and deployed anew, or updated to what it was."""
    changes: dict[str, Any] = {name: value}
    assert changed(replace(APP, **changes), DB) == f"service app was changed ({what})"


RAW: Mapping[str, Any] = {
    "ID": "id-app",
    "Spec": {
        "Name": "made_test_app",
        "Labels": {"a": "b"},
        "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}, "Networks": [{"Target": "n1"}]},
        "Mode": {"Replicated": {"Replicas": 1}},
        "UpdateConfig": {"Order": "start-first"},
        "EndpointSpec": {"Mode": "vip", "Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
    },
}


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("EndpointSpec", {"Mode": "vip"}, "EndpointSpec"),
        ("EndpointSpec", {"Mode": "dnsrr"}, "EndpointSpec"),
        ("UpdateConfig", {"Order": "stop-first"}, "UpdateConfig"),
        ("RollbackConfig", {"Parallelism": 1}, "RollbackConfig"),
        ("Mode", {"Global": {}}, "Mode, replicas"),
        ("Mode", {"Replicated": {"Replicas": 2}}, "Mode, replicas"),
        ("Labels", {"a": "c"}, "Labels"),
        ("TaskTemplate", {"ContainerSpec": {"Image": "nginx:2"}}, "TaskTemplate"),
    ],
)
def test_any_change_of_a_definition_is_seen(field: str, value: object, what: str) -> None:
    """Of all that the engine keeps of it: ports and policies replace no task, and count as well."""
    raw = {**RAW, "Spec": {**RAW["Spec"], field: value}}
    before, after = (look(ServiceState.parse(one, "made_test")) for one in (RAW, raw))
    assert given(before).changed(after, OPS) == f"service app was changed ({what})"
    assert given(before).changed(before, OPS) == ""


@pytest.mark.parametrize("state", ["updating", "completed", "rollback_started"])
def test_an_update_that_began_since_is_a_change(state: str) -> None:
    """To the very definition that it had, as `docker service update --force` undone does."""
    status = {"State": state, "StartedAt": "2026-01-01T00:00:09Z"}
    before, after = (
        look(ServiceState.parse(one, "made_test")) for one in (RAW, {**RAW, "UpdateStatus": status})
    )
    assert given(before).changed(after, OPS) == "service app was changed (last update)"


def test_a_service_that_was_added_or_removed_is_named() -> None:
    """Nothing of that happens by itself."""
    assert changed(APP) == "service db was removed"
    assert changed(APP, DB, service("web")) == "service web was added"


def test_an_op_that_nobody_planned_is_counted() -> None:
    """The ledger is compared with what it held at the hand-over; new kinds of op count too."""
    assert changed(APP, DB, deploy=3) == "the ledger records 2 more deploy"
    assert changed(APP, DB, undeploy=1) == "the ledger records 1 more undeploy"


def test_everything_that_changed_is_said() -> None:
    """In one line."""
    web = service("web")
    assert changed(replace(APP, replicas=0, labels={}), web, backup=1) == (
        "the ledger records 1 more backup; service db was removed; service web was added; "
        "service app was changed (Labels, replicas)"
    )


def test_what_swarm_does_by_itself_is_no_change() -> None:
    """It replaces tasks, and an update of before the hand-over may come to its end."""
    now = look(replace(APP, update_state="completed"), DB, tasks=(task(APP, 2), task(DB)))
    assert given(look(APP, DB)).changed(now, OPS) == ""


def test_each_task_that_broke_is_a_sentence_with_its_service() -> None:
    """With the engine's own words, or the exit code where it has none."""
    crashed, mute = ended(task(APP)), ended(task(DB), 3, "")
    now = look(APP, DB, tasks=(crashed, mute, task(APP, 2), task(DB, 2)))
    assert given(look(APP, DB)).broken(NODES, now) == (
        "app broke after the upgrade had settled: non-zero exit (1); "
        "db broke after the upgrade had settled: exit code 3"
    )
    assert given(now).broken(NODES, now) == ""


def test_a_task_whose_service_is_gone_is_told_all_the_same() -> None:
    """It broke before somebody removed the service."""
    now = look(APP, tasks=(task(APP), ended(task(DB))))
    assert given(look(APP, DB)).broken(NODES, now).startswith("? broke after the upgrade")


def test_a_container_that_was_killed_did_not_break() -> None:
    """That says nothing of the app."""
    now = look(APP, DB, tasks=(ended(task(APP), 137), task(APP, 2), task(DB)))
    assert given(look(APP, DB)).broken(NODES, now) == ""


@pytest.mark.parametrize(
    ("field", "value"), [("Placement", {"Constraints": ["node.role==manager"]}), ("Runtime", "x")]
)
def test_what_does_not_make_a_task_another_one_is_a_change_all_the_same(
    field: str, value: object
) -> None:
    """Templates are compared without these when it is asked whether a task is current."""
    template = {**RAW["Spec"]["TaskTemplate"], field: value}
    raw = {**RAW, "Spec": {**RAW["Spec"], "TaskTemplate": template}}
    before, after = (look(ServiceState.parse(one, "made_test")) for one in (RAW, raw))
    assert given(before).changed(after, OPS)
