"""What a recipe asks of the host, read from what is deployed. Pure.

Each thing is an item such as `bind:/srv/data`, `port:25` or `cap:NET_ADMIN`: what a line of
HOST_ACCESS allows. Whatever reaches past the run's own containers, volumes and networks is one.
An item holds `${STACK_NAME}` and `${DOMAIN}` in place of what is another one in each run.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.core.driver_options import own_data
from harness.core.network_names import BUILT_IN, PROXY
from harness.recipes.compose import Compose, Resource, Service
from harness.recipes.compose_fields import Port, text

KINDS = (
    *("bind", "port", "cap", "sysctl", "network", "network-driver", "network-opts", "ipam-driver"),
    *("volume-driver", "driver-opts", "config", "secret", "secret-driver", "log-driver"),
    *("log-opts", "mount", "volume", "credential-spec", "oom-score-adj", "resource", "ulimit"),
)
OWN_LABELS = "ccci."
OWN_IMAGES = "localhost/cc-ci"
# What a container has anyway, so asking for it changes nothing on the host.
DEFAULT_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
LOG_DRIVERS = frozenset({"", "json-file", "local", "none"})
# Options of log drivers that lead nowhere.
LOG_OPTIONS = frozenset(
    {
        *("max-size", "max-file", "compress", "mode", "max-buffer-size", "tag"),
        *("labels", "labels-regex", "env", "env-regex"),
    }
)
# With these a container goes before all else that runs on the machine.
ULIMITS = ("rtprio", "nice")
NETWORK_OPTIONS = frozenset({"encrypted", "com.docker.network.driver.mtu"})


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


def asks_of(compose: Compose, stack: str, domain: str = "") -> tuple[Ask, ...]:
    """Return what compose files ask of the host, each thing once."""
    found = [ask for service in compose.services.values() for ask in of_service(service)]
    found += [
        ask
        for section in ("volumes", "networks", "configs", "secrets")
        for ask in _of_resources(section, getattr(compose, section), stack)
    ]
    found += _of_files(compose)
    return once(found, stack, domain)


def once(asks: Iterable[Ask], stack: str, domain: str) -> tuple[Ask, ...]:
    """Return each thing once, by the item that a line of HOST_ACCESS has."""
    named = [replace(ask, item=_lasting(ask.item, stack, domain)) for ask in asks]
    return tuple({ask.item: ask for ask in reversed(named)}.values())[::-1]


def left_alone(compose: Compose) -> list[str]:
    """Return, for the report, the volumes in which the harness touches nothing."""
    return [
        f"volume {key}, which leads to the host: it is not counted, backed up or written to"
        for key, one in compose.volumes.items()
        if not own_data(_texts(one.definition.get("driver_opts")))
        or text(one.definition.get("driver")) not in ("", "local")
    ]


def _lasting(item: str, stack: str, domain: str) -> str:
    """Return an item that is the same in the next run, under other names."""
    item = item.replace(stack, "${STACK_NAME}")
    return item.replace(domain, "${DOMAIN}") if domain else item


def _of_files(compose: Compose) -> Iterator[Ask]:
    for resource in compose.made_of_files():
        if outside := compose.source.look(resource.file).outside:
            never = "a config and a secret are made of files of the recipe"
            yield Ask(item=f"file:{outside}", who=resource.key, never=never)


def of_service(service: Service) -> Iterator[Ask]:
    """Yield what a service asks for."""
    raw, who = service.raw, f"service {service.name}"
    yield from _mounts(service, who)
    yield from (Ask(item=item, who=who) for item in _ports(service.ports))
    yield from (Ask(item=item, who=who) for item in (*_privileges(raw), *_logging(raw)))
    for network in _mapping(raw.get("networks")).values():
        yield from _options(_mapping(network).get("driver_opts"), who)
    if service.image.startswith(OWN_IMAGES):
        yield Ask(item=f"image:{service.image}", who=who, never="that image is the harness's own")
    yield from _labels({**service.labels, **service.container_labels}, who)


def _mounts(service: Service, who: str) -> Iterator[Ask]:
    for mount in service.mounts:
        if mount.kind == "bind":
            yield _bind(mount.source, who)
        elif mount.kind not in ("volume", "tmpfs"):
            yield Ask(item=f"mount:{mount.kind}={mount.source}", who=who)


def _ports(ports: Iterable[Port]) -> Iterator[str]:
    """Yield what is published, neighbouring ports as one: `port:49160-49200/udp`."""
    of_protocol: dict[str, set[int]] = {}
    others: list[str] = []
    for port in ports:
        ending = "" if port.protocol == "tcp" else f"/{port.protocol}"
        if port.published.isdecimal():
            of_protocol.setdefault(ending, set()).add(int(port.published))
        else:
            others.append(f"port:{port.published or 'any'}{ending}")
    for ending, numbers in of_protocol.items():
        steps = enumerate(sorted(numbers))
        for _, run in itertools.groupby(steps, key=lambda pair: pair[1] - pair[0]):
            first, *rest = [number for _, number in run]
            yield f"port:{first}-{rest[-1]}{ending}" if rest else f"port:{first}{ending}"
    yield from others


def _privileges(raw: Mapping[str, Any]) -> Iterator[str]:
    for name in _list(raw.get("cap_add")):
        capability = text(name).upper().removeprefix("CAP_")
        if capability not in DEFAULT_CAPABILITIES:
            yield f"cap:{capability}"
    yield from (f"sysctl:{name}" for name in _mapping(raw.get("sysctls")))
    for key, value in _mapping(raw.get("credential_spec")).items():
        yield f"credential-spec:{key}={text(value)}"
    if text(raw.get("oom_score_adj")).startswith("-"):
        yield f"oom-score-adj:{text(raw['oom_score_adj'])}"
    yield from (f"ulimit:{name}" for name in ULIMITS if name in _mapping(raw.get("ulimits")))
    yield from _resources(raw)


def _resources(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of devices, such as a graphics card, that are reserved for a service."""
    resources = _mapping(_mapping(raw.get("deploy")).get("resources"))
    for one in _list(_mapping(resources.get("reservations")).get("generic_resources")):
        kind = _mapping(_mapping(one).get("discrete_resource_spec")).get("kind")
        yield f"resource:{text(kind)}"


