"""What a snapshot of a stack holds: its services, tasks and containers, as typed values.

Source of the shapes: the Engine API, `/services`, `/tasks` and `/containers/ID/json`.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from harness.core.driver_options import own_data

NOT_COMPARED = frozenset({"Runtime", "Placement"})
NANOSECONDS = 1e9  # in a second: the engine's unit of durations
NAMESPACE_LABEL = "com.docker.stack.namespace"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container as its node's engine sees it. `health` is None without a health check.

    `last_check` is what its health check said when it failed last, or empty. `ran` is for how many
    seconds it ran, once it has ended.
    """

    id: str
    running: bool
    status: str
    health: str | None
    exit_code: int
    started_at: str
    age: float = math.inf  # seconds that it has been running
    last_check: str = ""
    ran: float = 0.0

    @classmethod
    def parse(cls, inspected: Mapping[str, Any]) -> ContainerState:
        """Read the answer of `/containers/ID/json`."""
        state = inspected["State"]
        health = state.get("Health")
        return cls(
            id=inspected["Id"],
            running=bool(state["Running"]) and not state.get("Paused", False),
            status=state["Status"],
            health=health["Status"] if health else None,
            exit_code=int(state["ExitCode"]),
            started_at=state["StartedAt"],
            age=_age(inspected["Id"], state["StartedAt"]),
            last_check=_last_failure(health or {}),
            ran=_between(state["StartedAt"], state.get("FinishedAt", "")),
        )

    @property
    def checked(self) -> bool:
        """Whether it has a health check."""
        return self.health not in (None, "none")

    @property
    def sick(self) -> bool:
        """Whether it was unhealthy when it was seen last."""
        return self.health == "unhealthy"

    @property
    def usable(self) -> bool:
        """Whether a command or a request sent to it now can be expected to be answered."""
        return self.running and (not self.checked or self.health == "healthy")


# What the runtime says of a check that began while its container was being stopped.
_ENDING = re.compile(r"executing setns|is not running|in a stopped (state|container)")


def _last_failure(health: Mapping[str, Any]) -> str:
    """Return the last failed check's words; one under which the container ended says nothing."""
    every = [check for check in health.get("Log") or [] if check["ExitCode"] != 0]
    failed = [check for check in every if not _ENDING.search(check["Output"])] or every
    return f"exit code {failed[-1]['ExitCode']}\n{failed[-1]['Output'].strip()}" if failed else ""


def _age(identity: str, started_at: str) -> float:
    """Return for how long a container has been running since that moment, in seconds.

    The host's clock, which may be set at any time, is asked once; from then on it is the one that
    nobody can set.
    """
    began = _began(identity, started_at)
    return 0.0 if began is None else time.monotonic() - began


@lru_cache(maxsize=4096)
def _began(_identity: str, started_at: str) -> float | None:
    """Return when that was on the monotonic clock; a moment that has yet to come counts as now."""
    started = _moment(started_at)
    if started is None:
        return None
    return time.monotonic() - max(0.0, (datetime.now(UTC) - started).total_seconds())


def _between(began: str, ended: str) -> float:
    """Return the seconds between two of the engine's times; 0 where one is unknown."""
    first, last = _moment(began), _moment(ended)
    return max(0.0, (last - first).total_seconds()) if first and last else 0.0


def _moment(text: str) -> datetime | None:
    """Read an engine's time, to the second; it writes nine digits after the second's point."""
    whole = text.partition(".")[0].removesuffix("Z")
    try:
        return datetime.fromisoformat(whole).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of a service. `error` is the engine's own sentence, or empty."""

    id: str
    service_id: str
    slot: str  # the slot's number, or the node's id for a global service
    state: str
    desired: str
    error: str
    exit_code: int
    container_id: str
    node_id: str
    created_at: str
    spec: Mapping[str, Any]
    state_since: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> TaskState:
        """Read one element of the answer of `/tasks`."""
        status = raw["Status"]
        container = status.get("ContainerStatus") or {}
        error = status.get("Err", "")
        return cls(
            id=raw["ID"],
            service_id=raw["ServiceID"],
            slot=str(raw.get("Slot") or raw.get("NodeID", "")),
            state=status["State"],
            desired=raw["DesiredState"],
            error=error,
            exit_code=int(container.get("ExitCode", 0)),
            container_id=container.get("ContainerID", ""),
            node_id=raw.get("NodeID", ""),
            created_at=raw["CreatedAt"],
            spec=_comparable(raw["Spec"]),
            state_since=status.get("Timestamp", ""),
        )

    @property
    def live(self) -> bool:
        """Whether it runs or is going to: `ready` is what a restart waits in, for its delay."""
        return self.desired in ("running", "ready")

    @property
    def broken(self) -> bool:
        """Whether it ended badly."""
        return self.state in ("failed", "rejected", "orphaned")

    @property
    def ended(self) -> float:
        """When it got into its present state, in Unix time; 0 when that is not known."""
        changed = _moment(self.state_since)
        return changed.timestamp() if changed else 0.0

    @property
    def lived(self) -> float:
        """How many seconds there were from its creation until it got into its present state."""
        return _between(self.created_at, self.state_since)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A named volume, by its full name, and where a service mounts it, or which folder of it.

    `foreign` is one that leads to data that the run did not make, such as a folder of the host.
    """

    volume: str
    target: str
    subpath: str = ""
    foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One service: what it should be, and how its last update went."""

    id: str
    name: str  # without the stack's name before it
    image: str
    labels: Mapping[str, str]
    replicas: int | None  # None for a global service: as many as the nodes that it fits
    job: bool
    restart: str  # the restart policy's condition: "any", "on-failure" or "none"
    update_state: str  # "" when it was never updated
    update_started: str
    update_message: str
    template: Mapping[str, Any]
    definition: Mapping[str, Any] = field(default_factory=dict)  # all of it, as it was asked for
    delay: float | None = None  # seconds before a restart; None where the recipe does not say

    @classmethod
    def parse(cls, raw: Mapping[str, Any], stack: str) -> ServiceState:
        """Read one element of the answer of `/services`."""
        spec = raw["Spec"]
        update = raw.get("UpdateStatus") or {}
        template = spec["TaskTemplate"]
        replicas, job = _mode(spec.get("Mode", {}))
        policy = template.get("RestartPolicy") or {}
        return cls(
            id=raw["ID"],
            name=spec["Name"].removeprefix(f"{stack}_"),
            image=template["ContainerSpec"]["Image"],
            labels=spec.get("Labels") or {},
            replicas=replicas,
            job=job,
            restart=policy.get("Condition", "any"),
            delay=policy["Delay"] / NANOSECONDS if "Delay" in policy else None,
            update_state=update.get("State", ""),
            update_started=update.get("StartedAt", ""),
            update_message=update.get("Message", ""),
            template=_comparable(template),
            definition=spec,
        )

    @property
    def volumes(self) -> tuple[VolumeMount, ...]:
        """The mounts of named volumes; one volume may be mounted at several places."""
        mounts = self.template["ContainerSpec"].get("Mounts") or []
        return tuple(
            VolumeMount(
                volume=mount["Source"],
                target=mount["Target"],
                subpath=options.get("Subpath", ""),
                foreign=_is_foreign(options.get("DriverConfig") or {}),
            )
            for mount in mounts
            for options in (mount.get("VolumeOptions") or {},)
            if mount["Type"] == "volume" and mount.get("Source")
        )


