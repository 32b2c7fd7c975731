"""What an adaptation of ours changes for an app, and what must therefore not be blamed on it.

With a virtual address, the name of a service resolves as soon as the service exists. With `dnsrr`,
which this project sets where the kernel has no IPVS, it resolves only while a task runs (and is
healthy). A program that looks up a neighbour's name once, at its start, may end for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from docker.errors import APIError

from harness.core.errors import EngineError, TestBedError
from harness.swarm.nodes import Nodes
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

DNSRR_LABEL = "ccci.endpoint-mode"  # on services whose endpoint mode the harness changed
LAST_LINES = 40
# What resolvers say of a name that they do not know: glibc, musl, Go, Java, Node, PHP, nginx, curl.
UNRESOLVED = re.compile(
    r"could not resolve|couldn't resolve|can't resolve|cannot resolve|unable to resolve"
    r"|host not found|hostname not found|unknown ?host|no such host|bad address"
    r"|name or service not known|temporary failure in name resolution|name does not resolve"
    r"|name resolution (failed|failure)|could not translate host name|getaddrinfo"
    r"|enotfound|eai_again|nodename nor servname|no address associated with"
    r"|server can't find|nxdomain|lookup .* on 127\.0\.0\.11|failed to lookup address",
    re.IGNORECASE,
)


def unresolved(
    nodes: Nodes, look: StackSnapshot, service: ServiceState, crashed: Sequence[TaskState]
) -> TestBedError | None:
    """Return that a service crashed because our adaptation hid a neighbour's name from it.

    It is the recipe's own fault all the same when the neighbour itself crashes, or no service of
    the stack has that name.

    Args:
        nodes: the engines of the Swarm's nodes.
        look: a look at the stack.
        service: the service that crashed.
        crashed: its crashed tasks, oldest first.
    """
    adapted = {
        name: other.name
        for other in look.services
        if DNSRR_LABEL in other.labels and other.id != service.id
        and not any(look.crashed(task) for task in look.tasks_of(other))
        for name in _names(look.stack, other)
    }  # fmt: skip
    for line in last_words(nodes, crashed[-1:]) if adapted else ():
        if not UNRESOLVED.search(line):
            continue
        words = set(re.split(r"[^A-Za-z0-9_.-]+", line))
        named = next((other for name, other in adapted.items() if name in words), None)
        if named:
            return TestBedError(
                f"{service.name} ended because it could not resolve the name of {named}",
                cause="cc-ci uses dnsrr instead of virtual addresses on this kernel, which has no "
                "IPVS; then a name resolves only while its service runs",
                hint="load the kernel module ip_vs, or let the service try for longer; run again",
                detail=line,
            )
    return None


def _names(stack: str, service: ServiceState) -> Iterator[str]:
    yield f"{stack}_{service.name}"
    for network in service.template.get("Networks") or ():
        yield from network.get("Aliases") or ()
    yield service.name


def last_words(nodes: Nodes, tasks: Sequence[TaskState]) -> Iterator[str]:
    """Yield the last lines that the containers of tasks logged, as far as they are still there."""
    for task in tasks:
        if task.container_id and task.node_id in nodes:
            try:
                api = nodes.client_of(task.node_id).api
                raw: bytes = api.logs(task.container_id, tail=LAST_LINES)
            except (APIError, EngineError):
                continue
            yield from raw.decode(errors="replace").split("\n")
