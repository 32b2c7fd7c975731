"""What may be a job: what is waited for before an upgrade, and what is doubtful after it."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.model import WarningCode
from harness.swarm.jobs import JOB_SECONDS, at_work, doubtful, ended, ran_on
from harness.swarm.states import StackSnapshot
from tests.unit.fake_stack import container, look, service, task


def running(restart: str, age: float, **changes: Any) -> StackSnapshot:  # noqa: ANN401  any field
    """Return a look at a service that has run for so long."""
    owner = service("migrate", restart=restart)
    seen = container("c-migrate-1", age=age, **changes)
    return replace(look(owner), containers={seen.id: seen})


@pytest.mark.parametrize("restart", ["none", "on-failure"])
def test_a_job_gets_its_time_before_the_base_is_upgraded(restart: str) -> None:
    """Longer where only a job has such a policy; what has a health check is none."""
    seconds = JOB_SECONDS[restart]
    assert at_work(running(restart, seconds - 1)) == ("migrate",)
    assert at_work(running(restart, seconds)) == ()
    assert at_work(running(restart, 1.0, health="healthy")) == ()
    assert at_work(running("any", 1.0)) == ()


def test_a_job_of_swarms_own_and_one_that_has_ended_are_not_waited_for() -> None:
    """The first is waited for by every op."""
    own = service("migrate", restart="none", job=True)
    assert at_work(look(own)) == ()
    assert at_work(quits("none")) == ()


def quits(restart: str = "on-failure", *, ends: int = 1, **changes: Any) -> StackSnapshot:  # noqa: ANN401
    """Return a look at a worker whose tasks ended with code 0; it runs again if Swarm does that."""
    worker = service("worker", restart=restart, **changes)
    done = tuple(task(worker, n, state="complete", desired="shutdown") for n in range(1, 1 + ends))
    again = (task(worker, 50),) if restart == "any" else ()
    seen = {one.container_id: container(one.container_id, running=False, ran=4.0) for one in done}
    return replace(look(worker, tasks=(*done, *again)), ended=seen)


def said(seen: StackSnapshot, **known: Any) -> str:  # noqa: ANN401  the evidence of the base
    """Return the text of the one warning, or nothing."""
    found = list(doubtful(seen, **{"ran": {}, "jobs": (), **known}))
    assert [one.code for one in found] in ([], [WarningCode.SERVICE_ENDED])
    return found[0].text if found else ""


def test_a_worker_that_ends_without_a_base_is_told() -> None:
    """laravel/framework#17183, celery/celery#5268: the worker ends with 0, and nobody sees it."""
    assert said(quits()) == (
        "service worker was taken for a job: it ended with code 0 after 4 s, and is not started "
        "again; no older release shows whether it should run on"
    )
    assert said(quits(), ran={"worker": 3.0}).endswith("the base's was still running after 3 s")
    assert said(quits(), ran={"worker": 60.0}) == "", "that is a failure, and no doubt"


@pytest.mark.parametrize(
    "seen",
    [quits("none"), quits(job=True), quits(replicas=0), quits("any", ends=2), look(service())],
)
def test_what_the_recipe_declares_to_be_a_job_is_not_told(seen: StackSnapshot) -> None:
    """Nor what may restart itself: an installer does that once, and a hook of a backup."""
    assert said(seen) == ""


def test_what_ended_in_the_base_as_well_is_a_job() -> None:
    """The warning would come with each run of a healthy recipe, for ever."""
    assert said(quits(), jobs={"worker"}) == ""
    assert ended(quits()) == {"worker"}
    assert ended(look(service())) == frozenset()


def test_a_worker_that_ends_again_and_again_is_told() -> None:
    """Swarm starts it again; a pause of a minute is one that only a job asks for."""
    assert said(quits("any", ends=3)) == (
        "service worker was taken for a job: it ended with code 0 3 times, the last time after "
        "4 s; no older release shows whether it should run on"
    )
    assert said(quits("any", ends=3, delay=5.0))
    assert said(quits("any", ends=3, delay=60.0)) == ""


def test_what_was_stopped_or_unhealthy_did_not_end_by_itself() -> None:
    """That is told elsewhere."""
    seen = quits()
    assert said(replace(seen, killed=frozenset({"task-worker-1"}))) == ""
    sick = {"c-worker-1": container("c-worker-1", running=False, health="unhealthy")}
    assert said(replace(seen, ended=sick)) == ""
    older = tuple(replace(one, spec={"old": True}) for one in seen.tasks)
    assert said(replace(seen, tasks=older)) == "", "a task of the base"


@pytest.mark.parametrize(
    ("restart", "age", "told"),
    [
        ("on-failure", 5.0, True),
        ("on-failure", 31.0, False),
        ("none", 31.0, True),
        ("none", 29.0, False),
    ],
)
def test_a_replica_that_quits_is_told_although_another_runs(
    restart: str, age: float, *, told: bool
) -> None:
    """C9Glax/tranga#503; replicas of a declared job may end one after the other.

    Under `on-failure`, one that is outlasted by far is a failure, and no doubt.
    """
    seen = quits(restart, replicas=2)
    other = task(seen.services[0], 9, slot="2")
    beside = {other.container_id: container(other.container_id, age=age)}
    text = said(replace(seen, tasks=(*seen.tasks, other), containers=beside))
    assert (
        text.endswith(
            "and is not started again; 1 of 2 replicas run on; no older release shows whether it "
            "should run on"
        )
        == told
    )


def test_a_job_between_two_runs_did_not_run_on() -> None:
    """It had ended before; nor did one of Swarm's own kinds."""
    seen = look(service(), service("db"), service("job", job=True))
    assert ran_on(seen) == {"app": 60.0, "db": 60.0}
    assert ran_on(quits("any", ends=1)) == {}
