"""What is kept of a stack before it goes: every log, and first of all what ails."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.swarm.diagnose import (
    LAST_LINES,
    LOG_BYTES,
    ailing,
    collect_logs,
    diagnosis,
    failed_checks,
)
from harness.swarm.nodes import Nodes
from harness.swarm.states import ContainerState, ServiceState, StackSnapshot, TaskState

SPEC: dict[str, Any] = {"ContainerSpec": {"Image": "app:1"}}


def service(name: str) -> ServiceState:
    """Return a service of one replica."""
    return ServiceState(
        id=f"id-{name}", name=name, image="app:1", labels={}, replicas=1, job=False, restart="any",
        update_state="", update_started="", update_message="", template=SPEC,
    )  # fmt: skip


def task(owner: str, number: int, **changes: Any) -> TaskState:  # noqa: ANN401  any field
    """Return a running task with the container `owner-number`, but for the changes."""
    fields: dict[str, Any] = {
        "id": f"t-{owner}-{number}", "service_id": f"id-{owner}", "slot": "1", "state": "running",
        "desired": "running", "error": "", "exit_code": 0, "container_id": f"{owner}-{number}",
        "node_id": "here", "created_at": f"2026-01-01T00:00:{number:02}Z", "spec": SPEC,
    }  # fmt: skip
    return TaskState(**{**fields, **changes})


def inspected(identity: str) -> dict[str, Any]:
    """Return what an engine says of a healthy container."""
    state = {"Running": True, "Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}}
    return {"Id": identity, "State": {**state, "StartedAt": "2026-01-01T00:00:00Z"}}


def look(*tasks: TaskState, services: tuple[str, ...] = ("app", "db")) -> StackSnapshot:
    """Return a look at a stack; running containers are healthy."""
    running = [one.container_id for one in tasks if one.state == "running"]
    return StackSnapshot(
        stack="s", node_id="here", tasks=tasks, services=tuple(service(name) for name in services),
        containers={identity: ContainerState.parse(inspected(identity)) for identity in running},
    )  # fmt: skip


def engine(logs: dict[str, bytes]) -> Any:  # noqa: ANN401  stands in for a docker client
    """Return an engine with these containers' logs."""

    def read(
        identity: str, *, timestamps: bool, tail: int, stream: bool = False,
        follow: bool | None = None,
    ) -> bytes | Iterator[bytes]:  # fmt: skip
        assert timestamps
        assert not (stream if follow is None else follow), "the SDK waits for the container's end"
        assert tail >= 1000
        if identity not in logs:
            raise NotFound("404", explanation=f"No such container: {identity}")
        return iter(logs[identity].splitlines(keepends=True)) if stream else logs[identity]

    return SimpleNamespace(api=SimpleNamespace(logs=read))


def collect(
    logs: dict[str, bytes],
    snapshot: StackSnapshot,
    directory: Path,
    scrub: Callable[[str, str], str] = lambda text, _place: text,
) -> dict[str, str]:
    """Return what was written, by service."""
    written = collect_logs(Nodes(client=engine(logs), own="here"), snapshot, directory, scrub=scrub)
    assert {path.name: name for name, path in written.items()} == {
        f"{name}.log": name for name in written
    }
    return {name: path.read_text() for name, path in written.items()}


def test_each_service_has_a_log_with_all_its_tasks(tmp_path: Path) -> None:
    """The oldest first: the first crash explains the later ones."""
    crashed = task("app", 1, state="failed", desired="shutdown", error="non-zero exit (1)")
    snapshot = look(task("app", 2), crashed, task("db", 3))
    logs = collect({"app-1": b"bang\n", "app-2": b"up\n", "db-3": b"\xff\n"}, snapshot, tmp_path)
    assert logs["app"] == (
        "--- task t-app-1 slot 1 failed non-zero exit (1)\nbang\n\n"
        "--- task t-app-2 slot 1 running \nup\n"
    )
    assert logs["db"].endswith("\ufffd\n")
    assert "up" not in logs["db"]


def test_what_cannot_be_read_is_said_in_its_place(tmp_path: Path) -> None:
    """A container that is gone, or on another node, keeps no other log from being kept."""
    away = task("app", 2, node_id="there")
    never = task("app", 4, container_id="", state="rejected", error="no such image")
    logs = collect({"db-1": b"x"}, look(task("app", 3), away, never, task("db", 1)), tmp_path)
    assert "its log is gone: No such container: app-3" in logs["app"]
    assert "on node there, out of reach" in logs["app"]
    assert "t-app-4" not in logs["app"], "it never had a container"
    assert logs["db"].endswith("x")


