"""Removing everything that carries a run's label, and nothing else.

Found by label only, never by name: a stack that we did not make has no such label. Removal is a
pass that is repeated until nothing is found any more, because a network cannot go before the last
task has left it, and a volume not before the last container.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import docker
from docker.errors import APIError

from harness.errors import WaitTimeoutError
from harness.waiting import Deadline, wait_for

RUN_LABEL = "ccci.run"
SCOPE_LABEL = "ccci.scope"
STACK_LABEL = "ccci.stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object in the engine."""

    kind: str  # "service", "container", "network", "volume", "secret" or "config"
    id: str
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        """Return the object as a message shows it."""
        return f"{self.kind} {self.name}"


def find(client: docker.DockerClient, label: str) -> tuple[Found, ...]:
    """Return every object with that label (`name` or `name=value`), in the order of removal."""
    api, wanted = client.api, {"label": label}
    found = [
        Found(kind="service", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.services(filters=wanted)  # type: ignore[no-untyped-call]  # stubs lack it
    ]
    found += [
        Found(kind="container", id=raw["Id"], name=raw["Names"][0][1:], labels=raw["Labels"])
        for raw in api.containers(all=True, filters=wanted)
    ]
    found += [
        Found(kind="network", id=raw["Id"], name=raw["Name"], labels=raw["Labels"])
        for raw in api.networks(filters=wanted)
    ]
    volumes = api.volumes(filters=wanted)["Volumes"] or []
    found += [
        Found(kind="volume", id=raw["Name"], name=raw["Name"], labels=raw["Labels"] or {})
        for raw in volumes
    ]
    found += [
        Found(kind="secret", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.secrets(filters=wanted)
    ]
    found += [
        Found(kind="config", id=raw["ID"], name=raw["Spec"]["Name"], labels=raw["Spec"]["Labels"])
        for raw in api.configs(filters=wanted)  # type: ignore[no-untyped-call]  # stubs lack it
    ]
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep removed, counted by kind, and what it could not."""

    removed: Mapping[str, int]
    left: tuple[str, ...]


def sweep(client: docker.DockerClient, run: str, *, timeout: float) -> Swept:
    """Remove everything of a run, and look until it is really gone.

    Args:
        client: a client of a manager's engine.
        run: the run's id.
        timeout: seconds after which what is still there is reported instead.
    """
    seen: dict[tuple[str, str], Found] = {}

    def one_pass() -> tuple[Found, ...]:
        found = find(client, f"{RUN_LABEL}={run}")
        seen.update({(item.kind, item.id): item for item in found})
        for item in found:
            _remove(client, item)
        return found

    try:
        left = wait_for(
            one_pass,
            what="the removal",
            deadline=Deadline.after(timeout),
            ready=lambda found: not found,
        )
    except WaitTimeoutError:
        left = find(client, f"{RUN_LABEL}={run}")
    gone = seen.keys() - {(item.kind, item.id) for item in left}
    counts = Counter(kind for kind, _ in gone)
    return Swept(removed=dict(sorted(counts.items())), left=tuple(str(item) for item in left))


def _remove(client: docker.DockerClient, item: Found) -> None:
    api = client.api
    calls: Mapping[str, Callable[[], object]] = {
        "service": lambda: api.remove_service(item.id),  # type: ignore[no-untyped-call]  # as above
        "container": lambda: api.remove_container(item.id, force=True, v=True),
        "network": lambda: api.remove_network(item.id),
        "volume": lambda: api.remove_volume(item.id),
        "secret": lambda: api.remove_secret(item.id),
        "config": lambda: api.remove_config(item.id),  # type: ignore[no-untyped-call]  # as above
    }
    # A refusal passes: "in use" ends by itself, and what stays shows in the next look. An engine
    # that does not answer at all raises something else, and that is not held back.
    with suppress(APIError):
        calls[item.kind]()
