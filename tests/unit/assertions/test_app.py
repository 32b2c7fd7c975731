"""The handle that assertions get: what it hands on to the commands and requests below it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.assertions import app as handles
from harness.assertions.app import App
from harness.assertions.protocol import Facts, Health
from harness.core.errors import ContainerUnavailableError
from harness.core.model import Stage
from harness.exec.exec import ExecResult, ExecTarget
from harness.exec.http import PatientProber, Request, Response
from harness.swarm.nodes import Nodes
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

TEMPLATE: Mapping[str, Any] = {"ContainerSpec": {"Image": "i"}}


def made(handed_over: tuple[str, ...] = (), **options: Any) -> App:  # noqa: ANN401  of several types
    """Return the handle to an app of which nothing is up."""
    facts = Facts(
        run="r", recipe="made", stack="s", domain="d.test", stage=Stage.INSTALL, deployed="",
        deployed_version="", chaos=False, base_commit="", base_version="", head_commit="",
        head_version="", services=("app",), ledger="", handed_over=handed_over,
        health=Health(service="web", port=8080, path="/healthz", scheme="https"),
    )  # fmt: skip
    client: Any = SimpleNamespace()
    return App(nodes=Nodes(client=client, own="n"), facts=facts, reader="tools", **options)


def task(number: int, *, state: str = "running", desired: str = "running") -> TaskState:
    """Return a task of the service; a higher number is a newer one."""
    return TaskState(
        id=f"t{number}", service_id="s1", slot="1", state=state, desired=desired, error="",
        exit_code=0, container_id=f"c{number}", node_id="n", created_at=f"{number}", spec={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ((task(1),), "c1"),
        ((task(1), task(2)), "c2"),
        ((task(1, desired="shutdown"), task(2, state="preparing")), None),
        ((task(2, desired="shutdown"), task(1)), "c1"),
        ((), None),
    ],
)
def test_the_container_that_serves_is_that_of_the_newest_task_that_runs_and_is_to(
    tasks: tuple[TaskState, ...], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is being stopped serves no more, though it still runs."""
    raw = {"ID": "s1", "Spec": {"Name": "s_app", "TaskTemplate": TEMPLATE}}
    look = StackSnapshot(
        stack="s", node_id="n", services=(ServiceState.parse(raw, "s"),), tasks=tasks, containers={}
    )
    monkeypatch.setattr(handles, "read_stack", lambda *_, **__: look)
    assert made().container() == expected
    assert made().container("other") is None


