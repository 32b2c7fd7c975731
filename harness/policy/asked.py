"""What a recipe asks of the host, read from what is deployed. Pure.

Each thing is an item such as `bind:/srv/data`, `port:25` or `cap:NET_ADMIN`: what a line of
HOST_ACCESS allows. Whatever reaches past the run's own containers, volumes and networks is one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.recipes.compose import Compose, Resource, Service
from harness.recipes.compose_fields import text

KINDS = (
    *("bind", "port", "cap", "sysctl", "network", "network-driver", "network-opts", "volume"),
    *("volume-driver", "driver-opts", "config", "secret", "secret-driver", "log-driver", "mount"),
    *("credential-spec", "oom-score-adj"),
)
OWN_LABELS = "ccci."
OWN_IMAGES = "localhost/cc-ci"
PROXY = "proxy"  # the one external network that every recipe may name
BUILT_IN = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})
# What a container has anyway, so asking for it changes nothing on the host.
DEFAULT_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
LOG_DRIVERS = frozenset({"", "json-file", "local", "none"})
NETWORK_OPTIONS = frozenset({"encrypted", "com.docker.network.driver.mtu"})
# A tmpfs is memory; with `bind` among its options it would be a directory of the host.
MEMORY = re.compile(
    r"(?:size|uid|gid|mode|nr_inodes|nr_blocks)=[0-9a-zA-Z%]+|no(?:exec|suid|dev|atime)|r[ow]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One thing that a recipe asks of the host.

    Attributes:
        item: what a line of HOST_ACCESS has to name.
        who: the service, volume or network that asks for it.
        never: why no line can allow it; empty when one can.
    """

    item: str
    who: str
    never: str = ""


def asks_of(compose: Compose, stack: str) -> tuple[Ask, ...]:
    """Return what compose files ask of the host, each thing once."""
    found = [ask for service in compose.services.values() for ask in _of_service(service)]
    found += [
        ask
        for section in ("volumes", "networks", "configs", "secrets")
        for ask in _of_resources(section, getattr(compose, section), stack)
    ]
    found += _of_files(compose)
    return tuple({ask.item: ask for ask in reversed(found)}.values())[::-1]


def _of_files(compose: Compose) -> Iterator[Ask]:
    for resource in compose.made_of_files():
        if outside := compose.source.look(resource.file).outside:
            never = "a config and a secret are made of files of the recipe"
            yield Ask(item=f"file:{outside}", who=resource.key, never=never)


def _of_service(service: Service) -> Iterator[Ask]:
    raw, who = service.raw, f"service {service.name}"
    yield from _mounts(service, who)
    for port in service.ports:
        protocol = "" if port.protocol == "tcp" else f"/{port.protocol}"
        yield Ask(item=f"port:{port.published or 'any'}{protocol}", who=who)
    for item in _privileges(raw):
        yield Ask(item=item, who=who)
    for network in (raw.get("networks") or {}).values():
        yield from _options((network or {}).get("driver_opts"), who)
    if service.image.startswith(OWN_IMAGES):
        yield Ask(item=f"image:{service.image}", who=who, never="that image is the harness's own")
    yield from _labels({**service.labels, **service.container_labels}, who)


def _mounts(service: Service, who: str) -> Iterator[Ask]:
    for mount in service.mounts:
        if mount.kind == "bind":
            yield _bind(mount.source, who)
        elif mount.kind not in ("volume", "tmpfs"):
            yield Ask(item=f"mount:{mount.kind}", who=who)


def _privileges(raw: Mapping[str, Any]) -> Iterator[str]:
    for name in raw.get("cap_add") or ():
        capability = text(name).upper().removeprefix("CAP_")
        if capability not in DEFAULT_CAPABILITIES:
            yield f"cap:{capability}"
    yield from (f"sysctl:{name}" for name in raw.get("sysctls") or ())
    driver = text((raw.get("logging") or {}).get("driver"))
    if driver not in LOG_DRIVERS:
        yield f"log-driver:{driver}"
    for key, value in (raw.get("credential_spec") or {}).items():
        yield f"credential-spec:{key}={text(value)}"
    if text(raw.get("oom_score_adj")).startswith("-"):
        yield f"oom-score-adj:{text(raw['oom_score_adj'])}"


def _bind(source: str, who: str) -> Ask:
    if not source.startswith("/"):
        never = "a path of the operator's own machine, relative to the recipe, is nowhere else"
        return Ask(item=f"bind:{source}", who=who, never=never)
    return Ask(item=f"bind:{posixpath.normpath('/' + source.lstrip('/'))}", who=who)


def _options(options: Mapping[str, Any] | None, who: str) -> Iterator[Ask]:
    reaching = {
        key: text(one) for key, one in (options or {}).items() if key not in NETWORK_OPTIONS
    }
    if reaching:
        yield Ask(item=f"network-opts:{_written(reaching)}", who=who)


def _labels(labels: Mapping[str, Any], who: str) -> Iterator[Ask]:
    for name in labels:
        if name.startswith(OWN_LABELS):
            yield Ask(item=f"label:{name}", who=who, never="those labels are the harness's own")


def _of_resources(section: str, resources: Mapping[str, Resource], stack: str) -> Iterator[Ask]:
    kind = section.removesuffix("s")
    for key, one in resources.items():
        who, definition = f"{kind} {key}", one.definition
        name = one.full_name(stack)
        yield from _labels(definition.get("labels") or {}, who)
        if one.external and not _may_be_external(kind, name, stack):
            yield Ask(item=f"{kind}:{name}", who=who)
        if one.external:
            continue
        if kind == "volume":
            yield from _volume(definition, name, stack, who)
        if kind == "network":
            yield from _network(definition, name, who)
        if kind == "secret" and definition.get("driver"):
            yield Ask(item=f"secret-driver:{text(definition['driver'])}", who=who)


def _may_be_external(kind: str, name: str, stack: str) -> bool:
    if kind == "network":
        return name == PROXY
    return kind == "secret" and name.startswith(f"{stack}_")


def _network(definition: Mapping[str, Any], name: str, who: str) -> Iterator[Ask]:
    if name in BUILT_IN:
        yield Ask(item=f"network:{name}", who=who)
    driver = text(definition.get("driver"))
    if driver not in ("", "overlay"):
        yield Ask(item=f"network-driver:{driver}", who=who)
    yield from _options(definition.get("driver_opts"), who)


def _volume(definition: Mapping[str, Any], name: str, stack: str, who: str) -> Iterator[Ask]:
    # Swarm fills templates in a volume's name, so what begins otherwise could become any name.
    if "{{" in name and not name.startswith((f"{stack}_", "{{.Service.Name}}")):
        yield Ask(item=f"volume:{name}", who=who)
    driver = text(definition.get("driver"))
    if driver not in ("", "local"):
        yield Ask(item=f"volume-driver:{driver}", who=who)
    options = {key: text(one) for key, one in (definition.get("driver_opts") or {}).items()}
    if not options or _is_memory(options):
        return
    device, words = options.get("device", ""), options.get("o", "").split(",")
    if device.startswith("/") and {"bind", "rbind"} & {*words}:
        yield _bind(device, who)
    else:
        yield Ask(item=f"driver-opts:{_written(options)}", who=who)


def _is_memory(options: Mapping[str, str]) -> bool:
    words = [word for word in options.get("o", "").split(",") if word]
    known = options.keys() <= {"type", "device", "o"} and options.get("type") == "tmpfs"
    return known and all(MEMORY.fullmatch(word) for word in words)


def _written(options: Mapping[str, str]) -> str:
    return ",".join(f"{key}={options[key]}" for key in sorted(options))
