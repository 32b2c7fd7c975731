"""Restarting an app as a reboot of its server does: all of it stops, then all of it starts.

Scaling to nothing and back replaces every container and changes no definition, so that no update
begins and nothing is rolled back. A global service cannot be scaled: for a moment it gets a
constraint that no node meets, which has the same effect. `order: start-first` does not apply, as
it would to a forced update: a database would start beside the one that holds its files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from typing import Any

import docker
import requests
from docker.errors import APIError, create_api_error_from_http_exception

from harness.core.model import RunWarning, Stage, WarningCode
from harness.core.waiting import Deadline, retry, stretched, wait_for
from harness.swarm.events import EventLog, Happening
from harness.swarm.placement import constraints_of
from harness.swarm.states import NANOSECONDS, ServiceState, StackSnapshot

LONG_GRACE = 60.0  # seconds: a service that may take longer to stop is left running
STOP_SECONDS = LONG_GRACE + 30.0  # after which nothing stops any more
DEFAULT_GRACE = 10 * NANOSECONDS  # where the recipe has no stop_grace_period
KILL = 9
ENDED = frozenset({"shutdown", "complete", "failed", "rejected", "orphaned", "remove"})
NOWHERE = "node.labels.ccci.restart == now"  # a constraint that no node meets
STALE = "out of sequence"
ATTEMPTS = 5
ATTEMPT_SECONDS = 10.0
CALL_SECONDS = 60.0


def restarted(look: StackSnapshot, ran: Container[str]) -> tuple[ServiceState, ...]:
    """Return the services that are restarted: each that runs in full, but for these.

    Jobs cannot be restarted. A service may take too long to stop. Another may leave its
    volume behind on another node. And a task that Swarm would not start again after code 0 may be a
    job, and has to run for half a minute without a health check until it counts as up: it is
    restarted only if its base ran on, and if it has a volume, and so something to lose.

    Args:
        look: a look at the stack.
        ran: the services that ran on in the base, so that they are no jobs.
    """
    return tuple(
        service
        for service in look.services
        if _runs(look, service) and not service.job and _grace(service) <= LONG_GRACE
        if service.restart == "any" or _checked(look, service) or _keeps_data(service, ran)
        if not (look.others and service.volumes) or _stays(service)
    )


def _runs(look: StackSnapshot, service: ServiceState) -> bool:
    """Whether it runs in full, and not on nothing."""
    live = [task for task in look.tasks_of(service) if task.live]
    wanted = len(live) if service.replicas is None else service.replicas
    return 0 < wanted == sum(task.state == "running" for task in live)


def _stays(service: ServiceState) -> bool:
    """Whether it comes up on the same node again, as far as its definition says."""
    return service.replicas is None or bool(constraints_of(service))


def _keeps_data(service: ServiceState, ran: Container[str]) -> bool:
    return bool(service.volumes) and service.name in ran


def _checked(look: StackSnapshot, service: ServiceState) -> bool:
    return any(
        look.containers[task.container_id].checked
        for task in look.tasks_of(service)
        if task.container_id in look.containers
    )


def _grace(service: ServiceState) -> float:
    """Return how many seconds a service may take to stop before Swarm kills it."""
    spec = service.template["ContainerSpec"]
    return float(spec.get("StopGracePeriod", DEFAULT_GRACE)) / NANOSECONDS


def restart(
    client: docker.DockerClient,
    look: Callable[[], StackSnapshot],
    *,
    ran: Container[str],
) -> tuple[str, ...]:
    """Stop all services that run, start them again, and return their names.

    Args:
        client: a client of a manager's engine.
        look: takes a look at the stack.
        ran: the services that ran on in the base.

    Raises:
        WaitTimeoutError: a container did not stop.
    """
    services = restarted(look(), ran)
    for service in services:
        _update(client, service, run=False)
    wait_for(
        look,
        what="the services to stop",
        deadline=Deadline.after(stretched(STOP_SECONDS)),
        ready=lambda now: not _stopping(now, services),
        describe=lambda now: ", ".join(_stopping(now, services)),
    )
    for service in services:
        _update(client, service, run=True)
    return tuple(service.name for service in services)


def outstayed(
    before: StackSnapshot, names: Collection[str], events: EventLog, stage: Stage
) -> Iterator[RunWarning]:
    """Yield a warning for each service that was killed when it was to stop, and may write a volume.

    What a program does at its end (write what it has in memory, a checkpoint, remove its lock) was
    cut short then. The engine sends the stop signal first, and SIGKILL after the grace period.

    Args:
        before: the look before the restart.
        names: the services that were restarted.
        events: what happened to their containers.
        stage: the stage that restarted them.
    """
    for service in (one for one in before.services if one.name in names and _writable(one)):
        ids = [task.container_id for task in before.tasks_of(service) if task.live]
        for happened in (events.of(identity, ended=time.time()) for identity in ids if identity):
            signals = [event.signal for event in happened if event.what is Happening.KILL]
            if len(signals) > 1 and signals[-1] == KILL:
                yield RunWarning(
                    code=WarningCode.KILLED_AT_STOP,
                    text=f"service {service.name} did not end within its grace period of "
                    f"{_grace(service):g} s after signal {signals[-2]}, and was killed: what it "
                    f"had not yet written to {', '.join(_writable(service))} is lost",
                    next="let its program get the signal (`exec` in a start script, `init: true`, "
                    "`stop_signal`), or raise stop_grace_period",
                    stage=stage,
                )
                break


def _writable(service: ServiceState) -> list[str]:
    """Return where a service mounts volumes that it may write to."""
    mounts = service.template["ContainerSpec"].get("Mounts") or ()
    return [m["Target"] for m in mounts if m["Type"] == "volume" and not m.get("ReadOnly")]


def _stopping(look: StackSnapshot, services: tuple[ServiceState, ...]) -> list[str]:
    identities = {service.id: service.name for service in services}
    return sorted(
        {
            identities[task.service_id]
            for task in look.tasks
            if task.service_id in identities
            # One that is not removed yet would be taken for the end of the one that follows it.
            if task.state not in ENDED or task.desired == "remove"
        }
    )


class _StaleError(APIError):
    """Swarm has changed the service meanwhile: its version counts up with each status."""


def _update(client: docker.DockerClient, service: ServiceState, *, run: bool) -> None:
    """Let a service have its tasks, or none."""
    retry(
        lambda _: _update_once(client, service, run=run),
        on=_StaleError,
        attempts=ATTEMPTS,
        deadline=Deadline.after(stretched(ATTEMPT_SECONDS)),
    )


def _update_once(client: docker.DockerClient, service: ServiceState, *, run: bool) -> None:
    # By hand, because the SDK makes the definition anew from those parts of it that it knows.
    api, identity = client.api, service.id
    found: Mapping[str, Any] = api.inspect_service(identity)  # type: ignore[no-untyped-call]  # stubs lack it
    spec = _running(found["Spec"], service.replicas if run else 0)
    version = found["Version"]["Index"]
    url = f"{api.base_url}/v{api.api_version}/services/{identity}/update?version={version}"
    answer = api.request("POST", url, json=spec, timeout=stretched(CALL_SECONDS))
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        if STALE in answer.text:
            raise _StaleError(answer.text) from error
        create_api_error_from_http_exception(error)


def _running(spec: Mapping[str, Any], replicas: int | None) -> dict[str, Any]:
    """Return a definition with so many tasks; None stands for the nodes that a global one has."""
    if "Global" not in spec["Mode"]:
        return {**spec, "Mode": {"Replicated": {"Replicas": replicas}}}
    template = spec["TaskTemplate"]
    placement = {**(template.get("Placement") or {})}
    constraints = [one for one in placement.get("Constraints") or () if one != NOWHERE]
    placement["Constraints"] = constraints if replicas is None else [*constraints, NOWHERE]
    return {**spec, "TaskTemplate": {**template, "Placement": placement}}