def _is_foreign(driver: Mapping[str, Any]) -> bool:
    local = driver.get("Name") in (None, "", "local")
    return not local or not own_data(driver.get("Options") or {})


def _comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a task's or a service's template that says which version it is.

    Left out is what may differ although the task is current: an engine of version 20.10 gives a
    service's template a `Runtime`, and not that of its tasks; and a task that still fits the new
    placement is not replaced for it.
    """
    return {key: value for key, value in template.items() if key not in NOT_COMPARED}


def _mode(mode: Mapping[str, Any]) -> tuple[int | None, bool]:
    if "Replicated" in mode:
        return int(mode["Replicated"].get("Replicas", 1)), False
    if "ReplicatedJob" in mode:
        return int(mode["ReplicatedJob"].get("TotalCompletions", 1)), True
    return None, "GlobalJob" in mode


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSnapshot:
    """One look at a stack. `containers` holds those of the manager's node and of `others`.

    Only containers of tasks that should run are among them; `ended` holds those of tasks that
    ended with code 0, and `killed` the ids of tasks whose containers were ended from outside.
    """

    stack: str
    node_id: str
    services: tuple[ServiceState, ...]
    tasks: tuple[TaskState, ...]
    containers: Mapping[str, ContainerState]
    others: frozenset[str] = frozenset()  # ids of other nodes whose containers were looked at
    ended: Mapping[str, ContainerState] = field(default_factory=dict)
    killed: frozenset[str] = frozenset()

    def sees(self, node: str) -> bool:
        """Whether the containers of the node of that id were looked at."""
        return node == self.node_id or node in self.others

    def checked(self, task: TaskState) -> bool:
        """Whether a task that ended with code 0 had a health check."""
        container = self.ended.get(task.container_id)
        return container.checked if container else bool(_health_check(task.spec))

    def unhealthy(self, task: TaskState) -> bool:
        """Whether a task ended with code 0 when it was stopped for being unhealthy."""
        container = self.ended.get(task.container_id)
        return task.state == "complete" and container is not None and container.sick

    def ran(self, task: TaskState) -> float:
        """For how many seconds the program of a task that ended with code 0 had run."""
        container = self.ended.get(task.container_id)
        return container.ran if container else task.lived

    def crashed(self, task: TaskState) -> bool:
        """Whether a task ended badly by itself."""
        return (task.broken or self.unhealthy(task)) and task.id not in self.killed

    def why(self, task: TaskState) -> str:
        """Return how a task ended, in the engine's words where it has any."""
        if self.unhealthy(task):
            said = self.ended[task.container_id].last_check.split("\n")
            words = said[-1].strip() if said else "no output"
            return f"stopped for being unhealthy, and ended with code 0; its last check: {words}"
        return task.error or f"exit code {task.exit_code}"

    def service(self, name: str) -> ServiceState | None:
        """Return the service of that short name, or None."""
        return next((s for s in self.services if s.name == name), None)

    def tasks_of(self, service: ServiceState) -> tuple[TaskState, ...]:
        """Return the service's tasks, newest first."""
        mine = (task for task in self.tasks if task.service_id == service.id)
        return tuple(sorted(mine, key=lambda task: task.created_at, reverse=True))


def _health_check(spec: Mapping[str, Any]) -> bool:
    """Whether a task's template has a health check; the image may have one that is not seen."""
    check = (spec.get("ContainerSpec") or {}).get("Healthcheck") or {}
    return bool(check.get("Test")) and check["Test"] != ["NONE"]