def test_secrets_are_masked_in_logs(tmp_path: Path) -> None:
    """Apps print their passwords, and run directories are uploaded by CIs."""
    logs = collect(
        {"app-1": b"password hunter22\n"}, look(task("app", 1)), tmp_path,
        lambda text, _place: text.replace("hunter22", "****"),
    )  # fmt: skip
    assert "password ****" in logs["app"]


def test_a_healthy_stack_needs_no_diagnosis(tmp_path: Path) -> None:
    """Then the assertion's own message says it all."""
    snapshot = look(task("app", 1), task("db", 1))
    assert ailing(snapshot) == ()
    assert diagnosis(snapshot, {"app": tmp_path / "none"}) == ()


def test_what_ails_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    """Task errors in full first, then the log of what is unhealthy, and of nothing else."""
    said = "exec: no such file or directory " + "x" * 200
    failed = task("app", 1, state="failed", desired="shutdown", error=said)
    snapshot = look(failed, task("db", 1))
    path = tmp_path / "app.log"
    path.write_text("".join(f"line {number}\n" for number in range(40)))
    lines = diagnosis(snapshot, {"app": path, "db": tmp_path / "none"})
    assert [one.name for one in ailing(snapshot)] == ["app"]
    assert lines[0] == f"task     app.1: failed: {said}"
    assert lines[1] == f"log      last lines of app ({path}):"
    assert lines[2:] == tuple(f"         | line {n}" for n in range(40 - LAST_LINES, 40))


@pytest.mark.parametrize("empty", [True, False])
def test_a_silent_service_is_said_to_be_silent(tmp_path: Path, *, empty: bool) -> None:
    """Its log is empty, or was never written: neither is an error here."""
    (tmp_path / "app.log").write_text("")
    logs = {"app": tmp_path / "app.log"} if empty else {}
    lines = diagnosis(look(services=("app",)), logs)
    assert lines[-1] == "         (it wrote nothing)"


def test_a_service_is_not_taken_for_one_whose_name_begins_alike() -> None:
    """`app-worker` ails, `app` does not."""
    snapshot = look(task("app", 1), services=("app", "app-worker"))
    assert [one.name for one in ailing(snapshot)] == ["app-worker"]


def test_lines_of_a_log_and_of_a_health_check_are_marked(tmp_path: Path) -> None:
    """Split at line feeds only: what an app wrote after a carriage return is no line of ours."""
    failed = task("app", 1, state="failed", desired="shutdown")
    said = b"a\r::error::b\r\n\x1b[2J\n"
    collect({"app-1": said, "db-1": b""}, look(failed, task("db", 1)), tmp_path)
    text = (tmp_path / "app.log").read_text()
    assert text.endswith("a\\r::error::b\n\\x1b[2J\n")
    lines = diagnosis(look(failed), {"app": tmp_path / "app.log"})
    assert [line for line in lines if "|" in line][-2:] == [
        "         | a\\r::error::b", "         | \\x1b[2J"
    ]  # fmt: skip
    checks = [
        {"ExitCode": 1, "Output": "one\n::error::two\rthree\n"}, {"ExitCode": 0, "Output": "well"}
    ]  # fmt: skip
    state = {"State": {"Health": {"Log": checks}}}
    client: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=lambda _: state))
    shown = failed_checks(Nodes(client=client, own="here"), look(task("app", 1), services=("app",)))
    assert shown == (
        "health   app.1: exit code 1", "         | one", "         | :\\:error::two\\rthree"
    )  # fmt: skip


def test_a_log_is_kept_to_its_end(tmp_path: Path) -> None:
    """An app may write gigabytes: the last mebibyte of each task tells why it went wrong."""
    line = b"2026-01-01T00:00:00Z " + b"x" * 10_000 + b"\n"
    logs = collect({"app-1": line * 500 + b"the end\n", "db-1": b"x\n"},
                   look(task("app", 1), task("db", 1)), tmp_path)  # fmt: skip
    first, left_out, *rest = logs["app"].split("\n")
    assert first.startswith("--- task")
    assert re.fullmatch(r"\(\d+ bytes before that are left out: .*\)", left_out)
    assert all(one.encode() + b"\n" == line for one in rest[:-2])
    assert rest[-2:] == ["the end", ""]
    kept = sum(len(one) + 1 for one in rest) - 1
    assert LOG_BYTES - len(line) < kept <= LOG_BYTES
    assert int(left_out.split()[0][1:]) + kept == len(line) * 500 + 8
    assert "left out" not in logs["db"]
    shown = task("app", 1, spec={"ContainerSpec": {"TTY": True}})
    again = collect({"app-1": line * 500 + b"the end\n"}, look(shown), tmp_path)
    assert again["app"] == logs["app"]