def _logging(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what leaves the engine: it is the engine, which is root, that connects to a log."""
    logging = _mapping(raw.get("logging"))
    driver = text(logging.get("driver"))
    if driver not in LOG_DRIVERS:
        yield f"log-driver:{driver}"
    if options := _but(logging.get("options"), LOG_OPTIONS):
        yield f"log-opts:{options}"


def _bind(source: str, who: str) -> Ask:
    if not source.startswith("/"):
        never = "a path that is relative to the recipe exists on no server"
        return Ask(item=f"bind:{source}", who=who, never=never)
    # Docker cleans a path; Swarm fills in a template before that.
    clean = source if "{{" in source else posixpath.normpath(f"/{source.lstrip('/')}")
    return Ask(item=f"bind:{clean}", who=who)


def _options(options: object, who: str) -> Iterator[Ask]:
    if reaching := _but(options, NETWORK_OPTIONS):
        yield Ask(item=f"network-opts:{reaching}", who=who)


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
        if one.external:
            yield from _external(kind, name, stack, who)
        elif kind == "volume":
            yield from of_volume(definition, name, stack, who)
        elif kind == "network":
            yield from _network(definition, name, who)
        elif kind == "secret" and definition.get("driver"):
            yield Ask(item=f"secret-driver:{text(definition['driver'])}", who=who)


def _external(kind: str, name: str, stack: str, who: str) -> Iterator[Ask]:
    """Yield what has to be there before; the app's own secrets are made by the run."""
    if kind == "volume":
        never = "a restore would write into data that the run did not make"
        yield Ask(item=f"volume:{name}", who=who, never=never)
    elif (kind, name) != ("network", PROXY) and not (
        kind == "secret" and name.startswith(f"{stack}_")
    ):
        yield Ask(item=f"{kind}:{name}", who=who)


def _network(definition: Mapping[str, Any], name: str, who: str) -> Iterator[Ask]:
    if name in BUILT_IN:
        yield Ask(item=f"network:{name}", who=who)
    driver = text(definition.get("driver"))
    if driver not in ("", "overlay"):
        yield Ask(item=f"network-driver:{driver}", who=who)
    addresses = text(_mapping(definition.get("ipam")).get("driver"))
    if addresses not in ("", "default"):
        yield Ask(item=f"ipam-driver:{addresses}", who=who)
    yield from _options(definition.get("driver_opts"), who)


def of_volume(definition: Mapping[str, Any], name: str, stack: str, who: str) -> Iterator[Ask]:
    """Yield what a volume that is made by that name asks for."""
    # Swarm fills templates in a volume's name, so what begins otherwise could become any name.
    if "{{" in name and not name.startswith((f"{stack}_", "{{.Service.Name}}")):
        yield Ask(item=f"volume:{name}", who=who)
    driver = text(definition.get("driver"))
    if driver not in ("", "local"):
        yield Ask(item=f"volume-driver:{driver}", who=who)
    options = _texts(definition.get("driver_opts"))
    if own_data(options):
        return
    device, words = options.get("device", ""), options.get("o", "").split(",")
    # The kernel follows the links in such a path before `..`, so only a plain one has one meaning.
    plain = device.startswith("/") and ".." not in device.split("/") and "{{" not in device
    if plain and {"bind", "rbind"} & {*words}:
        yield _bind(device, who)
    else:
        yield Ask(item=f"driver-opts:{_but(options, frozenset())}", who=who)


def _but(options: object, harmless: frozenset[str]) -> str:
    """Return the options that are not harmless, as `key=value,key=value`."""
    found = _texts(options)
    return ",".join(f"{key}={found[key]}" for key in sorted(found.keys() - harmless))


def _texts(options: object) -> dict[str, str]:
    return {text(key): text(one) for key, one in _mapping(options).items()}


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping; nothing for what is none, which docker refuses."""
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    """Return a list; nothing for what is none, which docker refuses."""
    return value if isinstance(value, list) else ()
