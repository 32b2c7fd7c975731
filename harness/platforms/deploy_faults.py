"""What a deploy printed, and whose fault that is: the machine's, or the recipe's."""

from __future__ import annotations

import re

from harness.docker.faults import fault_in
from harness.errors import EngineError, InvalidRecipeError, TestBedError
from harness.platforms.base import Target

# Swarm's managers say so when they have no leader, are overloaded or out of step with each other.
RPC_FAULT = re.compile(
    r"rpc error: code = (?!InvalidArgument|NotFound|AlreadyExists)", re.IGNORECASE
)
# The harness has looked after this network before the deploy.
PROXY_GONE = re.compile(r'network "?proxy"? .*(could not be found|not found)', re.IGNORECASE)
PORT_TAKEN = re.compile(r"port '(\d+)' is already in use by service '([^']+)'", re.IGNORECASE)


def fault_of_machine(said: str, target: Target) -> TestBedError | None:
    """Return what is wrong with the machine, by what a deploy printed; None if nothing is known."""
    if fault := fault_in(said):
        return fault.error(f"docker could not deploy {target.recipe}")
    if RPC_FAULT.search(said):
        return EngineError(
            "the Swarm's managers failed during the deploy",
            cause="they have no leader, are overloaded, or are out of step with each other",
            hint="docker node ls; then run again",
        )
    if PROXY_GONE.search(said):
        return EngineError(
            "the network proxy is gone, which was there before the deploy",
            cause="something on this machine removes networks while a run needs them",
            hint="stop what runs `docker network prune`, and run again",
        )
    taken = PORT_TAKEN.search(said)
    if taken and not taken[2].startswith(f"{target.stack}_"):
        return EngineError(
            f"port {taken[1]} is taken by service {taken[2]} of another stack",
            cause="only one service of a Swarm can publish it, and the recipe may be fine",
            hint=f"docker service rm {taken[2]}, if nobody needs it; or wait for its run to end",
        )
    return None


def fault_of_recipe(said: str, target: Target) -> InvalidRecipeError | None:
    """Return what is wrong with the recipe, by what a deploy printed; None if nothing is known."""
    if "only updates to Labels are allowed" not in said:
        return None
    return InvalidRecipeError(
        f"a config or a secret of {target.recipe} changed, and its name did not",
        cause="Swarm never changes a config or a secret in place",
        hint="raise its version, the one in its name: `export ..._VERSION=` in abra.sh",
    )
