"""Which crashes count, and which of several services that crash is named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.swarm.crashes import UNCHECKED_UP_SECONDS, Crashes
from harness.swarm.readiness import Before
from harness.swarm.states import ServiceState, StackSnapshot, TaskState
from tests.unit.fake_stack import container, ended, look, service, task

APP, DB, WEB = service(), service("db"), service("web")


def crashed(owner: ServiceState, *numbers: int, code: int = 1) -> tuple[TaskState, ...]:
    """Return a service's crashed tasks of those numbers."""
    return tuple(ended(task(owner, n), code, f"exit ({code})") for n in numbers)


def waiting(owner: ServiceState, number: int = 50) -> TaskState:
    """Return a task that waits to be started."""
    return task(owner, number, state="ready", desired="ready", container_id="")


def seen(
    tasks: Mapping[str, tuple[TaskState, ...]] | None = None,
    *services: ServiceState,
    health: str | None = "healthy",
    age: float = 1.0,
) -> StackSnapshot:
    """Return a look at these services, whose running containers are that old and healthy."""
    found = tuple(one for group in (tasks or {}).values() for one in group)
    made = look(*services, tasks=found)
    running = [one.container_id for one in found if one.state == "running"]
    return replace(
        made, containers={name: container(name, health=health, age=age) for name in running}
    )


def hopeless(*looks: StackSnapshot, before: Before | None = None) -> str:
    """Return what is said after these looks."""
    crashes = Crashes(before=before or Before())
    for one in looks:
        crashes.look(one)
    return crashes.hopeless(looks[-1])


def alone(*numbers: int) -> StackSnapshot:
    """Return a look at an app that crashed so often, and is going to be started again."""
    return seen({"app": (*crashed(APP, *numbers), waiting(APP))}, APP)


def test_a_crash_loop_is_given_up_after_a_few_crashes() -> None:
    """Long before the time-out, with the engine's own sentence; Swarm forgets older tasks."""
    assert hopeless(alone(1, 2, 3)) == ""
    assert hopeless(alone(1, 2, 3, 4)) == "app: it crashed 4 times in a row (exit (1))"
    assert "5 times" in hopeless(alone(1, 2), alone(2, 3, 4), alone(4, 5))


def test_crashes_from_before_the_op_do_not_count() -> None:
    """They belong to what was deployed then; a kill is not the app's doing."""
    tasks = alone(1, 2, 3, 4)
    assert hopeless(tasks, before=Before(task_ids=frozenset({"task-app-1"}))) == ""
    assert hopeless(replace(tasks, killed=frozenset({"task-app-1"}))) == ""


def with_db(*numbers: int, health: str = "healthy") -> StackSnapshot:
    """Return a look at an app that crashed so often, beside a database."""
    tasks = {"app": (*crashed(APP, *numbers), waiting(APP)), "db": (task(DB),)}
    return seen(tasks, APP, DB, health=health)


def test_an_app_may_crash_until_its_database_is_up() -> None:
    """However often; from then on its crashes count, but not that of a task from before."""
    many = with_db(1, 2, 3, 4, 5, 6, health="starting")
    assert hopeless(many) == ""
    up = with_db(1, 2, 3, 4, 5, 6)
    assert hopeless(many, up) == ""
    assert hopeless(many, with_db(5, 6)) == "", "Swarm has forgotten the first four"
    assert hopeless(many, up, with_db(5, 6, 50, 51, 52, 53)) == "", "number 50 was waiting then"
    assert "app: it crashed" in hopeless(many, up, with_db(51, 52, 53, 54))


def test_a_neighbour_without_a_health_check_is_up_after_a_while() -> None:
    """It runs at once, and may need long before it answers."""
    tasks = {"app": (*crashed(APP, 1, 2, 3, 4), waiting(APP)), "db": (task(DB),)}

    def at(age: float) -> StackSnapshot:
        return seen(tasks, APP, DB, health=None, age=age)

    assert hopeless(at(UNCHECKED_UP_SECONDS - 1)) == ""
    late = replace(at(UNCHECKED_UP_SECONDS), tasks=(*crashed(APP, 51, 52, 53, 54), task(DB)))
    assert "app: it crashed" in hopeless(at(UNCHECKED_UP_SECONDS), late)


