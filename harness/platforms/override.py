"""The compose file that the harness lays over a recipe's own: labels, and stated adaptations.

The recipe is never edited. Whatever is changed besides labels is returned as an adaptation, so that
every report says what was not as the recipe has it. Nothing here may mask the change under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.model import Adaptation
from harness.core.network_names import BUILT_IN
from harness.platforms.base import Images, Revision, Target
from harness.platforms.limits import Limits, knows_pids
from harness.platforms.stackfile import external
from harness.recipes import formats
from harness.recipes.compose import Compose, Resource, Service
from harness.swarm import own_limits
from harness.swarm.adapted import DNSRR_LABEL
from harness.swarm.own_networks import own_name
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL

DNSRR = "dnsrr"
USUAL_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")  # where recipes look for the engine's
UNIX = "unix://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this machine forces on a deployment.

    `images` maps an image to the reference that is deployed in its place, where they differ.
    `socket` is the engine's own where it is not at the usual place, or empty. `limits` are what
    each container may take of it.
    """

    dnsrr: bool
    limits: Limits | None = None
    socket: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


def machine_for(
    compose: Compose,
    images: Images,
    *,
    dnsrr: bool,
    environ: Mapping[str, str],
    limits: Limits | None = None,
) -> tuple[Machine, list[Adaptation]]:
    """Make sure that every image is there; return what this machine forces on them, and says so.

    Args:
        compose: the recipe's compose files.
        images: makes sure that an image is there.
        dnsrr: whether services need `endpoint_mode: dnsrr` on this machine.
        environ: the environment that leads the docker command to the engine.
        limits: what each container may take.

    Raises:
        ImageError: one can be neither pulled nor built.
    """
    replaced: dict[str, str] = {}
    notes: list[Adaptation] = []
    for image in compose.images():
        reference, note = images(image)
        if reference != image:
            replaced[image] = reference
        if note is not None:
            notes.append(note)
    host = environ.get("DOCKER_HOST", "")
    own = host.removeprefix(UNIX) if host.startswith(UNIX) else ""
    socket = "" if own in USUAL_SOCKETS else own
    return Machine(dnsrr=dnsrr, images=replaced, socket=socket, limits=limits), notes


def own_labels(target: Target) -> dict[str, str]:
    """Return the labels that everything of a run carries; clean-up finds it by them alone."""
    return {RUN_LABEL: target.run, SCOPE_LABEL: target.scope, STACK_LABEL: target.stack}


def app_labels(target: Target, revision: Revision) -> dict[str, str]:
    """Return the labels that abra writes at deploy."""
    prefix = f"coop-cloud.{target.stack}"
    labels = {
        f"{prefix}.recipe": target.recipe,
        f"{prefix}.chaos": "true" if revision.chaos else "false",
    }
    if revision.chaos:
        labels[f"{prefix}.chaos-version"] = revision.chaos_version
    return labels


def build(
    compose: Compose, target: Target, revision: Revision | None, machine: Machine
) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
    """Return the override as data, its dollar signs not escaped yet, and what it adapts.

    Args:
        compose: the recipe's compose files, merged and interpolated.
        target: where it is deployed.
        revision: what is deployed; None where the platform itself writes abra's labels.
        machine: what this machine forces on it.
    """
    own = own_labels(target)
    written = app_labels(target, revision) if revision else {}
    adaptations: list[Adaptation] = []
    services: dict[str, dict[str, Any]] = {}
    for name, service in compose.services.items():
        changed = _adapt(service, machine, adaptations)
        deploy = {"labels": {**own, **written}, **changed.pop("deploy", {})}
        if "endpoint_mode" in deploy:
            deploy["labels"][DNSRR_LABEL] = DNSRR
        services[name] = {"labels": own, "deploy": deploy, **changed}
    override: dict[str, Any] = {"services": services}
    # Files of two formats cannot be merged: without a revision, docker does that after us.
    version = formats.written(compose.version) if revision else compose.version
    if version:
        override["version"] = version
    if machine.limits:
        adaptations.append(_limit(compose, machine.limits, override))
    if "default" not in compose.networks:
        override["networks"] = {"default": {"labels": own}}
    override["networks"] = {
        **override.get("networks", {}),
        **{
            key: external(name, version)
            for key, name in own_networks(compose, target.stack).items()
        },
    }
    for section in ("networks", "volumes", "configs", "secrets"):
        resources: Mapping[str, Resource] = getattr(compose, section)
        labelled = {
            key: _labelled(resource, own)
            for key, resource in resources.items()
            if not resource.external
        }
        override[section] = {**override.get(section, {}), **labelled}
    return override, tuple(adaptations)


def own_networks(compose: Compose, stack: str) -> dict[str, str]:
    """Return the names of the run's own networks, by the keys of the recipe's external ones."""
    return {
        key: own_name(stack, one.full_name(stack))
        for key, one in compose.networks.items()
        if one.external and one.full_name(stack) not in BUILT_IN
    }


def _labelled(resource: Resource, own: Mapping[str, str]) -> dict[str, Any]:
    """Return the resource's whole definition with our labels: a later file replaces, not merges."""
    name = {"name": resource.name} if resource.name else {}
    labels = resource.definition.get("labels") or {}
    return {**resource.definition, **name, "labels": {**labels, **own}}


def _adapt(service: Service, machine: Machine, notes: list[Adaptation]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if service.image in machine.images:
        changed["image"] = machine.images[service.image]
    if sockets := _own_sockets(service, machine):
        changed["volumes"] = sockets
        notes.append(
            Adaptation(
                kind="engine-socket",
                subject=service.name,
                detail=f"{sockets[0]['target']} is {machine.socket}, the socket of the engine "
                "that runs the app",
            )
        )
    if machine.dnsrr and any(port.mode == "ingress" for port in service.ports):
        notes.append(
            Adaptation(
                kind="published-port",
                subject=service.name,
                detail="keeps its virtual address, because it publishes ports; without IPVS in the "
                "kernel, neither leads anywhere here",
            )
        )
    elif machine.dnsrr and service.endpoint_mode != DNSRR:
        changed["deploy"] = {"endpoint_mode": DNSRR}
        notes.append(
            Adaptation(
                kind="endpoint-mode",
                subject=service.name,
                detail="dnsrr instead of a virtual address: this kernel has no IPVS",
            )
        )
    return changed


def _limit(compose: Compose, limits: Limits, override: dict[str, Any]) -> Adaptation:
    """Lay the limits over every service of the override, and return how a report says so."""
    for name, service in compose.services.items():
        changes = override["services"][name]
        laid = limits.over(service, pids=knows_pids(override.get("version", "")))
        changes["deploy"] = {**changes["deploy"], **laid.deploy}
        if laid.logging:
            changes["logging"] = laid.logging
        if laid.names:
            changes["labels"] = {**changes["labels"], own_limits.LABEL: ",".join(laid.names)}
    return Adaptation(
        kind="limits",
        subject="each container",
        detail=f"{limits}, unless the recipe asks for less; LIMITS raises them",
    )


def _own_sockets(service: Service, machine: Machine) -> list[dict[str, Any]]:
    """Return the mounts that put the engine's own socket where the recipe mounts the usual one."""
    return [
        {
            "type": "bind",
            "source": machine.socket,
            "target": mount.target,
            "read_only": mount.read_only,
        }
        for mount in service.mounts
        if machine.socket and mount.kind == "bind" and mount.source in USUAL_SOCKETS
    ]
