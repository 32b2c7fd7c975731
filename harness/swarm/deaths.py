"""How a task came to its end: by itself, or killed by somebody from outside.

An app that breaks is the recipe's fault. A container that somebody kills (an operator, the kernel
of a host that runs out of memory) says nothing about the recipe, and Swarm replaces it. The exit
code decides nothing: a program can end itself with 137. What decides is the engine's events, and
the kernel's word about memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from docker.errors import NotFound

from harness.core.model import RunWarning, WarningCode
from harness.swarm.events import Event, Happening
from harness.swarm.nodes import Nodes
from harness.swarm.own_limits import MEMORY, laid_over, of_recipe
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

MEBIBYTE = 1024**2
KILLED = 137  # 128 + SIGKILL: what the kernel's killer leaves; an app can end with it as well
# Signals that ask a program to read its settings or its log file anew, and end nothing.
HARMLESS = frozenset({1, 10, 12, 18, 28})
AROUND_SECONDS = 30.0  # an engine that goes away takes containers with it, and reports them late
KERNEL_LOG = "/dev/kmsg"
GLOBAL_OOM = re.compile(r"oom-kill:constraint=CONSTRAINT_NONE.*global_oom.*\b([0-9a-f]{64})\b")


def killed_from_outside(nodes: Nodes, task: TaskState) -> bool:
    """Whether a task's container was ended from outside, by the engine's events.

    Swarm's own kill after failed health checks, and the kernel's after the container's own memory
    limit, are the app's own doing. So is whatever nothing accuses anybody else of.

    Raises:
        EngineError: the engine of the task's node does not answer: it may be that node's fault.
    """
    if not task.container_id or "unhealthy" in task.error:
        return False
    judged = nodes.events.judged
    if task.container_id not in judged:
        judged[task.container_id] = _judge(nodes, task)
    return judged[task.container_id]


def _judge(nodes: Nodes, task: TaskState) -> bool:
    events = nodes.events.of(task.container_id, ended=task.ended)
    if _killed(events):
        return True
    if task.exit_code and nodes.events.silent_at(task.ended, within=AROUND_SECONDS):
        return True  # the engine was stopped or died, and its containers with it
    if any(event.what is Happening.OOM for event in events):
        return not _limited(nodes, task)
    return task.exit_code == KILLED and task.container_id in set(_out_of_memory())


def met_our_limit(nodes: Nodes, service: ServiceState, task: TaskState) -> bool:
    """Whether a task was killed at the memory limit that the harness laid over its service.

    Raises:
        EngineError: the engine of the task's node does not answer.
    """
    if MEMORY not in laid_over(service.template["ContainerSpec"].get("Labels")):
        return False
    events = nodes.events.of(task.container_id, ended=task.ended) if task.container_id else ()
    return any(event.what is Happening.OOM for event in events)


def broken_since(before: StackSnapshot, now: StackSnapshot) -> tuple[TaskState, ...]:
    """Return the tasks that broke by themselves between two looks."""
    known = {task.id for task in before.tasks if before.crashed(task)}
    return tuple(task for task in now.tasks if now.crashed(task) and task.id not in known)


def out_of_memory(look: StackSnapshot, kills: Mapping[str, int]) -> Iterator[RunWarning]:
    """Yield a warning for each service in a container of which the kernel killed for memory.

    A server whose child is killed runs on, and its health check may never notice.

    Args:
        look: a look at the stack.
        kills: how often that happened, by the container's id.
    """
    for service in look.services:
        mine = [task for task in look.tasks_of(service) if task.spec == service.template]
        times = sum(kills.get(task.container_id, 0) for task in mine)
        if not times:
            continue
        limit = of_recipe(service.template).get(MEMORY)
        often = "once" if times == 1 else f"{times} times"
        of_whom = f"its limit is {limit // MEBIBYTE} MiB" if limit else "its recipe sets no limit"
        yield RunWarning(
            code=WarningCode.OUT_OF_MEMORY,
            text=f"the kernel killed a process of service {service.name} for memory {often}; "
            f"{of_whom}",
            next=f"raise deploy.resources.limits.memory of {service.name}, or make it need less"
            if limit
            else "free -m; run fewer things at a time; or raise memory_gib in LIMITS",
        )


def _killed(events: tuple[Event, ...]) -> bool:
    """Whether somebody sent a signal that ends a program, and not because it was unhealthy."""
    sick = False
    for event in events:
        if event.what in (Happening.UNHEALTHY, Happening.HEALTHY):
            sick = event.what is Happening.UNHEALTHY
        elif event.what is Happening.KILL and event.signal not in HARMLESS and not sick:
            return True
    return False


def _limited(nodes: Nodes, task: TaskState) -> bool:
    """Whether the recipe limits the container's memory; if not, this machine had too little."""
    try:
        inspected = nodes.client_of(task.node_id).api.inspect_container(task.container_id)
    except NotFound:
        return True  # doubt must not turn a bad recipe green
    ours = MEMORY in laid_over(inspected["Config"].get("Labels"))
    return bool(inspected["HostConfig"].get("Memory")) and not ours


def _out_of_memory() -> Iterator[str]:
    """Yield the ids of containers in which the kernel killed for memory that the host lacked.

    Only root of the engine's machine may read them there; elsewhere there are none.
    """
    with suppress(OSError):
        descriptor = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while line := os.read(descriptor, 8192):  # one record a time; BlockingIOError ends it
                if found := GLOBAL_OOM.search(line.decode(errors="replace")):
                    yield found[1]
        finally:
            os.close(descriptor)
