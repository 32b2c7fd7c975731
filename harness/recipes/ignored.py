"""Options of a compose file that `docker stack deploy` ignores.

Docker names most of them on standard error as it deploys, without the services; some it passes over
without a word. Source of the list: what Docker CLI 28 says of a file with every option in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.model import RunWarning, WarningCode
from harness.recipes import yamlfile

SAID = "Ignoring unsupported options: "
UNSUPPORTED = frozenset(
    {
        *("build", "cgroup_parent", "cgroupns_mode", "devices", "domainname", "external_links"),
        *("ipc", "links", "mac_address", "network_mode", "pid", "privileged", "restart"),
        *("security_opt", "shm_size", "userns_mode"),
    }
)
DEPRECATED = frozenset({"container_name"})  # `expose` changes nothing in a Swarm, so it is not told
PASSED_OVER = frozenset({"tmpfs"})  # without a word; the long syntax under `volumes` is obeyed
INSTEAD = {
    "restart": "deploy.restart_policy",
    "tmpfs": "volumes: [{type: tmpfs, target: ...}]",
    "privileged": "cap_add",
    "devices": "nothing: a Swarm service gets no device",
    "links": "the service's name",
}


def ignored(directory: Path, files: Iterable[str], said: str = "") -> Mapping[str, tuple[str, ...]]:
    """Return the options that are ignored, sorted, by service.

    Args:
        directory: the recipe's checkout.
        files: its compose files.
        said: what docker printed, which may know of more options.
    """
    known = UNSUPPORTED | DEPRECATED | PASSED_OVER | _named(said)
    found: dict[str, set[str]] = {}
    for name in files:
        content = yamlfile.load(directory / name)
        services = content.get("services") if isinstance(content, dict) else None
        for service, raw in (services or {}).items():
            if isinstance(raw, dict):
                found.setdefault(str(service), set()).update(known & raw.keys())
    return {service: tuple(sorted(options)) for service, options in found.items() if options}


def _named(said: str) -> frozenset[str]:
    """Return the options that docker says it ignores."""
    lines = (line for line in said.splitlines() if line.startswith(SAID))
    return frozenset(
        option.strip() for line in lines for option in line.removeprefix(SAID).split(",")
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
