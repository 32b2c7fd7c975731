"""What an upgrade changes of a stack, from a look before it and one after it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import docker
from docker.errors import ImageNotFound

from harness.core.model import RunWarning, Stage, WarningCode
from harness.swarm.states import ServiceState, StackSnapshot

LABELS = "Labels"


def compared(before: StackSnapshot, after: StackSnapshot) -> dict[str, Any]:
    """Return what an upgrade changed, as facts."""
    old = {service.name: service for service in before.services}
    return {
        "update_started_before": {s.name: s.update_started for s in before.services},
        "changed_services": [
            service.name
            for service in after.services
            if service.name in old and service.template != old[service.name].template
        ],
        "labels_before": {s.name: dict(s.labels) for s in before.services},
        "labels_after": {s.name: dict(s.labels) for s in after.services},
        "images_before": {s.name: s.image for s in before.services},
        "images": {s.name: s.image for s in after.services},
    }


def declared_volumes(
    client: docker.DockerClient, services: Sequence[ServiceState]
) -> Mapping[str, tuple[str, ...]]:
    """Return by service the places that its image declares as volumes."""
    found = {}
    for service in services:
        with suppress(ImageNotFound):  # it is on another node only
            config = client.images.get(service.image).attrs["Config"]
            found[service.name] = tuple(config.get("Volumes") or ())
    return found


def only_label(
    before: tuple[ServiceState, ...], after: tuple[ServiceState, ...], stack: str
) -> RunWarning | None:
    """Return a warning if the head is the base with another version label.

    Values that hold the version (an environment variable, as a rule) change with it.
    """
    label = f"coop-cloud.{stack}.version"
    old, new = (
        next((s.labels[label] for s in services if label in s.labels), "")
        for services in (before, after)
    )
    if not old or not new or old == new:
        return None
    if _comparable(before, old, stack) != _comparable(after, new, stack):
        return None
    return RunWarning(
        code=WarningCode.ONLY_LABEL_CHANGED,
        text=f"the head changes nothing but its version, {old} to {new}: it deploys the same "
        "images, settings and configs as the base",
        next="check the image tags, if the release is meant to change the app",
        stage=Stage.UPGRADE,
    )


def _comparable(services: tuple[ServiceState, ...], version: str, stack: str) -> dict[str, str]:
    """Return each service's definition as text, without the version and what is told to abra."""
    deploy = (f"coop-cloud.{stack}.", "ccci.")
    found = {}
    for service in services:
        definition = dict(service.definition)
        labels = definition.pop(LABELS, None) or {}
        definition[LABELS] = {k: one for k, one in labels.items() if not k.startswith(deploy)}
        template = dict(service.template)
        container = {k: one for k, one in template["ContainerSpec"].items() if k != LABELS}
        template["Placement"] = definition.get("TaskTemplate", {}).get("Placement")
        whole = {**definition, "TaskTemplate": {**template, "ContainerSpec": container}}
        found[service.name] = json.dumps(whole, sort_keys=True).replace(version, "VERSION")
    return found
