"""What is worth keeping of a stack before it is removed: the log of every service, and what ails.

Logs are taken from the containers of every node that answers, those of earlier tasks included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError

from harness.core.errors import EngineError
from harness.core.untrusted import quoted, visible
from harness.swarm.nodes import Nodes
from harness.swarm.readiness import Before, unsettled
from harness.swarm.settle import describe_tasks
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

LAST_LINES = 15
LOG_LINES = 5000  # of each task
LOG_BYTES = 1 << 20  # of each task: the end of its log
INDENT = " " * 9


def collect_logs(
    nodes: Nodes,
    snapshot: StackSnapshot,
    directory: Path,
    *,
    scrub: Callable[[str, str], str],
) -> Mapping[str, Path]:
    """Write each service's log to `<directory>/<service>.log`, and return the files by service.

    Args:
        nodes: the engines of the Swarm's nodes.
        snapshot: a look at the stack.
        directory: where to; must exist.
        scrub: masks secrets in a text; it is told the file that the text goes to.
    """
    written = {}
    for service in snapshot.services:
        parts = [
            f"--- task {task.id} slot {task.slot} {task.state} {task.error}\n"
            + scrub(_log(nodes, snapshot, task), f"{directory.name}/{service.name}.log")
            for task in reversed(snapshot.tasks_of(service))
            if task.container_id
        ]
        path = directory / f"{service.name}.log"
        path.write_text(visible("\n".join(parts)))
        written[service.name] = path
    return written


def _log(nodes: Nodes, snapshot: StackSnapshot, task: TaskState) -> str:
    if not snapshot.sees(task.node_id):
        return f"(its container is on node {task.node_id}, out of reach from here)\n"
    try:
        api = nodes.client_of(task.node_id).api
        # The SDK hands out the log of a container with a terminal byte by byte.
        if (task.spec.get("ContainerSpec") or {}).get("TTY"):
            kept, left_out = _end([api.logs(task.container_id, timestamps=True, tail=LOG_LINES)])
        else:
            kept, left_out = _end(
                # Of a stream, the SDK waits for the container's end by itself.
                api.logs(
                    task.container_id, timestamps=True, tail=LOG_LINES, stream=True, follow=False
                )
            )
    except APIError as error:
        return f"(its log is gone: {error.explanation})\n"
    except EngineError as error:
        return f"(its log is out of reach: {error.what})\n"
    what = f"({left_out} bytes before that are left out: a log is kept to {LOG_BYTES} bytes)\n"
    return (what if left_out else "") + kept.decode(errors="replace")


def _end(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the end of a stream, from the beginning of a line, and how much went before it."""
    kept, total = bytearray(), 0
    for piece in pieces:
        kept += piece
        total += len(piece)
        if len(kept) > 2 * LOG_BYTES:
            del kept[:-LOG_BYTES]
    last = bytes(kept[-LOG_BYTES:])
    if total > len(last):
        last = last[last.find(b"\n") + 1 :]
    return last, total - len(last)


def failed_checks(nodes: Nodes, snapshot: StackSnapshot) -> tuple[str, ...]:
    """Return the last words of each service's failed health check, newest container first."""
    lines = []
    for service in snapshot.services:
        for task in snapshot.tasks_of(service):
            check = _failed_check(nodes, task) if snapshot.sees(task.node_id) else {}
            if check:
                code = check["ExitCode"]
                lines.append(f"health   {service.name}.{task.slot}: exit code {code}")
                lines += quoted(check["Output"].strip(), indent=INDENT)
                break
    return tuple(lines)


def _failed_check(nodes: Nodes, task: TaskState) -> Mapping[str, Any]:
    if not task.container_id:
        return {}
    try:
        client = nodes.client_of(task.node_id)
        state = client.api.inspect_container(task.container_id)["State"]
    except (APIError, EngineError):
        return {}
    checks: list[Mapping[str, Any]] = (state.get("Health") or {}).get("Log") or []
    return next((check for check in reversed(checks) if check["ExitCode"] != 0), {})


def ailing(snapshot: StackSnapshot) -> tuple[ServiceState, ...]:
    """Return the services that have not settled."""
    reasons = unsettled(snapshot, Before())
    return tuple(
        service
        for service in snapshot.services
        if any(reason.startswith(f"{service.name}:") for reason in reasons)
    )


def diagnosis(snapshot: StackSnapshot, logs: Mapping[str, Path]) -> tuple[str, ...]:
    """Return what a person wants first: task errors in full, last lines of what is unhealthy.

    Without an unhealthy service, nothing is shown: then the assertion's own message says it all.
    """
    lines = [f"task     {line}" for line in describe_tasks(snapshot).split("\n") if line]
    for service in ailing(snapshot):
        path = logs.get(service.name)
        last = path.read_text().rstrip("\n").split("\n")[-LAST_LINES:] if path else []
        said = quoted("\n".join(last), indent=INDENT)
        lines.append(f"log      last lines of {service.name} ({path}):")
        lines += said or [f"{INDENT}(it wrote nothing)"]
    return tuple(lines)
