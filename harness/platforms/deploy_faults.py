"""Decide by the words of the Swarm whose fault a refused deploy is: the recipe's or the machine's.

The words come from swarmkit's `manager/controlapi` and from the docker command. A gRPC code alone
decides only where the words are unknown: the same code stands for a mode change, which a recipe
causes, and for a manager without a feature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.core.errors import EngineError, InvalidRecipeError, TestBedError
from harness.platforms.base import Target
from harness.swarm.faults import fault_in

REFUSED = "Swarm takes no such definition, on any machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Words by which the Swarm refuses what a recipe asks for, and what to tell its maintainer."""

    words: re.Pattern[str]
    what: str
    cause: str
    hint: str


def _refusal(what: str, words: str, *, cause: str = REFUSED, hint: str) -> Refusal:
    return Refusal(words=re.compile(words, re.IGNORECASE), what=what, cause=cause, hint=hint)


# In order: the first whose words are found. Only a recipe's files can cause these.
REFUSALS = (
    _refusal(
        "a config or a secret of {recipe} changed, but its name did not",
        r"only updates to Labels are allowed",
        cause="Swarm never changes a config or a secret in place",
        hint="raise its version, the one in its name: `export ..._VERSION=` in abra.sh",
    ),
    _refusal(
        "a service of {recipe} changed its mode, between replicated, global and a job",
        r"service mode change is not allowed",
        cause="Swarm cannot change the mode of a service in place: operators cannot upgrade either",
        hint="give the service another name, or keep its mode",
    ),
    _refusal(
        "a config or a secret of {recipe} is empty or too large",
        r"(config|secret) data must be larger than 0|(failed to (create|update) (config|secret)"
        r".*|create (config|secret).*)(message larger than max|request body too large)",
        cause="a config may have 1000 KB at most (500 KB before Engine 20.10), a secret 500 KB",
        hint="put the file into the image, or into a volume",
    ),
    _refusal(
        "a service of {recipe} asks for more than a message to the Swarm can hold",
        r"failed to (create|update) service.*message larger than max",
        cause="environment, labels or arguments of one service add up to more than 4 MiB",
        hint="make them smaller",
    ),
    _refusal(
        "a service of {recipe} publishes a port in a way that Swarm refuses",
        r"ingress mode can't be used with dnsrr|ports can't be used with dnsrr"
        r"|duplicate published ports",
        hint="publish the port once, and with `mode: host` where endpoint_mode is dnsrr",
    ),
    _refusal(
        "{recipe} changes its networks in a way that this Swarm refuses",
        r"networks must be migrated to TaskSpec|changing network in service is not supported"
        r"|cannot be explicitly attached to (the ingress|\"[^\"]+\") network",
        hint="rename the service, or leave its networks as they are",
    ),
    _refusal(
        "two configs or secrets of a service of {recipe} have the same target",
        r"have a conflicting target",
        hint="give each its own `target:`",
    ),
    _refusal(
        "Swarm refuses the definition of a service of {recipe}",
        r"code = (InvalidArgument|OutOfRange)|code = Unimplemented|invalid (cpu|memory) value"
        r"|(TaskSpec|ContainerSpec|EndpointSpec|RuntimeSpec|Generic runtime): "
        r"|renaming services is not supported|code = FailedPrecondition.*previous spec"
        r"|constraint expected one operator|desc = (key|value) '[^']*' is invalid"
        r"|cannot be used with services",
        cause="a value in the compose file is outside what Swarm takes",
        hint="the line below is Swarm's own; correct the value that it names",
    ),
)
# What only managers without a leader, overloaded or out of step with each other say.
RPC_FAULT = re.compile(
    r"rpc error: code = (?!InvalidArgument|NotFound|AlreadyExists|Unimplemented|OutOfRange)",
    re.IGNORECASE,
)
# The harness made this network right before the deploy.
OWN_NETWORK_GONE = re.compile(
    r'network "?(\S+_ccci-[^\s"]+)"? .*(could not be found|not found)', re.IGNORECASE
)
NO_INGRESS = re.compile(r"service needs ingress network", re.IGNORECASE)
PORT_TAKEN = re.compile(r"port '(\d+)' is already in use by service '([^']+)'", re.IGNORECASE)


def fault_of_machine(said: str, target: Target) -> TestBedError | None:
    """Return what is wrong with the machine, by what a deploy printed; None if nothing is known."""
    if taken := PORT_TAKEN.search(said):
        return _port_taken(taken, target)
    if refusal_in(said):
        return None
    if fault := fault_in(said):
        return fault.error(f"docker could not deploy {target.recipe}")
    return _fault_of_swarm(said)


def _fault_of_swarm(said: str) -> EngineError | None:
    if NO_INGRESS.search(said):
        return EngineError(
            "the Swarm has no ingress network, which a published port needs",
            cause="somebody removed it",
            hint="docker network create --ingress --driver overlay ingress",
        )
    if RPC_FAULT.search(said):
        return EngineError(
            "the Swarm's managers failed during the deploy",
            cause="they have no leader, are overloaded, or are out of step with each other",
            hint="docker node ls; then run again",
        )
    if gone := OWN_NETWORK_GONE.search(said):
        return EngineError(
            f"the network {gone[1]} is gone, which was there before the deploy",
            cause="something on this machine removes networks while a run needs them",
            hint="stop what runs `docker network prune`, and run again",
        )
    return None


def fault_of_recipe(said: str, target: Target) -> InvalidRecipeError | None:
    """Return what is wrong with the recipe, by what a deploy printed; None if nothing is known."""
    if taken := PORT_TAKEN.search(said):
        return InvalidRecipeError(
            f"two services of {target.recipe} publish port {taken[1]}",
            cause=f"the other is {taken[2].removeprefix(f'{target.stack}_')}",
            hint="publish it once, or on another port",
        )
    refusal = refusal_in(said)
    if refusal is None:
        return None
    return InvalidRecipeError(
        refusal.what.format(recipe=target.recipe), cause=refusal.cause, hint=refusal.hint
    )


def refusal_in(said: str) -> Refusal | None:
    """Return what the recipe asks for that the Swarm refuses, by the Swarm's words, else None."""
    return next((refusal for refusal in REFUSALS if refusal.words.search(said)), None)


def _port_taken(taken: re.Match[str], target: Target) -> EngineError | None:
    """Return that another stack publishes the port; None if a service of this stack does."""
    if taken[2].startswith(f"{target.stack}_"):
        return None
    return EngineError(
        f"port {taken[1]} is taken by service {taken[2]} of another stack",
        cause="only one service of a Swarm can publish it, and the recipe may be fine",
        hint=f"docker service rm {taken[2]}, if it is not needed; or wait for its run to end",
    )
