"""The fields of compose files: their several syntaxes brought to one shape, and merged. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import InvalidRecipeError
from harness.recipes.plain import number_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something mounted in a service's containers.

    Attributes:
        kind: `volume`, `bind` or `tmpfs`.
        source: the volume's name in the compose file or the host's path; empty for an anonymous
            volume and for a tmpfs.
        target: the absolute path in the container.
        read_only: whether the container may not write to it.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a service publishes. `published` is empty when the engine is to choose one."""

    target: str
    published: str = ""
    protocol: str = "tcp"
    mode: str = "ingress"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePart:
    """What one file says of one service. None is what it does not say."""

    image: str | None
    endpoint_mode: str | None
    healthcheck: bool | None
    disabled: bool | None
    check: tuple[str, ...] | None
    labels: Mapping[str, str]
    container_labels: Mapping[str, str]
    mounts: Mapping[str, Mount]
    networks: Mapping[str, None]
    secrets: Mapping[str, None]
    configs: Mapping[str, None]
    ports: tuple[Port, ...]

    @classmethod
    def parse(cls, raw: object, where: str) -> ServicePart:
        """Read a service's definition.

        Args:
            raw: what the file holds, variables filled in.
            where: the file and the keys that lead to it, for messages.

        Raises:
            InvalidRecipeError: a field has a form that compose files do not know.
        """
        service = mapping(raw, where)
        deploy = mapping(service.get("deploy"), f"{where}.deploy")
        check = service.get("healthcheck")
        return cls(
            image=_optional(service.get("image")),
            endpoint_mode=_optional(deploy.get("endpoint_mode")),
            healthcheck=None if check is None else _has_check(check, f"{where}.healthcheck"),
            disabled=_disabled(check, f"{where}.healthcheck"),
            check=_test(check, f"{where}.healthcheck"),
            labels=labels(deploy.get("labels"), f"{where}.deploy.labels"),
            container_labels=labels(service.get("labels"), f"{where}.labels"),
            mounts=_mounts(service.get("volumes"), f"{where}.volumes"),
            networks=_names(service.get("networks"), f"{where}.networks"),
            secrets=_names(service.get("secrets"), f"{where}.secrets"),
            configs=_names(service.get("configs"), f"{where}.configs"),
            ports=_ports(service.get("ports"), f"{where}.ports"),
        )

    def merged(self, later: ServicePart) -> ServicePart:
        """Return both as one: the later file's values win, mappings join."""
        return ServicePart(
            image=later.image or self.image,
            endpoint_mode=later.endpoint_mode or self.endpoint_mode,
            healthcheck=self.healthcheck if later.healthcheck is None else later.healthcheck,
            disabled=self.disabled or later.disabled,
            # Docker appends the words of a later test to those of an earlier one.
            check=self.check if later.check is None else (*(self.check or ()), *later.check),
            labels={**self.labels, **later.labels},
            container_labels={**self.container_labels, **later.container_labels},
            mounts={**self.mounts, **later.mounts},
            networks={**self.networks, **later.networks},
            secrets={**self.secrets, **later.secrets},
            configs={**self.configs, **later.configs},
            ports=(*self._ports_beside(later), *later.ports),
        )

    def _ports_beside(self, later: ServicePart) -> tuple[Port, ...]:
        taken = {port.published for port in later.ports if port.published}
        return tuple(port for port in self.ports if port.published not in taken)


def labels(raw: object, where: str) -> dict[str, str]:
    """Return labels from either syntax, their values as the texts that Docker makes of them.

    Raises:
        InvalidRecipeError: they are neither a mapping nor a list.
    """
    if isinstance(raw, list):
        pairs = (text(item).partition("=") for item in raw)
        return {key: value for key, _, value in pairs}
    return {key: text(value) for key, value in mapping(raw, where).items()}


def text(value: object) -> str:
    """Return a plain value as the text Docker makes of it: `true`, `8`, `1.5`, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, float) else str(value)


def truth(value: object, where: str) -> bool:
    """Return a truth value, which a variable may have filled in as a text.

    Raises:
        InvalidRecipeError: it is none.
    """
    word = text(value).lower()
    if word in ("true", "y", "yes", "on"):
        return True
    if word in ("", "false", "n", "no", "off"):
        return False
    raise InvalidRecipeError(f"{where} is '{word}'", hint="write true or false")


def mapping(raw: object, where: str) -> dict[str, object]:
    """Return a mapping with its keys as texts; nothing at all is an empty one.

    Raises:
        InvalidRecipeError: it is something else.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise InvalidRecipeError(
            f"{where} is {_kind(raw)}, not a mapping", hint="write 'key: value' lines under it"
        )
    return {text(key): value for key, value in raw.items()}


