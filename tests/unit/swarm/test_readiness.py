"""When a stack has settled and when it never will: every trap that happened to somebody."""

from dataclasses import replace
from typing import Any

import pytest

from harness.swarm.jobs import ran_on
from harness.swarm.readiness import Before, lost, unsettled
from harness.swarm.states import ContainerState, ServiceState, StackSnapshot, TaskState

NODE = "node1"
V1: dict[str, Any] = {"ContainerSpec": {"Image": "app:1"}}
V2: dict[str, Any] = {"ContainerSpec": {"Image": "app:2"}}


def service(name: str = "app", **changes: Any) -> ServiceState:  # noqa: ANN401  any field
    """Return a service that is as it should be, but for the changes."""
    base = ServiceState(
        id=f"id-{name}", name=name, image="app:1", labels={}, replicas=1, job=False, restart="any",
        update_state="", update_started="", update_message="", template=V1,
    )  # fmt: skip
    return replace(base, **changes)


def task(owner: str = "app", number: int = 1, **changes: Any) -> TaskState:  # noqa: ANN401
    """Return a running task, but for the changes."""
    base = TaskState(
        id=f"task-{owner}-{number}", service_id=f"id-{owner}", slot="1", state="running",
        desired="running", error="", exit_code=0, container_id=f"c-{owner}-{number}",
        node_id=NODE, created_at=f"2026-01-01T00:00:{number:02}Z", spec=V1,
    )  # fmt: skip
    return replace(base, **changes)


def container(identity: str, **changes: Any) -> ContainerState:  # noqa: ANN401
    """Return a healthy container, but for the changes."""
    base = ContainerState(
        id=identity,
        running=True,
        status="running",
        health="healthy",
        exit_code=0,
        started_at="t",
        age=60.0,
    )
    return replace(base, **changes)


def look(
    services: list[ServiceState],
    tasks: list[TaskState],
    containers: list[ContainerState] | None = None,
) -> StackSnapshot:
    """Return a snapshot; containers are healthy unless given."""
    seen = containers
    if seen is None:
        seen = [container(t.container_id) for t in tasks if t.desired == "running"]
    return StackSnapshot(
        stack="s", node_id=NODE, services=tuple(services), tasks=tuple(tasks),
        containers={state.id: state for state in seen},
    )  # fmt: skip


def test_a_healthy_stack_has_settled() -> None:
    """One of one runs, and it is healthy."""
    assert unsettled(look([service()], [task()]), Before()) == []


def test_a_stack_without_services_has_not_settled() -> None:
    """Nothing is not everything."""
    assert unsettled(look([], []), Before())


@pytest.mark.parametrize("state", ["new", "pending", "preparing", "starting", "complete", "failed"])
def test_a_task_that_does_not_run_is_waited_for(state: str) -> None:
    """Only `running` counts: a task that is starting has a container that answers nothing yet."""
    assert unsettled(look([service()], [task(state=state)]), Before())


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_a_container_that_is_not_healthy_is_waited_for(health: str) -> None:
    """The task says `running`, and its health check does not."""
    assert unsettled(look([service()], [task()], [container("c-app-1", health=health)]), Before())


def test_a_container_that_is_gone_is_waited_for() -> None:
    """The task list lags behind the engine."""
    assert unsettled(look([service()], [task()], []), Before())


def test_a_container_without_a_health_check_is_usable_when_it_runs() -> None:
    """Nothing more can be known of it."""
    assert (
        unsettled(look([service()], [task()], [container("c-app-1", health=None)]), Before()) == []
    )


def test_a_container_on_another_node_is_judged_by_its_task() -> None:
    """This engine cannot see it."""
    assert unsettled(look([service()], [task(node_id="node2")], []), Before()) == []


def test_all_replicas_are_waited_for() -> None:
    """One of two is not two."""
    assert unsettled(look([service(replicas=2)], [task()]), Before())


