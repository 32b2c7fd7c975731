"""Looks at a stack, made of plain records: services that run, and tasks that came to an end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.swarm.states import ContainerState, ServiceState, StackSnapshot, TaskState

STACK, NODE = "made_test", "n"


def service(
    name: str = "app",
    *,
    image: str = "nginx:1",
    volumes: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    **changes: Any,  # noqa: ANN401  any field
) -> ServiceState:
    """Return a service that mounts each volume (by its short name) at a target.

    Args:
        name: its name.
        image: its image.
        volumes: targets by volume.
        options: those of the volumes' drivers, by volume.
        changes: other fields.
    """
    mounts = [
        {
            "Type": "volume", "Source": f"{STACK}_{volume}", "Target": target,
            "VolumeOptions": {"DriverConfig": {"Options": (options or {}).get(volume)}},
        }
        for volume, target in (volumes or {}).items()
    ]  # fmt: skip
    made = ServiceState(
        id=f"id-{name}", name=name, image=image, labels={}, replicas=1, job=False, restart="any",
        update_state="", update_started=image, update_message="",
        template={"ContainerSpec": {"Image": image, "Mounts": mounts}},
    )  # fmt: skip
    return replace(made, **changes)


def task(owner: ServiceState, number: int = 1, **changes: Any) -> TaskState:  # noqa: ANN401
    """Return a service's running task, but for the changes."""
    made = TaskState(
        id=f"task-{owner.name}-{number}", service_id=owner.id, slot="1", state="running",
        desired="running", error="", exit_code=0, container_id=f"c-{owner.name}-{number}",
        node_id=NODE, created_at=f"2026-01-01T00:00:{number:02}Z", spec=owner.template,
    )  # fmt: skip
    return replace(made, **changes)


def ended(running: TaskState, code: int = 1, error: str = "non-zero exit (1)") -> TaskState:
    """Return a task as it is after its container ended by itself."""
    return replace(running, state="failed", desired="shutdown", exit_code=code, error=error)


def container(identity: str, **changes: Any) -> ContainerState:  # noqa: ANN401  any field
    """Return a container that has been running for long, but for the changes."""
    made = ContainerState(
        id=identity, running=True, status="running", health=None, exit_code=0, started_at="t",
        age=60.0,
    )  # fmt: skip
    return replace(made, **changes)


def look(*services: ServiceState, tasks: tuple[TaskState, ...] | None = None) -> StackSnapshot:
    """Return a look at a stack in which every service runs, unless other tasks are given."""
    seen = tuple(task(one) for one in services) if tasks is None else tasks
    live = [one.container_id for one in seen if one.desired == "running"]
    return StackSnapshot(
        stack=STACK, node_id=NODE, services=services, tasks=seen,
        containers={identity: container(identity) for identity in live},
    )  # fmt: skip
