"""One form for each service of a compose file, whatever syntax its author chose. Pure.

Short forms become long ones, so that what the harness decides on is, key by key, what docker is
given: see cli/internal/volumespec, nat.ParsePortSpec and cli/compose/loader of docker/cli. What
`docker stack deploy` ignores is left out; every other value stays as it was written, for docker to
judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.core.errors import InvalidRecipeError
from harness.recipes.compose_fields import (
    known,
    mapping,
    pairs,
    required,
    sequence,
    text,
    texts,
)

# What docker passes over, and says so; see docs of `docker stack deploy` and cli/compose/types.
UNSUPPORTED = frozenset(
    {
        *("build", "cgroup_parent", "cgroupns_mode", "devices", "domainname", "external_links"),
        *("ipc", "links", "mac_address", "network_mode", "pid", "privileged", "restart"),
        *("security_opt", "shm_size", "userns_mode", "container_name", "expose"),
        "tmpfs",  # without a word; the long syntax under `volumes` is obeyed
    }
)
# Docker says that it ignores it, and obeys it all the same where `deploy` has no restart_policy.
OBEYED = frozenset({"restart"})
OPTIONS = UNSUPPORTED | {
    *("cap_add", "cap_drop", "command", "configs", "credential_spec", "depends_on", "deploy"),
    *("dns", "dns_search", "entrypoint", "env_file", "environment", "extra_hosts", "healthcheck"),
    *("hostname", "image", "init", "isolation", "labels", "logging", "networks", "oom_score_adj"),
    *("ports", "read_only", "secrets", "stdin_open", "stop_grace_period", "stop_signal"),
    *("sysctls", "tty", "ulimits", "user", "volumes", "working_dir"),
    # Docker refuses a file with these, in words of its own.
    *("cpu_quota", "cpu_shares", "cpuset", "extends", "mem_limit", "memswap_limit"),
    *("volume_driver", "volumes_from"),
}
MOUNT = frozenset(
    {
        *("type", "source", "target", "read_only", "consistency"),
        *("bind", "volume", "tmpfs", "image", "cluster"),
    }
)
PORT = frozenset({"target", "published", "protocol", "mode"})
REFERENCE = frozenset({"source", "target", "uid", "gid", "mode"})
ATTACHMENT = frozenset({"aliases", "driver_opts", "ipv4_address", "ipv6_address"})
PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
PROTOCOLS = ("tcp", "udp", "sctp")
MOST_PORTS = 1000  # of one service
HIGHEST_PORT = 65535
_PORTS = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?", re.ASCII)


def normal(raw: object, where: str) -> dict[str, Any]:
    """Return a service's definition in its one form; `env_file` is still what it was.

    Args:
        raw: what the file holds, variables filled in.
        where: the file and the keys that lead to it, for messages.

    Raises:
        InvalidRecipeError: a field has a form that compose files do not know.
    """
    service = known(raw, OPTIONS, where)
    found = {key: value for key, value in service.items() if key not in UNSUPPORTED - OBEYED}
    deploy = mapping(found.get("deploy"), f"{where}.deploy")
    for key, read in (
        ("labels", pairs), ("sysctls", pairs), ("environment", pairs), ("volumes", _mounts),
        ("ports", _ports), ("networks", _networks), ("secrets", _references),
        ("configs", _references), ("dns", texts), ("dns_search", texts), ("env_file", texts),
        ("extra_hosts", _hosts), ("healthcheck", _check),
    ):  # fmt: skip
        if found.get(key) is not None:
            found[key] = read(found[key], f"{where}.{key}")
    for labels, place in ((found, where), (deploy, f"{where}.deploy")):
        if labels.get("labels") is not None:
            labels["labels"] = _labels(labels["labels"], f"{place}.labels")
    return {**found, **({"deploy": deploy} if "deploy" in found else {})}


def _labels(raw: object, where: str) -> dict[str, Any]:
    return {key: "" if value is None else value for key, value in pairs(raw, where).items()}


def _references(raw: object, where: str) -> list[dict[str, Any]]:
    """Return the secrets or configs of a service, each with its `source`."""
    items: list[dict[str, Any]] = []
    for item in sequence(raw, where):
        if isinstance(item, dict):
            # Docker passes over other keys here: so do we.
            kept = {key: value for key, value in item.items() if key in REFERENCE}
            items.append({**kept, "source": required(item, "source", where)})
        else:
            items.append({"source": text(item)})
    return items


def _networks(raw: object, where: str) -> dict[str, dict[str, Any] | None]:
    if isinstance(raw, list):
        return dict.fromkeys(text(item) for item in raw)
    return {
        name: None if one is None else known(one, ATTACHMENT, f"{where}.{name}")
        for name, one in mapping(raw, where).items()
    }


def _hosts(raw: object, where: str) -> list[Any]:
    if isinstance(raw, list):
        return raw
    named = mapping(raw, where)
    return sorted(f"{host}:{text(ip)}" for host, ip in named.items() if ip is not None)


def _check(raw: object, where: str) -> dict[str, Any]:
    check = mapping(raw, where)
    test = check.get("test")
    return {**check, "test": ["CMD-SHELL", test]} if isinstance(test, str) else check


def _mounts(raw: object, where: str) -> list[dict[str, Any]]:
    return [
        known(item, MOUNT, f"{where}[]") | {"target": required(item, "target", where)}
        if isinstance(item, dict)
        else short_mount(text(item), where)
        for item in sequence(raw, where)
    ]


def short_mount(spec: str, where: str) -> dict[str, Any]:
    """Return what `SOURCE:/TARGET:OPTIONS` says, read as docker reads it.

    Raises:
        InvalidRecipeError: it says nothing.
    """
    parts = [spec] if 0 < len(spec.encode()) <= 2 else list(_parts(spec))  # noqa: PLR2004  docker's
    if len(parts) > 3 or not all(parts):  # noqa: PLR2004  source, target and options
        raise InvalidRecipeError(
            f"{where}: '{spec}' is not a mount", hint="write SOURCE:/TARGET or SOURCE:/TARGET:ro"
        )
    if len(parts) == 1:
        return {"type": "volume", "target": spec}
    source, target = parts[:2]
    mount: dict[str, Any] = {
        "type": "bind" if _is_path(source) else "volume", "source": source, "target": target
    }  # fmt: skip
    for option in parts[2].split(",") if parts[2:] else ():
        if option in ("ro", "rw"):
            mount["read_only"] = option == "ro"
        elif option == "nocopy":
            mount["volume"] = {"nocopy": True}
        elif option in PROPAGATIONS:
            mount["bind"] = {"propagation": option}
    return mount


def _parts(spec: str) -> Iterator[str]:
    """Yield the parts between colons; one after a single letter belongs to a drive of Windows."""
    part = ""
    for character in spec:
        if character == ":" and not (len(part) == 1 and part.isalpha()):
            yield part
            part = ""
        else:
            part += character
    yield part


def _is_path(source: str) -> bool:
    drive = len(source) > 1 and source[0].isalpha() and source[1] == ":"
    return source.startswith((".", "/", "~", "\\\\")) or drive


def _ports(raw: object, where: str) -> list[dict[str, Any]]:
    items = sequence(raw, where)
    if len(items) > MOST_PORTS:
        raise InvalidRecipeError(f"{where} has {len(items)} ports, more than {MOST_PORTS}")
    if any(items.count(item) > 1 for item in items):
        raise InvalidRecipeError(f"{where} has the same item twice", hint="write it once")
    ports = [
        port
        for item in items
        for port in (
            [known(item, PORT, f"{where}[]") | {"target": _target(item, where)}]
            if isinstance(item, dict)
            else _short_ports(text(item), where)
        )
    ]
    if len(ports) > MOST_PORTS:
        raise InvalidRecipeError(f"{where} has {len(ports)} ports, more than {MOST_PORTS}")
    return ports


def _target(item: dict[str, object], where: str) -> object:
    required(item, "target", where)
    return item["target"]


def _short_ports(item: str, where: str) -> list[dict[str, Any]]:
    ports, _, protocol = item.partition("/")
    *address, target = ports.rsplit(":", 2)  # Swarm ignores an address before the two ports
    outside = address[-1] if address else ""  # nothing before the colon: the engine chooses
    targets, published = _port_range(target), _port_range(outside)
    if len(targets) == 1 and published:  # docker publishes one port under each of a range
        targets *= len(published)
    spoken = protocol.lower() or "tcp"
    wrong = not targets or (outside and len(targets) != len(published))
    if wrong or spoken not in PROTOCOLS:
        raise InvalidRecipeError(
            f"{where}: '{item}' is not a port", hint='write "PUBLISHED:TARGET" or TARGET'
        )
    return [
        {"target": inner, "published": outer, "protocol": spoken, "mode": "ingress"}
        for inner, outer in zip(targets, published or [0] * len(targets), strict=True)
    ]


def _port_range(ports: str) -> list[int]:
    """Return the ports of `80` or `3000-3005`; none when it is neither."""
    match = _PORTS.fullmatch(ports)
    if match is None:
        return []
    first, last = int(match["first"]), int(match["last"] or match["first"])
    return list(range(first, last + 1)) if last <= HIGHEST_PORT else []