def test_no_replicas_wanted_means_nothing_to_wait_for() -> None:
    """A service may be there to be scaled up by hand."""
    assert unsettled(look([service(replicas=0)], []), Before()) == []


def test_an_old_version_that_still_serves_is_not_the_new_one() -> None:
    """Right after a redeploy the old task runs, 1/1, and no update has begun yet."""
    assert unsettled(look([service(template=V2)], [task(spec=V1)]), Before())


def test_an_update_under_way_is_waited_for() -> None:
    """Also when the new task is up: the monitor time may still roll it back."""
    changing = service(template=V2, update_state="updating", update_started="t2")
    assert unsettled(look([changing], [task(spec=V2)]), Before())


def test_a_status_left_from_the_update_before_is_not_believed() -> None:
    """The first read after a redeploy may show the previous `completed`."""
    before = Before(update_started={"app": "t1"}, templates={"app": V1})
    stale = service(template=V2, update_state="completed", update_started="t1")
    fresh = replace(stale, update_started="t2")
    assert unsettled(look([stale], [task(spec=V2)]), before)
    assert unsettled(look([fresh], [task(spec=V2)]), before) == []


def test_a_service_that_the_op_did_not_change_keeps_its_status() -> None:
    """No update begins for it, so none is waited for."""
    before = Before(update_started={"app": "t1"}, templates={"app": V1})
    same = service(update_state="completed", update_started="t1")
    assert unsettled(look([same], [task()]), before) == []


def test_a_one_shot_service_is_done_when_it_ended_well() -> None:
    """It shows 0/1 for ever, and that is right."""
    once = service(restart="none")
    done = task(state="complete", desired="shutdown")
    assert unsettled(look([once], [done], []), Before()) == []
    assert unsettled(look([once], [replace(done, state="failed")], []), Before())


def test_a_job_is_done_when_it_completed() -> None:
    """Jobs count completions."""
    job = service(job=True)
    assert unsettled(look([job], [task(state="running")]), Before())
    assert unsettled(look([job], [task(state="complete", desired="shutdown")], []), Before()) == []


@pytest.mark.parametrize(
    "state", ["paused", "rollback_started", "rollback_paused", "rollback_completed"]
)
def test_a_rollback_or_a_pause_is_the_end(state: str) -> None:
    """The old version serves with HTTP 200, and waiting on `paused` would be for ever."""
    gone = service(update_state=state, update_started="t2")
    assert state in lost(look([gone], [task()]), Before())


def test_the_rollback_of_an_earlier_update_does_not_condemn_this_one() -> None:
    """A stale status is not believed when it is bad, either."""
    before = Before(update_started={"app": "t1"}, templates={"app": V1})
    stale = service(template=V2, update_state="rollback_completed", update_started="t1")
    assert lost(look([stale], [task(spec=V2)]), before) == ""


def test_a_task_that_is_not_started_again_is_the_end() -> None:
    """A restart policy of none, or one that is used up."""
    dead = task(state="failed", desired="shutdown", error="task: non-zero exit (3)")
    assert "non-zero exit (3)" in lost(look([service(restart="none")], [dead], []), Before())


def test_rejected_tasks_are_given_up() -> None:
    """The engine refuses them for a reason that does not go away."""
    refused = [
        task(number=n, state="rejected", desired="shutdown", error="invalid mount config")
        for n in range(1, 4)
    ]
    now = task(number=9, state="pending")
    assert "invalid mount config" in lost(look([service()], [*refused, now], []), Before())


def test_crashes_from_before_the_op_do_not_count() -> None:
    """They belong to what was deployed then."""
    crashes = [task(number=n, state="failed", desired="shutdown") for n in range(1, 6)]
    before = Before(task_ids=frozenset(t.id for t in crashes))
    assert lost(look([service()], [*crashes, task(number=9)]), before) == ""


