"""What was handed over to assertions, and how it is told what became of it since."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.core.model import Stage
from harness.stages.handover import HandOver
from harness.swarm.states import ServiceState, StackSnapshot
from tests.unit.fake_stack import container, ended, look, service, task

APP, DB = service(labels={"a": "b"}), service("db")
OPS = {"deploy": 1, "backup": 0}


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
    assert given(look(APP, DB)).broken(now) == (
        "app broke after the upgrade had settled: non-zero exit (1); "
        "db broke after the upgrade had settled: exit code 3"
    )
    assert given(now).broken(now) == ""


def test_a_task_whose_service_is_gone_is_told_all_the_same() -> None:
    """It broke before somebody removed the service."""
    now = look(APP, tasks=(task(APP), ended(task(DB))))
    assert given(look(APP, DB)).broken(now).startswith("? broke after the upgrade")


def test_a_container_that_was_killed_did_not_break() -> None:
    """That says nothing of the app."""
    over = ended(task(APP), 137)
    now = look(APP, DB, tasks=(over, task(APP, 2), task(DB)))
    assert given(look(APP, DB)).broken(now)
    assert given(look(APP, DB)).broken(replace(now, killed=frozenset({over.id}))) == ""


ONCE = service("worker", restart="on-failure")


def quit_now(**health: str | None) -> StackSnapshot:
    """Return a look at a worker that ended with code 0 and is not started again."""
    done = task(ONCE, state="complete", desired="shutdown")
    seen = container(done.container_id, running=False, ran=7.0, **health)
    return replace(look(ONCE, tasks=(done,)), ended={done.container_id: seen})


def test_a_worker_that_ran_on_in_the_base_and_quits_has_broken() -> None:
    """Swarm does not start again what ends with 0; in the base it ran on until the upgrade."""
    over = replace(given(look(ONCE)), ran={"worker": 12.0})
    assert over.broken(quit_now()) == (
        "worker: after the upgrade had settled, its task ended with code 0 after 7 s, and is not "
        "started again; the base's ran on (12 s until the upgrade)"
    )
    assert replace(over, ran={"worker": 6.0}).broken(quit_now()) == "", "the base's was still at it"
    assert replace(over, ran={}).broken(quit_now()) == "", "a job that the base had ended"
    assert replace(over, look=quit_now()).broken(quit_now()) == "", "it had ended before"


def ends_again(*ran: float, **changes: Any) -> StackSnapshot:  # noqa: ANN401  any field
    """Return a look at a worker that ended with code 0 after these seconds, and runs again."""
    worker = service("worker", **{"restart": "any", **changes})
    runs = task(worker)
    done = [task(worker, n, state="complete", desired="shutdown") for n in range(2, 2 + len(ran))]
    seen = {
        one.container_id: container(one.container_id, running=False, ran=seconds)
        for one, seconds in zip(done, ran, strict=True)
    }
    return replace(look(worker, tasks=(runs, *done)), ended=seen)


def test_a_worker_that_ends_with_0_again_and_again_has_broken() -> None:
    """Swarm starts it again and calls nothing a failure; in the base it ran on."""
    over = replace(given(look(ONCE)), ran={"worker": 12.0})
    assert over.broken(ends_again(9.0, 9.0)).startswith(
        "worker: after the upgrade had settled, its task ended with code 0 after 9 s, as one had"
    )
    assert over.broken(ends_again(9.0)) == "", "an app may restart itself once"
    assert over.broken(ends_again(9.0, 14.0)) == "", "a job that takes as long as the base's may"
    assert replace(over, ran={}).broken(ends_again(9.0, 9.0)) == "", "a job between two runs"
    assert replace(over, look=ends_again(9.0, 9.0)).broken(ends_again(9.0, 9.0)) == "", (
        "told before"
    )
    killed = replace(
        ends_again(9.0, 9.0), killed=frozenset(t.id for t in ends_again(9.0, 9.0).tasks)
    )
    assert over.broken(killed) == "", "somebody else stopped it"


def test_what_has_a_health_check_is_no_job() -> None:
    """It should run on, whatever the base did; where it was unhealthy, that is said."""
    over = given(look(ONCE))
    assert "although it has a health check" in over.broken(quit_now(health="healthy"))
    assert "stopped for being unhealthy" in over.broken(quit_now(health="unhealthy"))


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
