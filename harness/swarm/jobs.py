"""Which services may be jobs: what is waited for before an upgrade, and what is doubtful after it.

Nothing says whether a service is meant to end. What the base did is the best evidence; a worker
that quits without such evidence looks like a job, so the run says that it was taken for one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from harness.core.model import RunWarning, WarningCode
from harness.swarm.readiness import outlasting
from harness.swarm.states import ServiceState, StackSnapshot, TaskState

# How long a task without a health check runs in the base before that is upgraded, by restart
# condition: by then, most jobs have ended. Almost nothing but a job has the condition "none".
JOB_SECONDS: Mapping[str, float] = {"on-failure": 60.0, "none": 120.0}
DECLARED_DELAY = 60.0  # seconds between two runs that only a job asks for; 5 s are Swarm's default
ENDS_OF_A_LOOP = 3  # an app may restart itself, or be restarted by a hook of a backup or a restore
NEXT = (
    "look at its log; if it should run on, set restart_policy: any; if it is a job, set "
    "condition: none, or mode: replicated-job"
)


def ran_on(snapshot: StackSnapshot) -> dict[str, float]:
    """Return for how many seconds each service has been running, jobs between two runs left out."""
    found: dict[str, float] = {}
    for service in snapshot.services:
        tasks = snapshot.tasks_of(service)
        if service.job or any(task.state == "complete" for task in tasks):
            continue
        ages = [
            snapshot.containers[task.container_id].age
            for task in tasks
            if task.state == "running" and task.container_id in snapshot.containers
        ]
        if ages:
            found[service.name] = max(ages)
    return found


def ended(snapshot: StackSnapshot) -> frozenset[str]:
    """Return the services of which a task ended with code 0, by their names."""
    return frozenset(
        service.name for service in snapshot.services if _ends(snapshot, service) or service.job
    )


def at_work(snapshot: StackSnapshot) -> tuple[str, ...]:
    """Return the services that may be jobs which have not ended yet, by their names.

    An upgrade would stop such a job half way, and would make it look like a worker.
    """
    return tuple(
        service.name
        for service in snapshot.services
        if not service.job
        for task in snapshot.tasks_of(service)
        if task.state == "running" and task.live
        if (container := snapshot.containers.get(task.container_id)) is not None
        if not container.checked and container.age < JOB_SECONDS.get(service.restart, 0.0)
    )


def doubtful(
    snapshot: StackSnapshot, *, ran: Mapping[str, float], jobs: Collection[str]
) -> Iterator[RunWarning]:
    """Yield a warning for each service that ended with code 0 without evidence that it is a job.

    Args:
        snapshot: the last look at the head.
        ran: for how many seconds services of the base had run on when it was upgraded.
        jobs: the services that ended with code 0 in the base as well.
    """
    for service in snapshot.services:
        if service.job or service.replicas == 0 or service.name in jobs:
            continue
        base = ran.get(service.name)
        if said := _doubt(snapshot, service, base):
            why = (
                "no older release shows whether it should run on"
                if base is None
                else f"the base's was still running after {base:.0f} s"
            )
            yield RunWarning(
                code=WarningCode.SERVICE_ENDED,
                text=f"service {service.name} was taken for a job: {said}; {why}",
                next=NEXT,
            )


def _doubt(snapshot: StackSnapshot, service: ServiceState, base: float | None) -> str:
    """Return how a service ended that may be a worker; empty where the recipe declares a job.

    Empty as well where it was not taken for a job, since that is a failure.
    """
    ends = [one for one in _ends(snapshot, service) if base is None or snapshot.ran(one) > base]
    if not ends:
        return ""
    if service.restart == "any":
        seconds = snapshot.ran(ends[0])
        again = sum(task.slot == ends[0].slot for task in ends)
        if again < ENDS_OF_A_LOOP or (service.delay or 0.0) >= DECLARED_DELAY:
            return ""
        return f"it ended with code 0 {again} times, the last time after {seconds:.0f} s"
    live = {task.slot for task in snapshot.tasks_of(service) if task.live}
    gone = next((task for task in ends if task.slot not in live), None)
    if gone is None or bool(outlasting(snapshot, service, gone)) != (service.restart == "none"):
        return ""
    said = f"it ended with code 0 after {snapshot.ran(gone):.0f} s, and is not started again"
    return f"{said}; {len(live)} of {service.replicas} replicas run on" if live else said


def _ends(snapshot: StackSnapshot, service: ServiceState) -> list[TaskState]:
    """Return the tasks of the service's present version that ended well by themselves."""
    return [
        task
        for task in snapshot.tasks_of(service)
        if task.state == "complete" and task.spec == service.template
        if task.id not in snapshot.killed and not snapshot.unhealthy(task)
    ]
