"""What is refused before anything is created, whichever platform deploys."""

from __future__ import annotations

import itertools
from contextlib import suppress

import docker
from docker.errors import NotFound

from harness.docker.nodes import Nodes
from harness.docker.sweep import RUN_LABEL
from harness.errors import InvalidRecipeError, TestBedError
from harness.platforms.base import Target
from harness.recipes.compose import LONGEST_NAME, Compose


def refuse(
    client: docker.DockerClient, compose: Compose, target: Target, nodes: Nodes | None = None
) -> None:
    """Refuse what cannot be deployed, and what must not be: data that is not the run's own.

    Raises:
        InvalidRecipeError: docker would refuse it, or should.
        TestBedError: it uses volumes from outside, or names that are taken.
    """
    _refuse_undeployable(compose, target.stack)
    _refuse_shared(compose)
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
    bad = compose.bad_files()
    if bad:
        raise InvalidRecipeError(
            f"configs or secrets are made of files that are not in the recipe: {', '.join(bad)}",
            hint="add the files, or correct their paths in the compose file",
        )


def _refuse_shared(compose: Compose) -> None:
    """Refuse volumes that are not the run's own: a restore would write into somebody's data.

    Raises:
        TestBedError: the recipe uses an external volume.
    """
    external = [volume.key for volume in compose.volumes.values() if volume.external]
    if external:
        raise TestBedError(
            f"the recipe uses volumes from outside of it: {', '.join(external)}",
            cause="a test that backs up and restores must not touch data that it did not make",
            hint="test it with a compose file that declares the volumes itself",
        )


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
    if taken:
        raise TestBedError(
            f"the recipe would be deployed over what is there already: {', '.join(taken)}",
            cause="it gives them a fixed `name:`, and somebody else's have the same",
            hint="put ${STACK_NAME} into the name, or test it on an engine without them",
        )