def test_a_service_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended well under `restart_policy: on-failure`, or used up its restarts."""
    raw = {"ID": "s1", "Spec": {"Name": "s_app", "TaskTemplate": TEMPLATE}}
    over = task(1, state="complete", desired="shutdown")

    def resolved(*tasks: TaskState) -> str | None:
        look = StackSnapshot(
            stack="s", node_id="n", services=(ServiceState.parse(raw, "s"),), tasks=tasks,
            containers={},
        )  # fmt: skip
        monkeypatch.setattr(handles, "read_stack", lambda *_, **__: look)
        return made().target("app").resolve()

    with pytest.raises(ContainerUnavailableError, match="app has ended, and Swarm does not start"):
        resolved(over)
    assert resolved(over, task(2, state="ready", desired="ready")) is None
    assert resolved(over, task(2)) == "c2"
    assert resolved(task(1, state="failed")) is None, "the Swarm has not looked at it yet"
    assert resolved() is None


@pytest.fixture(name="ran")
def ran_fixture(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ExecTarget, Any, dict[str, Any]]]:
    """Every command that is run, with where and how."""
    ran: list[tuple[ExecTarget, Any, dict[str, Any]]] = []

    def run(self: ExecTarget, argv: Any, **options: Any) -> ExecResult:  # noqa: ANN401  as given
        ran.append((self, argv, options))
        return ExecResult(argv=(), stdout=b"content", stderr=b"", code=0, container="c")

    monkeypatch.setattr(ExecTarget, "exec", run)
    return ran


def test_a_command_has_a_time_out_that_somebody_chose(
    ran: list[tuple[ExecTarget, Any, dict[str, Any]]], tmp_path: Path
) -> None:
    """It is stretched on slow hosts; nothing else is changed on the way, and retries are noted."""
    noted: list[str] = []
    app = made(factor=3.0, patience=20.0, note=noted.append)
    with pytest.raises(TypeError, match="timeout"):
        app.exec_in_app("db", ["true"])  # type: ignore[call-arg]  # that is what is tested
    assert ran == []
    app.exec_in_app(
        "db", ["dump"], timeout=5, check=False, stdin=b"in", repeatable=True, stdout_to=tmp_path
    )
    ((target, argv, options),) = ran
    assert (target.name, target.patience, argv) == ("db", 60.0, ["dump"])
    assert options == {
        "timeout": 15.0,
        "check": False,
        "stdin": b"in",
        "repeatable": True,
        "stdout_to": tmp_path,
    }
    target.note("tried again")
    assert noted == ["tried again"]


def test_reading_a_file_is_safe_to_do_twice(
    ran: list[tuple[ExecTarget, Any, dict[str, Any]]],
) -> None:
    """A replaced container costs a try; a file that is not there raises."""
    assert made().read_file("/a b") == b"content"
    ((_, argv, options),) = ran
    assert (argv, options["repeatable"], options["check"]) == (["cat", "/a b"], True, True)


def test_a_request_knows_what_was_handed_over_and_for_how_long_to_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a container that is just coming up would be taken for a broken app."""
    sent: list[tuple[PatientProber, Request, dict[str, Any]]] = []

    def send(self: PatientProber, request: Request, **options: Any) -> Response:  # noqa: ANN401  as given
        sent.append((self, request, options))
        return Response(url="u", status=204, headers={}, body=b"", container="c")

    monkeypatch.setattr(PatientProber, "send", send)
    app = made(("c1", "c2"), factor=2.0, patience=30.0)
    assert app.http_get().status == 204
    app.http(Request(path="/x"), service="other", port=1)
    (first, health, options), (second, _, others) = sent
    assert first.handed_over == ("c1", "c2")
    assert (first.target.name, first.target.patience) == ("web", 60.0)
    assert first.prober.timeout == 20.0
    assert (health.path, options) == (
        "/healthz",
        {"port": 8080, "host": "d.test", "scheme": "https"},
    )
    assert (second.target.name, others["port"], others["scheme"]) == ("other", 1, "http")


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"<h1>It works</h1>", ""),
        (200, b"<h1>Another app</h1>", "the marker 'It works' is not in it"),
        (500, b"It works, says the error page", "status 500 instead of"),
        (404, b"It works", "status 404 instead of"),
        (0, b"It works", "status 0 instead of"),
    ],
)
def test_an_answer_is_healthy_with_the_right_status_and_the_marker(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, problem: str
) -> None:
    """An error page, or the page of another app, is a problem that quotes the answer."""
    answer = Response(url="http://web/healthz", status=status, headers={}, body=body, container="c")
    monkeypatch.setattr(PatientProber, "send", lambda *_, **__: answer)
    app = made()
    health = Health(service="web", port=8080, path="/healthz", marker="It works")
    found = replace(app, facts=replace(app.facts, health=health)).health_problem()
    assert problem in found
    assert bool(found) == bool(problem)


def test_a_marker_may_stand_in_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some apps name themselves only there."""
    answer = Response(url="u", status=200, headers={"x-powered-by": "Made"}, body=b"", container="")
    monkeypatch.setattr(PatientProber, "send", lambda *_, **__: answer)
    app = made()
    for marker, healthy in (("x-powered-by: Made", True), ("Other", False)):
        facts = replace(app.facts, health=replace(app.facts.health, marker=marker))
        assert (replace(app, facts=facts).health_problem() == "") is healthy