def test_a_task_that_waits_to_be_started_again_is_still_coming() -> None:
    """After a crash, for the restart delay, no task is to run yet: that is not the end."""
    crashed = task(state="failed", desired="shutdown", error="exit 1")
    again = task(number=2, state="ready", desired="ready")
    assert lost(look([service()], [crashed, again], []), Before()) == ""
    assert unsettled(look([service()], [crashed, again], []), Before())


def test_a_container_without_a_health_check_has_to_run_for_a_while() -> None:
    """A crash loop looks fine right after each start."""
    young = container("c-app-1", health=None, age=1.0)
    assert "has no health check" in unsettled(look([service()], [task()], [young]), Before())[0]
    assert unsettled(look([service()], [task()], [replace(young, age=6.0)]), Before()) == []


def crash(number: int, *, seconds: int, **changes: Any) -> TaskState:  # noqa: ANN401  any field
    """Return a task that crashed so long after it was made."""
    since = f"2026-01-01T00:00:{number + seconds:02}.123456789Z"
    ended = task(number=number, state="failed", desired="shutdown", exit_code=1, state_since=since)
    return replace(ended, **changes)


@pytest.mark.parametrize(("age", "reasons"), [(6.0, 1), (8.0, 0)])
def test_a_container_has_to_outlive_the_one_that_crashed(age: float, reasons: int) -> None:
    """Five seconds each: between two crashes, a loop looks like an app that is well."""
    now = look([service()], [task(number=2), crash(1, seconds=5)], [container("c-app-2", age=age)])
    assert len(unsettled(now, Before())) == reasons


def test_it_is_not_waited_for_ever() -> None:
    """An app that crashed after most of a minute is given half a minute, not more."""
    crashed = crash(1, seconds=50)
    now = look([service()], [task(number=2), crashed], [container("c-app-2", age=31.0)])
    assert unsettled(now, Before()) == []


@pytest.mark.parametrize(
    "changes",
    [{"spec": V2}, {"slot": "2"}, {"state": "shutdown"}, {"created_at": "2026-01-01T00:00:09Z"}],
)
def test_what_has_nothing_to_do_with_that_crash_is_not_held_up(changes: dict[str, Any]) -> None:
    """Another version, another slot, one that was told to stop, one that came later."""
    crashed = crash(1, seconds=5, **changes)
    now = look([service()], [task(number=2), crashed], [container("c-app-2", age=2.0)])
    assert unsettled(now, Before()) == []


def test_a_changed_service_that_wants_no_replicas_has_no_update_to_wait_for() -> None:
    """Swarm replaces nothing and writes no status."""
    before = Before(update_started={"app": "t1"}, templates={"app": V1})
    none = service(template=V2, replicas=0, update_state="completed", update_started="t1")
    assert unsettled(look([none], []), before) == []


def test_a_one_shot_service_that_ended_well_is_not_a_failed_update() -> None:
    """Swarm says `paused`, because the task ended within the monitor time."""
    once = service(restart="none", template=V2, update_state="paused", update_started="t2")
    done = task(state="complete", desired="shutdown", spec=V2)
    assert lost(look([once], [done], []), Before()) == ""
    assert lost(look([once], [replace(done, state="failed")], []), Before())


def test_a_job_of_the_version_before_does_not_count() -> None:
    """Its completion says nothing of the new one."""
    job = service(job=True, template=V2)
    old = task(state="complete", desired="shutdown", spec=V1)
    assert unsettled(look([job], [old], []), Before())


def over(owner: str = "app", number: int = 1, **changes: Any) -> TaskState:  # noqa: ANN401
    """Return a task that ended with code 0."""
    return task(owner, number, state="complete", desired="shutdown", **changes)


def with_ended(snapshot: StackSnapshot, **changes: Any) -> StackSnapshot:  # noqa: ANN401
    """Return the look, with the containers of tasks that ended with code 0 as they were."""
    done = [one.container_id for one in snapshot.tasks if one.state == "complete"]
    fields = {"running": False, "status": "exited", "health": None, "ran": 2.0, **changes}
    return replace(snapshot, ended={name: container(name, **fields) for name in done})


