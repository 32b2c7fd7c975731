"""What an engine's services reach of the host, where another program than the harness deploys.

That program reads the recipe by itself, so what it made is compared with what was decided on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.recipes.compose import Compose, Service
from harness.recipes.compose_fields import Mount, Port
from harness.recipes.policy.asked import Ask, of_service, of_volume, once


def asks_of_services(
    services: Iterable[Mapping[str, Any]],
    compose: Compose,
    stack: str,
    domain: str,
    *,
    networks: Mapping[str, str],
    laid_over: frozenset[str] = frozenset(),
) -> tuple[Ask, ...]:
    """Return what services ask of the host, besides names that the compose files have as well.

    Args:
        services: as the engine lists them.
        compose: the compose files that were decided on.
        stack: the stack's name.
        domain: the app's domain.
        networks: the names of the engine's networks, by id.
        laid_over: paths of the host, and networks, that the harness itself put there.
    """
    named = {
        kind: {one.full_name(stack) for one in section.values()}
        for kind, section in (
            ("volume", compose.volumes),
            ("network", compose.networks),
            ("config", compose.configs),
            ("secret", compose.secrets),
        )
    }
    named["network"].add(f"{stack}_default")
    found: list[Ask] = []
    for raw in services:
        spec = raw["Spec"]
        name = spec["Name"].removeprefix(f"{stack}_")
        who = f"service {name}"
        asked = [one for one in _mounts(spec) if one.source not in laid_over]
        found += of_service(_service(name, spec, asked))
        found += _options(spec, stack, who)
        found += [
            Ask(item=f"{kind}:{name}", who=who)
            for kind, name in _names(spec, networks)
            if name not in named[kind] | laid_over
        ]
    return once(found, stack, domain)


def _container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec["TaskTemplate"]["ContainerSpec"]
    return found


def _mounts(spec: Mapping[str, Any]) -> list[Mount]:
    return [
        Mount(kind=one["Type"], source=one.get("Source", ""), target=one["Target"])
        for one in _container(spec).get("Mounts") or ()
    ]


def _service(name: str, spec: Mapping[str, Any], mounts: list[Mount]) -> Service:
    """Return a service as its compose file would have it; labels and images are the harness's."""
    task, container = spec["TaskTemplate"], _container(spec)
    log = task.get("LogDriver") or {}
    reserved = (task.get("Resources") or {}).get("Reservations") or {}
    kinds = [
        {"discrete_resource_spec": {"kind": value.get("Kind")}}
        for one in reserved.get("GenericResources") or ()
        for value in one.values()
    ]
    networks = task.get("Networks") or spec.get("Networks") or ()
    return Service(
        name=name, image="", labels={}, container_labels={}, mounts=tuple(mounts),
        networks=(), secrets=(), configs=(), endpoint_mode="", healthcheck=False,
        ports=tuple(
            Port(
                target=str(one["TargetPort"]),
                published=str(one.get("PublishedPort") or ""),
                protocol=one.get("Protocol", "tcp"),
            )
            for one in (spec.get("EndpointSpec") or {}).get("Ports") or ()
        ),
        raw={
            "cap_add": container.get("CapabilityAdd"),
            "sysctls": container.get("Sysctls"),
            "ulimits": {one["Name"]: one for one in container.get("Ulimits") or ()},
            "oom_score_adj": container.get("OomScoreAdj"),
            "credential_spec": (container.get("Privileges") or {}).get("CredentialSpec"),
            "logging": {"driver": log.get("Name"), "options": log.get("Options")},
            "networks": {one["Target"]: {"driver_opts": one.get("DriverOpts")} for one in networks},
            "deploy": {"resources": {"reservations": {"generic_resources": kinds}}},
        },
    )  # fmt: skip


def _options(spec: Mapping[str, Any], stack: str, who: str) -> Iterator[Ask]:
    for one in _container(spec).get("Mounts") or ():
        driver = (one.get("VolumeOptions") or {}).get("DriverConfig") or {}
        if driver:
            definition = {"driver": driver.get("Name"), "driver_opts": driver.get("Options")}
            yield from of_volume(definition, one.get("Source", ""), stack, who)


def _names(spec: Mapping[str, Any], networks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a service uses by name, each with its kind."""
    container = _container(spec)
    for mount in _mounts(spec):
        if mount.kind == "volume" and mount.source:
            yield "volume", mount.source
    for one in spec["TaskTemplate"].get("Networks") or spec.get("Networks") or ():
        yield "network", networks.get(one["Target"], one["Target"])
    for kind in ("Config", "Secret"):
        for one in container.get(f"{kind}s") or ():
            yield kind.lower(), one[f"{kind}Name"]