def test_two_that_crash_until_a_third_is_up_are_both_waited_for() -> None:
    """Neither is what the other waits for."""
    loops = {
        "app": (*crashed(APP, 1, 2, 3, 4, 5), waiting(APP)),
        "web": (*crashed(WEB, 1, 2, 3, 4, 5), waiting(WEB)),
        "db": (task(DB),),
    }
    assert hopeless(seen(loops, APP, WEB, DB, health="starting")) == ""
    assert hopeless(seen(loops, APP, WEB, DB)) == ""


def test_of_several_the_one_that_dies_first_and_most_often_is_named() -> None:
    """Where all crash there is nothing to wait for; the others are told as well."""
    tasks = {
        "app": (*crashed(APP, 3, 4, 5, 6), waiting(APP)),
        "db": (*crashed(DB, 1, 2, 3, 4, 5), waiting(DB)),
    }
    said = hopeless(seen(tasks, APP, DB))
    assert said == "db: it crashed 5 times in a row (exit (1)); also crashed: app 4 times"
    few = {"app": tasks["app"], "db": (*crashed(DB, 1, 2, 3), waiting(DB))}
    assert hopeless(seen(few, APP, DB)) == "", "the database may come up at its fourth start"


def knows(owner: ServiceState, *addresses: str) -> ServiceState:
    """Return a service whose command names these addresses."""
    spec = {**owner.template["ContainerSpec"], "Args": ["sh", "-c", *addresses]}
    return replace(owner, template={"ContainerSpec": spec})


PATIENT = knows(APP, "until curl -sf http://made_test_db/; do sleep 1; done")


def beside(app: ServiceState, db: ServiceState, *numbers: int, **state: Any) -> StackSnapshot:  # noqa: ANN401
    """Return a look at an app that runs, and at a database beside it that crashed so often."""
    return seen(
        {"app": (task(app),), "db": (*crashed(db, *numbers), waiting(db))}, app, db, **state
    )


@pytest.mark.parametrize("health", ["starting", None])
def test_a_database_is_named_early_although_a_patient_app_is_not_up(health: str | None) -> None:
    """netreconlab/parse-hipaa#14: "Postgres is unavailable - sleeping", and it ends with 1."""
    assert hopeless(beside(PATIENT, DB, 1, 2, 3, health=health)) == ""
    said = "db: it crashed 4 times in a row (exit (1))"
    assert hopeless(beside(PATIENT, DB, 1, 2, 3, 4, health=health)) == said


@pytest.mark.parametrize(
    ("app", "db"), [(APP, DB), (PATIENT, knows(DB, "http://app/")), (APP, knows(DB, "http://app/"))]
)
def test_what_may_wait_for_its_neighbour_is_waited_for(app: ServiceState, db: ServiceState) -> None:
    """Where nothing says who waits for whom, where both may, and where it is the other way."""
    assert hopeless(beside(app, db, 1, 2, 3, 4, 5, 6, health="starting")) == ""


def test_an_app_that_comes_up_does_not_excuse_the_database_that_it_waits_for() -> None:
    """It runs without a health check for a minute, and still asks for the database."""
    young, old = (
        beside(PATIENT, DB, *numbers, health=None, age=age)
        for numbers, age in (((1, 2), 10.0), ((1, 2, 3, 4), UNCHECKED_UP_SECONDS))
    )
    assert hopeless(young, old).startswith("db: it crashed 4 times")
    stranger = [replace(one, services=(APP, DB)) for one in (young, old)]
    assert hopeless(*stranger) == ""


def test_a_third_one_is_waited_for_unless_it_waits_for_the_first() -> None:
    """A web server in front of the app leads to the database in two steps; a cache does not."""
    for web, said in ((knows(WEB, "proxy_pass http://app:9000;"), "db: it crashed"), (WEB, "")):
        made = {
            "app": (task(PATIENT),), "db": (*crashed(DB, 1, 2, 3, 4), waiting(DB)),
            "web": (task(web),),
        }  # fmt: skip
        now = seen(made, PATIENT, DB, web, health="starting")
        assert hopeless(now).startswith(said)
        assert bool(hopeless(now)) == bool(said)


def test_of_two_that_crash_the_one_that_the_other_waits_for_is_named() -> None:
    """However often and however soon the other crashed."""
    tasks = {
        "app": (*crashed(PATIENT, 1, 2, 3, 4, 5, 6), waiting(PATIENT)),
        "db": (*crashed(DB, 7, 8, 9, 10), waiting(DB)),
    }
    assert hopeless(seen(tasks, PATIENT, DB)) == (
        "db: it crashed 4 times in a row (exit (1)); also crashed: app 6 times"
    )


