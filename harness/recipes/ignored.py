"""What of compose files has no effect: options that docker ignores, values that it keeps.

Docker names others on standard error as it deploys, without the services.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.core.model import RunWarning, WarningCode
from harness.recipes.normal import UNSUPPORTED

SAID = "Ignoring unsupported options: "
UNTOLD = frozenset({"expose"})  # it changes nothing in a Swarm
INSTEAD = {
    "restart": "deploy.restart_policy",
    "tmpfs": "volumes: [{type: tmpfs, target: ...}]",
    "privileged": "cap_add",
    "devices": "nothing: a Swarm service gets no device",
    "links": "the service's name",
}


def ignored(options: Mapping[str, frozenset[str]], said: str = "") -> Mapping[str, tuple[str, ...]]:
    """Return the options that are ignored, sorted, by service.

    Args:
        options: every option of each service.
        said: what docker printed, which may know of more options.
    """
    known = (UNSUPPORTED | _named(said)) - UNTOLD
    found = {service: tuple(sorted(known & names)) for service, names in options.items()}
    return {service: names for service, names in found.items() if names}


def _named(said: str) -> frozenset[str]:
    """Return the options that docker says it ignores."""
    lines = (line for line in said.splitlines() if line.startswith(SAID))
    return frozenset(
        option.strip() for line in lines for option in line.removeprefix(SAID).split(",")
    )


def not_replaced(kept: Mapping[str, tuple[str, ...]]) -> tuple[RunWarning, ...]:
    """Return a warning for each service of which a compose file seems to replace something."""
    return tuple(
        RunWarning(
            code=WarningCode.NOT_REPLACED,
            text=f"service {service}: {'; '.join(sentences)}",
            next="docker merges compose files so: say it in one file only, or give another value",
        )
        for service, sentences in kept.items()
    )


def warnings(options: Mapping[str, tuple[str, ...]]) -> tuple[RunWarning, ...]:
    """Return a warning for each service."""
    return tuple(
        RunWarning(
            code=WarningCode.OPTION_IGNORED,
            text=f"docker stack deploy ignores {', '.join(names)} of service {service}",
            next="remove it"
            + "".join(f"; {name}: use {INSTEAD[name]}" for name in names if name in INSTEAD),
        )
        for service, names in options.items()
    )