@pytest.mark.parametrize("restart", ["none", "on-failure"])
def test_a_one_shot_is_done_and_a_worker_has_quit(restart: str) -> None:
    """The difference is what the base did: a worker ran on there until it was upgraded."""
    seen = with_ended(look([service(restart=restart)], [over()], []))
    assert (unsettled(seen, Before()), lost(seen, Before())) == ([], "")
    longer = Before(ran={"app": 1.0})
    assert (unsettled(seen, longer), lost(seen, longer)) == ([], ""), "the base's was still at it"
    base = Before(ran={"app": 60.0})
    assert unsettled(seen, base)
    assert "ended with code 0 after 2 s, and is not started again; the base's ran on" in lost(
        seen, base
    )


def test_what_has_a_health_check_is_no_one_shot() -> None:
    """By its container, which may have the image's, and by the template where that is gone."""
    seen = look([service(restart="on-failure")], [over()], [])
    healthy = with_ended(seen, health="healthy")
    assert unsettled(healthy, Before())
    assert "although it has a health check" in lost(healthy, Before())
    sick = with_ended(seen, health="unhealthy", last_check="exit code 22\n% Total\ncurl: (22) 404")
    assert lost(sick, Before()) == (
        "app: its task is not started again; it was stopped for being unhealthy, and ended with "
        "code 0; its last check: curl: (22) 404"
    )
    for check, word in (({"Test": ["CMD", "x"]}, True), ({"Test": ["NONE"]}, False), ({}, False)):
        template = {"ContainerSpec": {"Image": "app:1", "Healthcheck": check}}
        owner = service(restart="none", template=template)
        assert bool(unsettled(look([owner], [over(spec=template)], []), Before())) == word


def test_a_job_that_failed_at_first_is_done_all_the_same() -> None:
    """A migration is tried again until its database is up, and nothing of it is live then."""
    tries = [task(number=n, state="failed", desired="shutdown") for n in (1, 2)]
    seen = with_ended(look([service(restart="on-failure")], [*tries, over(number=3)], []))
    assert (unsettled(seen, Before()), lost(seen, Before())) == ([], "")
    assert "not started again" in lost(look([service(restart="on-failure")], tries, []), Before())


def test_a_job_between_two_runs_has_settled() -> None:
    """Whether it waits or runs; but not before its first run, nor after one that failed."""
    cron = service(delay=20.0)
    waits = task(number=9, state="ready", desired="ready")
    runs, young = task(number=9), [container("c-app-9", health=None, age=1.0)]
    for snapshot in (look([cron], [over(), waits], []), look([cron], [over(), runs], young)):
        assert unsettled(with_ended(snapshot), Before()) == []
    assert unsettled(look([cron], [runs], young), Before())
    broke = task(number=8, state="failed", desired="shutdown")
    assert unsettled(with_ended(look([cron], [over(), broke, waits], [])), Before())
    assert unsettled(with_ended(look([cron], [over(spec=V2), waits], [])), Before())
    between = with_ended(look([cron], [over(), waits], []))
    assert unsettled(between, Before(ran={"app": 1.0})) == [], "it was at it when it was upgraded"
    assert unsettled(between, Before(ran={"app": 2.0})), "the base's worker ran on for longer"


@pytest.mark.parametrize("delay", [None, 0.0, 4.9])
def test_what_is_started_again_at_once_is_no_job(delay: float | None) -> None:
    """It is meant to run on: a recipe that wants a pause asks for one."""
    waits = task(number=9, state="ready", desired="ready")
    assert unsettled(with_ended(look([service(delay=delay)], [over(), waits], [])), Before())


def replicas(restart: str = "on-failure", *, age: float, ran: float = 2.0) -> StackSnapshot:
    """Return a look at a service of which one replica ended with code 0, and one runs on."""
    running = container("c-app-2", health=None, age=age)
    tasks = [over(), task(number=2, slot="2")]
    seen = look([service(restart=restart, replicas=2)], tasks, [running])
    return with_ended(seen, ran=ran)