def test_addresses_in_configs_count() -> None:
    """They are read from the engine, by their ids."""
    spec = {**APP.template["ContainerSpec"], "Configs": [{"ConfigID": "c1", "ConfigName": "x"}]}
    app = replace(APP, template={"ContainerSpec": spec})
    crashes = Crashes(before=Before(), read={"c1": "host = db"}.__getitem__)
    now = beside(app, DB, 1, 2, 3, 4, health="starting")
    crashes.look(now)
    assert crashes.hopeless(now).startswith("db: it crashed 4 times")


NO_DB, NO_APP = "connect to db:5432: refused", "no answer from http://app/"


@pytest.mark.parametrize(
    ("said", "app", "db"),
    [
        (NO_DB, APP, DB),  # a secret or the image has the address
        (NO_DB, PATIENT, DB),
        (NO_APP, PATIENT, DB),  # what the definitions say goes before what a log says
    ],
)
def test_what_a_program_says_at_its_end_tells_whom_it_waits_for(
    said: str, app: ServiceState, db: ServiceState
) -> None:
    """However often and however soon the app itself crashed."""
    tasks = {
        "app": (*crashed(app, 1, 2, 3, 4, 5, 6), waiting(app)),
        "db": (*crashed(db, 7, 8, 9, 10), waiting(db)),
    }
    now = seen(tasks, app, db)
    words = {"id-app": said if said == NO_DB else "", "id-db": said if said == NO_APP else ""}
    crashes = Crashes(before=Before(), words=lambda task: words[task.service_id])
    crashes.look(now)
    assert crashes.hopeless(now).startswith("db: it crashed 4 times in a row")


def logging(words: str) -> Crashes:
    """Return what follows programs that all log the same before they end."""
    return Crashes(before=Before(), words=lambda _: words)


def test_two_that_name_each_other_in_their_logs_may_both_recover() -> None:
    """Nothing tells which of them comes first; where one names the other, that one is given up."""
    tasks = {
        "app": (*crashed(APP, 1, 2), waiting(APP)),
        "db": (*crashed(DB, 7, 8, 9, 10), waiting(DB)),
    }
    now = seen(tasks, APP, DB)
    for words, said in ((f"{NO_DB}, {NO_APP}", ""), (NO_DB, "db: it crashed 4 times in a row")):
        crashes = logging(words)
        crashes.look(now)
        assert crashes.hopeless(now).startswith(said)
        assert bool(crashes.hopeless(now)) == bool(said)


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_is_missing_is_not_waited_for(code: int) -> None:
    """No neighbour cures that, and it is named, whatever else crashes and however often."""
    tasks = {
        "app": (*crashed(APP, *range(1, 9)), waiting(APP)),
        "db": (*crashed(DB, 1, 2, 3, 4, code=code), waiting(DB)),
        "web": (task(WEB),),
    }
    said = hopeless(seen(tasks, APP, DB, WEB, health="starting"))
    assert said.startswith(f"db: it crashed 4 times in a row (exit ({code}))")


def quits(owner: ServiceState, *numbers: int) -> StackSnapshot:
    """Return a look at a service whose tasks end with code 0, and are started again."""
    done = tuple(task(owner, n, state="complete", desired="shutdown") for n in numbers)
    return seen({"app": (*done, waiting(owner))}, owner)


def test_a_worker_that_ends_well_again_and_again_crashes_too() -> None:
    """Unless the recipe asks for a delay between two runs, as a job does."""
    assert hopeless(quits(APP, 1, 2, 3, 4)) == "app: it ended with code 0 4 times in a row"
    assert hopeless(quits(service(delay=20.0), 1, 2, 3, 4)) == ""


def test_what_its_health_check_stopped_has_crashed_with_any_code() -> None:
    """A server that ends politely when it is stopped leaves code 0, and Swarm starts it again."""
    plain = quits(APP, 1, 2, 3, 4)
    sick = {
        one.container_id: container(
            one.container_id, running=False, health="unhealthy", last_check="exit code 22\nno page"
        )
        for one in plain.tasks
        if one.state == "complete"
    }
    assert hopeless(replace(plain, ended=sick)) == (
        "app: it crashed 4 times in a row (stopped for being unhealthy, and ended with code 0; its "
        "last check: no page)"
    )
