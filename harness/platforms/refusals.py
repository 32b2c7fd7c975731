"""What is refused before anything is created, whichever platform deploys."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from contextlib import suppress

import docker
from docker.errors import NotFound

from harness.core.errors import InvalidRecipeError, TestBedError
from harness.core.network_names import BUILT_IN, PROXY
from harness.core.signals import reading
from harness.platforms.base import Target
from harness.recipes import formats
from harness.recipes.compose import LONGEST_NAME, Compose, Resource
from harness.recipes.files import MOST_BYTES
from harness.swarm.nodes import Nodes
from harness.swarm.sweep import RUN_LABEL

# What Swarm takes for one config and one secret, from swarmkit's manager/controlapi.
LARGEST_CONFIG = 1000 * 1024 - 1  # bytes; before Engine 20.10 half of it
LARGEST_SECRET = 500 * 1024 - 1
MOST_ADDRESSES = 1 << 20  # of the 16 million of a Swarm, which all networks come out of
# Networks that every machine for Co-op Cloud has: to make one of that name is the recipe's fault.
EVERYWHERE = BUILT_IN | {PROXY}


def refuse(
    client: docker.DockerClient, compose: Compose, target: Target, nodes: Nodes | None = None
) -> None:
    """Refuse what cannot be deployed, and what must not be: data that is not the run's own.

    Raises:
        InvalidRecipeError: docker would refuse it, or should, or it is slow to compare.
        TestBedError: it uses names that are taken.
    """
    with reading():
        _refuse_undeployable(compose, target.stack)
        _refuse_sizes(compose)
        _refuse_clashing_ports(compose, alone=nodes is None or not nodes.others)
        _refuse_clashing_subnets(compose)
        _refuse_taken(client, compose, target, nodes)


def _refuse_undeployable(compose: Compose, stack: str) -> None:
    """Refuse what docker would refuse, or should, before anything is created."""
    too_long = compose.names_too_long(stack)
    if too_long:
        raise InvalidRecipeError(
            f"names of more than {LONGEST_NAME} characters: {', '.join(too_long)}",
            cause="Swarm refuses such names for secrets and configs",
            hint="shorten the names in the compose file",
        )
    if new := list(formats.too_new(compose)):
        raise InvalidRecipeError(
            f"file format {compose.version} does not know these keys: "
            + ", ".join(f"{key} (since {since})" for key, since in new),
            cause="docker refuses a key that the format of its file does not have",
            hint='write version: "3.8" or newer in the compose files',
        )
    bad = compose.bad_files()
    if bad:
        raise InvalidRecipeError(
            f"configs or secrets are made of files that are not in the recipe: {', '.join(bad)}",
            hint="add the files, or correct their paths in the compose file",
        )


def _refuse_sizes(compose: Compose) -> None:
    """Refuse configs and secrets that are empty or larger than Swarm takes."""
    total = sum(compose.source.look(one.file).size for one in compose.made_of_files())
    if total > MOST_BYTES:
        raise InvalidRecipeError(
            f"the configs and secrets come to {total} bytes, more than the limit of {MOST_BYTES}",
            cause="each is kept in the Swarm, also where several are made of one file",
            hint="put large files into the image, or into a volume",
        )
    wrong = [
        f"{kind} {key}: {size} bytes, {'at least 1' if not size else f'at most {largest}'}"
        for kind, resources, largest in (
            ("config", compose.configs, LARGEST_CONFIG),
            ("secret", compose.secrets, LARGEST_SECRET),
        )
        for key, resource in resources.items()
        if resource.file and not resource.external
        for size in [compose.source.look(resource.file).size]
        if not 0 < size <= largest
    ]
    if wrong:
        raise InvalidRecipeError(
            f"Swarm refuses configs and secrets of this size: {'; '.join(wrong)}",
            cause="a config may have 1000 KB at most, a secret 500 KB, and none may be empty",
            hint="put the file into the image, or into a volume",
        )


def _refuse_clashing_ports(compose: Compose, *, alone: bool) -> None:
    """Refuse two services, or one twice, that publish the same port.

    Args:
        compose: the compose files.
        alone: whether the Swarm has one node: on several, `mode: host` may come true on two.
    """
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    published = (
        (service.name, port)
        for service in compose.services.values()
        for port in service.ports
        if port.published not in ("", "0")
    )
    for service, port in published:
        key = (port.published, port.protocol)
        if key not in seen:
            seen[key] = (service, port.mode)
            continue
        other, mode = seen[key]
        if not alone and other != service and port.mode == mode == "host":
            continue
        raise InvalidRecipeError(
            f"port {'/'.join(key)} is published twice: by {other} and by {service}",
            cause="only one container of a node can listen on it",
            hint="publish it once, or on another port",
        )


def _refuse_clashing_subnets(compose: Compose) -> None:
    """Refuse subnets that leave none for others, or overlap, so that one would not come up."""
    fixed = [
        (key, subnet)
        for key, network in compose.networks.items()
        if not network.external
        for subnet in _subnets(network)
    ]
    addresses = sum(one.num_addresses for _, one in fixed if isinstance(one, ipaddress.IPv4Network))
    if addresses > MOST_ADDRESSES:
        raise InvalidRecipeError(
            f"the networks' subnets have {addresses} addresses, more than the limit of"
            f" {MOST_ADDRESSES}",
            cause="the networks of other apps would find none",
            hint="make them smaller: 10.20.30.0/24 has room for 250 containers",
        )
    # Subnets are apart or nested: the first one inside another follows it in this order.
    fixed.sort(key=lambda one: (one[1].version, int(one[1].network_address), one[1].prefixlen))
    for (name, subnet), (other, second) in itertools.pairwise(fixed):
        if subnet.version == second.version and subnet.overlaps(second):
            raise InvalidRecipeError(
                f"the networks {name} and {other} overlap: {subnet} and {second}",
                cause="Swarm makes both, and containers on them do not start",
                hint="give each its own subnet, or leave `ipam` out",
            )


def _subnets(network: Resource) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    ipam = network.definition.get("ipam")
    config = ipam.get("config") if isinstance(ipam, dict) else None
    for one in config if isinstance(config, list) else ():
        with suppress(ValueError):
            if isinstance(one, dict) and one.get("subnet"):
                yield ipaddress.ip_network(str(one["subnet"]), strict=False)


def _refuse_taken(
    client: docker.DockerClient, compose: Compose, target: Target, nodes: Nodes | None = None
) -> None:
    """Refuse what would be deployed over something of that name that is not the run's own.

    A fixed `name:` in a compose file leads to whatever is called so already; a restore would empty
    such a volume, and docker would relabel such a config or secret.

    Raises:
        TestBedError: there is something of that name.
    """
    taken = []
    engines = [client, *(engine for _, engine in (nodes.each_other() if nodes else ()))]
    for volume, engine in itertools.product(compose.volumes.values(), engines):
        with suppress(NotFound):
            name = volume.full_name(target.stack)
            labels = engine.api.inspect_volume(name).get("Labels") or {}
            if not volume.external and labels.get(RUN_LABEL) != target.run:
                taken.append(f"volume {name}")
    for kind, found, resources in (
        ("config", client.api.configs, compose.configs),
        ("secret", client.api.secrets, compose.secrets),
    ):
        own = {r.full_name(target.stack) for r in resources.values() if not r.external}
        taken += [
            f"{kind} {spec['Name']}"
            for spec in (one["Spec"] for one in (found() if own else ()))
            if spec["Name"] in own and (spec.get("Labels") or {}).get(RUN_LABEL) != target.run
        ]
    named = {n.name for n in compose.networks.values() if n.name and not n.external} - EVERYWHERE
    taken += [
        f"network {one['Name']}"
        for one in (client.api.networks() if named else ())
        if one["Name"] in named and (one.get("Labels") or {}).get(RUN_LABEL) != target.run
    ]
    if taken:
        raise TestBedError(
            f"the recipe would be deployed over what is there already: {', '.join(taken)}",
            cause="it gives them a fixed `name:`, and somebody else's have the same",
            hint="put ${STACK_NAME} into the name, or test it on an engine without them",
        )
