"""Which services wait for which, by the addresses that their definitions name."""

from dataclasses import replace
from typing import Any

import pytest

from harness.swarm.neighbours import Neighbours, ambiguous, logged
from harness.swarm.states import ServiceState
from tests.unit.fake_stack import look, service


def owner(name: str = "app", **spec: Any) -> ServiceState:  # noqa: ANN401  any part of a container
    """Return a service with these parts of a definition."""
    return replace(service(name), template={"ContainerSpec": {"Image": "x:1", **spec}})


def waits(app: ServiceState, *others: ServiceState, text: str = "") -> bool:
    """Whether the app waits for the database, with that text in each config."""
    seen = look(app, *(others or (service("db"),)))
    return Neighbours.of(seen, lambda _: text).waits("app", "db")


@pytest.mark.parametrize(
    "text",
    [
        "db",
        "db:5432",
        "made_test_db",
        "tasks.db",
        "postgres://user:secret@db/app",
        "postgres://user:secret@made_test_db:5432/app?sslmode=disable",
        "cache,db",
        "http://db/",
        "pg_isready -h db -U app",
        "until nc -z db 5432; do sleep 1; done",
        "exec 3<>/dev/tcp/db/5432",
        "--host=db",
        'host = "db";',
    ],
)
def test_an_address_is_found_wherever_a_program_is_told_it(text: str) -> None:
    """In the command, its arguments, and the values of variables."""
    assert waits(owner(Command=["sh", "-c", text]))
    assert waits(owner(Args=[text]))
    assert waits(owner(Env=[f"DATABASE_URL={text}"]))
    assert waits(owner(Configs=[{"ConfigID": "c1"}]), text=text)


@pytest.mark.parametrize(
    "text",
    ["/var/lib/db", "db.sqlite3", "mydb", "my-db", "db-data", "db_1", "initdb", "", "/db", "a.db"],
)
def test_a_path_or_a_part_of_a_word_is_not_an_address(text: str) -> None:
    """Service names are short words that stand in many places."""
    assert not waits(owner(Args=[text], Env=[f"X={text}"]))


def test_templates_name_the_stack_before_the_service() -> None:
    """Swarm fills such a config in, and a shell does."""
    config = owner(Configs=[{"ConfigID": "c1"}])
    assert waits(config, text='fastcgi_pass {{ env "STACK_NAME" }}_db:9000;')
    assert waits(config, text="psql -h ${STACK_NAME}_db")


@pytest.mark.parametrize(
    "name", ["POSTGRES_DB", "DB_USER", "DB_NAME", "DATABASE", "MYSQL_DATABASE"]
)
def test_the_name_of_a_database_or_user_is_not_an_address(name: str) -> None:
    """It is often that of the service."""
    assert not waits(owner(Env=[f"{name}=db"]))


@pytest.mark.parametrize("name", ["DB_HOST", "POSTGRES_HOSTNAME", "DATABASE_URL", "REDIS"])
def test_any_other_variable_may_hold_an_address(name: str) -> None:
    """Programs call them what they like."""
    assert waits(owner(Env=[f"{name}=db"]))


def test_two_that_know_each_other_wait_for_nobody() -> None:
    """Nothing tells which of them comes first; nor does a third one between them."""
    assert not waits(owner(Args=["db"]), owner("db", Args=["app"]))
    web = owner("web", Args=["app"])
    assert not waits(owner(Args=["db"]), owner("db", Args=["web"]), web)


def test_one_leads_to_another_over_a_third() -> None:
    """A web server knows the app only."""
    assert waits(owner(Args=["api"]), owner("api", Args=["db"]), service("db"))
    assert not waits(owner(Args=["api"]), owner("api"), service("db"))


def test_what_is_not_there_waits_for_nobody() -> None:
    """A service may be gone by then."""
    assert not Neighbours({}).waits("app", "db")


@pytest.mark.parametrize(
    "line",
    [
        'could not translate host name "db" to address: Name or service not known',
        'connection to server at "db" (10.0.1.5), port 5432 failed: Connection refused',
        "dial tcp: lookup db on 127.0.0.11:53: no such host",
        "db:5432 - no response",
        "Error: getaddrinfo ENOTFOUND db",
        "Unknown MySQL server host 'db' (-2)",
        "could not connect to postgres://user:***@db/app",
        "curl: (7) Failed to connect to made_test_db port 80",
        "curl: (6) Could not resolve host: db",
        "curl: (7) Failed to connect to db port 80",
    ],
)
def test_a_log_names_an_address(line: str) -> None:
    """It may be built in, or in a secret; the program says it when it cannot get there."""
    assert logged(f"starting\n{line}\n", "db", "made_test")


@pytest.mark.parametrize(
    "line",
    [
        'FATAL: role "db" does not exist',
        'database "db" does not exist',
        "starting db",
        "migrating db...",
        "/var/lib/db: permission denied",
        "mydb:5432",
        "db: 3 files",
        "host db.example.org is down",
        "",
    ],
)
def test_a_word_in_a_log_is_no_address(line: str) -> None:
    """Services have names like db, web and app."""
    assert not logged(line, "db", "made_test")


def on(one: ServiceState, *networks: str) -> ServiceState:
    """Return a service that is on these networks."""
    targets = [{"Target": network} for network in networks]
    return replace(one, template={**one.template, "Networks": targets})


def named(text: str, *, app: str = "n-shared", web: str = "n-shared", **spec: Any) -> list[str]:  # noqa: ANN401  any part of a container
    """Return which names another app may answer to, where web's command has that text."""
    asks = on(owner("web", Args=[text], **spec), "n-own", web)
    asked = [on(owner(name), app) for name in ("app", "api")]
    warnings = ambiguous(look(asks, *asked), ["n-shared"], lambda _: "")
    return [one.text.split()[3] for one in warnings]


def test_a_bare_name_on_a_network_of_several_apps_is_told() -> None:
    """Every recipe has an `app` there, so that one's own need not be."""
    assert named("proxy_pass http://app:80;") == ["app"]
    assert named("", Env=["UPSTREAM_HOST=api"]) == ["api"]
    assert named("http://app http://api") == ["app", "api"]
    assert named("http://app http://api", app="n-own") == ["app"]


def test_a_name_that_is_whole_or_stays_within_the_app_is_not_told() -> None:
    """Nor is a word that may be no address."""
    assert named("http://made_test_app:80 http://${STACK_NAME}_app") == []
    assert named("http://app", web="n-other") == []
    assert named("celery -A app worker", Env=["NAME=app"]) == []