def test_a_replica_that_ends_beside_one_that_runs_on_has_quit() -> None:
    """C9Glax/tranga#503: the second replica finds the database migrated, and shuts itself down."""
    said = "app: its task ended with code 0 after 2 s, and is not started again; another replica"
    assert lost(replicas(age=31.0), Before()) == f"{said} runs on (31 s)"
    assert unsettled(replicas(age=31.0), Before())
    assert lost(replicas(age=31.0), Before(ran={"app": 60.0})).endswith("60 s until the upgrade)")


@pytest.mark.parametrize(
    "seen",
    [
        replicas(age=29.0),
        replicas(age=31.0, ran=25.0),
        replicas("none", age=31.0),
    ],
)
def test_replicas_of_a_job_may_end_one_after_the_other(seen: StackSnapshot) -> None:
    """moby/moby#35080: five replicas of a one-off service, of which two are done."""
    assert lost(seen, Before()) == ""


def test_one_of_several_replicas_that_is_not_started_again_is_the_end() -> None:
    """The other one runs on, so only the slot tells; a replica that waits is still coming."""
    dead = task(state="failed", desired="shutdown", error="exit 3")
    both = service(restart="none", replicas=2)
    assert lost(look([both], [dead, task(number=2, slot="2")]), Before()) == (
        "app: its task failed and is not started again (exit 3)"
    )
    again = task(number=3, state="ready", desired="ready")
    assert lost(look([both], [dead, again, task(number=2, slot="2")]), Before()) == ""
    fewer = replace(both, replicas=1)
    assert lost(look([fewer], [dead, task(number=2, slot="2")]), Before()) == "", "scaled down"


def test_a_job_that_runs_at_the_upgrade_did_not_run_on() -> None:
    """It had ended before in that slot; and what has run is counted by its container."""
    seen = look([service(), service("db")], [over(), task(number=2), task("db")])
    assert ran_on(seen) == {"db": 60.0}


def test_a_kill_from_outside_needs_no_proof_of_lasting() -> None:
    """It says nothing of the app, and Swarm has replaced the container: nothing is waited for."""
    broke = task(state="failed", desired="shutdown", state_since="2026-01-01T00:01:00Z")
    seen = look([service()], [broke, task(number=2)], [container("c-app-2", age=6.0)])
    assert "has to last" in unsettled(seen, Before())[0]
    assert unsettled(replace(seen, killed=frozenset({broke.id})), Before()) == []


def test_what_is_never_started_again_may_take_its_time() -> None:
    """A migration is waited for, as long as a job may take; a worker has to prove that it lasts."""
    running = [container("c-app-1", health=None, age=10.0)]
    for restart in ("none", "on-failure"):
        assert unsettled(look([service(restart=restart)], [task()], running), Before())
        assert unsettled(look([service(restart=restart)], [task()]), Before()) == []
    assert unsettled(look([service()], [task()], running), Before()) == []


def test_a_task_that_quits_in_an_update_is_named() -> None:
    """Swarm calls that a failure, and takes the old version back."""
    back = service(update_state="rollback_completed", update_started="t2", template=V1)
    said = lost(look([back], [over(number=2, spec=V2), task()]), Before(templates={"app": V1}))
    assert "ended with code 0" in said


@pytest.mark.parametrize("state", ["updating", "rollback_started"])
def test_a_rollback_under_way_has_not_settled(state: str) -> None:
    """Its tasks run already, and are about to be replaced."""
    assert unsettled(look([service(update_state=state)], [task()]), Before()) == [
        f"app: update {state}"
    ]


def test_a_task_of_the_older_version_beside_a_new_one_has_not_settled() -> None:
    """All replicas run, and the old one serves requests until it is stopped."""
    old, new = task(number=1, spec={"old": True}), task(number=2)
    (reason,) = unsettled(look([service()], [old, new]), Before())
    assert "of an older version" in reason