def _sequence(raw: object, where: str) -> list[object]:
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise InvalidRecipeError(
            f"{where} is {_kind(raw)}, not a list", hint="write '- item' lines under it"
        )
    return raw


def _optional(value: object) -> str | None:
    return None if value is None else text(value)


def _kind(raw: object) -> str:
    if isinstance(raw, dict):
        return "a mapping"
    return "a list" if isinstance(raw, list) else f"'{text(raw)}'"


def _names(raw: object, where: str) -> dict[str, None]:
    """Return the names in a mapping, a list of names, or a list of mappings with a `source`."""
    if isinstance(raw, dict):
        return dict.fromkeys(mapping(raw, where))
    items = _sequence(raw, where)
    return dict.fromkeys(
        _required(item, "source", where) if isinstance(item, dict) else text(item) for item in items
    )


def _required(item: dict[str, object], key: str, where: str) -> str:
    if not text(item.get(key)):
        raise InvalidRecipeError(f"an item of {where} has no '{key}'", hint=f"add '{key}: ...'")
    return text(item[key])


def _mounts(raw: object, where: str) -> dict[str, Mount]:
    mounts = [
        _long_mount(item, where) if isinstance(item, dict) else _short_mount(text(item), where)
        for item in _sequence(raw, where)
    ]
    return {mount.target: mount for mount in mounts}


def _long_mount(item: dict[str, object], where: str) -> Mount:
    return Mount(
        kind=text(item.get("type")) or "volume",
        source=text(item.get("source")),
        target=_required(item, "target", where),
        read_only=truth(item.get("read_only"), f"{where}.read_only"),
    )


def _short_mount(item: str, where: str) -> Mount:
    parts = item.split(":")
    if len(parts) > 3 or not all(parts):  # noqa: PLR2004  source, target and options
        raise InvalidRecipeError(
            f"{where}: '{item}' is no mount", hint="write SOURCE:/TARGET or SOURCE:/TARGET:ro"
        )
    if len(parts) == 1:
        return Mount(kind="volume", source="", target=item)
    source, target = parts[:2]
    options = parts[2].split(",") if parts[2:] else []
    kind = "bind" if source.startswith((".", "/", "~")) else "volume"
    return Mount(kind=kind, source=source, target=target, read_only="ro" in options)


def _ports(raw: object, where: str) -> tuple[Port, ...]:
    ports: list[Port] = []
    for item in _sequence(raw, where):
        if isinstance(item, dict):
            ports.append(_long_port(item, where))
        else:
            ports.extend(_short_ports(text(item), where))
    return tuple(ports)


def _long_port(item: dict[str, object], where: str) -> Port:
    return Port(
        target=_required(item, "target", where),
        published=text(item.get("published")),
        protocol=text(item.get("protocol")) or "tcp",
        mode=text(item.get("mode")) or "ingress",
    )


def _short_ports(item: str, where: str) -> list[Port]:
    ports, _, protocol = item.partition("/")
    *address, target = ports.rsplit(":", 2)  # Swarm ignores an address before the two ports
    outside = address[-1] if address else ""  # nothing before the colon: the engine chooses
    targets, published = _port_range(target), _port_range(outside)
    if len(targets) == 1 and published:  # docker publishes one port under each of a range
        targets *= len(published)
    if not targets or (outside and len(targets) != len(published)):
        raise InvalidRecipeError(
            f"{where}: '{item}' is no port", hint='write "PUBLISHED:TARGET" or TARGET'
        )
    return [
        Port(target=inner, published=outer, protocol=protocol.lower() or "tcp")
        for inner, outer in zip(targets, published or [""] * len(targets), strict=True)
    ]


def _port_range(ports: str) -> list[str]:
    """Return the ports of `80` or `3000-3005`; none when it is neither."""
    match = re.fullmatch(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?", ports)
    if match is None:
        return []
    return [
        str(port) for port in range(int(match["first"]), int(match["last"] or match["first"]) + 1)
    ]


def _has_check(raw: object, where: str) -> bool:
    return mapping(raw, where).get("test") != ["NONE"]


def _disabled(raw: object, where: str) -> bool | None:
    disabled = mapping(raw, where).get("disable")
    return None if disabled is None else truth(disabled, f"{where}.disable")


def _test(raw: object, where: str) -> tuple[str, ...] | None:
    """Return the words of a health check's test, `CMD` or `CMD-SHELL` in front; None without."""
    test = mapping(raw, where).get("test")
    if isinstance(test, list):
        return tuple(text(word) for word in test)
    return None if test is None else ("CMD-SHELL", text(test))
