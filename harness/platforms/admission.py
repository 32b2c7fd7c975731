"""What comes before a deploy, whichever platform deploys: may it be, and on which networks."""

from __future__ import annotations

import docker

from harness.platforms.base import Target
from harness.platforms.override import own_labels, own_networks
from harness.platforms.refusals import refuse
from harness.recipes.compose import Compose
from harness.recipes.policy.allowed import Policy
from harness.recipes.policy.asked import asks_of
from harness.swarm.nodes import Nodes
from harness.swarm.own_networks import make, own_name


def admit(
    client: docker.DockerClient,
    compose: Compose,
    target: Target,
    *,
    policy: Policy,
    nodes: Nodes | None,
) -> None:
    """Refuse what must not or cannot be deployed, then make the run's own networks for the rest.

    Args:
        client: a client of a manager's engine.
        compose: what is going to be deployed.
        target: the names that this run has for itself.
        policy: what the recipe may ask of the host.
        nodes: where there are other nodes, whose volumes must not be taken either.

    Raises:
        RefusedError: it asks for something of the host that is not allowed.
        InvalidRecipeError: docker would refuse it, or should.
        TestBedError: it uses names that are taken.
    """
    policy.require(asks_of(compose, target.stack, target.domain))
    refuse(client, compose, target, nodes)
    networks = own_networks(compose, target.stack).values()
    make(client, {own_name(target.stack), *networks}, own_labels(target))
