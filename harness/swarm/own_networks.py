"""Networks of one run, in place of those that others are on as well.

Services on one network answer to the same names. On `proxy`, which every recipe names, another
run's service could answer for this one's, and see what is sent to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import docker

from harness.core.network_names import PROXY


def own_name(stack: str, network: str = PROXY) -> str:
    """Return the name of a run's own network in place of an external one."""
    return f"{stack}_ccci-{network}"


def make(client: docker.DockerClient, networks: Iterable[str], labels: Mapping[str, str]) -> None:
    """Make a run's own networks, unless they are there; its clean-up finds them by its labels.

    Args:
        client: a client of a manager's engine.
        networks: their names.
        labels: the run's labels.
    """
    name, value = next(iter(labels.items()))
    there = {one["Name"] for one in client.api.networks(filters={"label": f"{name}={value}"})}
    for network in sorted({*networks} - there):
        client.api.create_network(network, driver="overlay", attachable=True, labels=dict(labels))
