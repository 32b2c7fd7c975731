"""Where a recipe's page is: the service, scheme, port and path that its own files name. Pure.

HTTP routers of Traefik come first (https://doc.traefik.io/traefik/routing/providers/swarm/): a
router leads to the service that it names, else to the only one beside it; TCP and UDP routers lead
to no page. Then comes a health check that asks for a page by HTTP. A service on the network of the
proxy without either has a page if the recipe asks for a domain; else nothing says so, and it is
only tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.recipes.checks import Check

if TYPE_CHECKING:  # the children that assert read no compose files
    from harness.recipes.compose import Compose, Service

PROXY = "proxy"  # the network on which Traefik reaches apps
HTTP_PORT, HTTPS_PORT = 80, 443
ROUTER = "the HTTP router "
ASKED_FOR = "DOMAIN in .env.sample"  # why an app without a router or a health check has a page
_NOT_HTTP = ("traefik.tcp.", "traefik.udp.")

_ROUTER = re.compile(
    r"traefik\.http\.routers\.(?P<name>[^.]+)\.(?P<field>rule|service|middlewares)$"
)
_SERVER = re.compile(
    r"traefik\.http\.services\.(?P<name>[^.]+)\.loadbalancer\.server\.(?P<field>port|scheme)"
)
_REWRITE = re.compile(
    r"traefik\.http\.middlewares\.(?P<name>[^.]+)\."
    r"(?P<field>stripprefix\.prefixes|addprefix\.prefix|chain\.middlewares"
    r"|redirectscheme|redirectregex)"
)
_MATCHER = re.compile(r"(?P<not>!?)\s*(?P<kind>[A-Za-z]+)\((?P<values>[^()]*)\)")
_VALUE = re.compile(r"`([^`]*)`|\"([^\"]*)\"|'([^']*)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way to a page of the app.

    Attributes:
        service: the service whose container is asked, as named in the compose file.
        port: its port in the container.
        scheme: `http`, `https`, or `h2c`, which is HTTP/2 without TLS.
        host: the host name by which its router knows it, or empty for any.
        prefix: the path that its router wants, or empty for any.
        path: the path that the container is asked for, where a middleware rewrites the prefix.
        check: the path that its own health check asks on that port, or empty.
        why: which part of the recipe names it, for people; empty when none does.
        redirects: whether the proxy answers with a redirect in the container's place.
    """

    service: str
    port: int = HTTP_PORT
    scheme: str = "http"
    host: str = ""
    prefix: str = ""
    path: str = "/"
    check: str = ""
    why: str = ""
    redirects: bool = False

    @property
    def certain(self) -> bool:
        """Whether the recipe says that there is a page."""
        return bool(self.why)

    def routes(self, domain: str) -> bool:
        """Whether it is that of a router which takes requests for a domain."""
        return self.why.startswith(ROUTER) and self.host in ("", domain)

    def serves(self, host: str, path: str) -> bool:
        """Whether its router takes a request for that path of that host."""
        inside = path == self.prefix or path.startswith(f"{self.prefix.rstrip('/')}/")
        return self.host in ("", host) and (inside or not self.prefix)


def find(compose: Compose, *, domain: str, stack: str, asked_for: bool) -> tuple[Door, ...]:
    """Return every door of the app, the one to be asked first in front; none without a page.

    Args:
        compose: the compose files that are deployed, filled in.
        domain: the app's domain: the router of that very host name is asked before others.
        stack: the stack's name.
        asked_for: whether `.env.sample` asks for a domain: then the app has a page, unless it is
            reached by TCP, by UDP or at a port of the host.
    """
    routed = [door for door in _routed(compose) if door.service in compose.services]
    order = {name: place for place, name in enumerate(compose.services)}

    def rank(door: Door) -> tuple[bool, bool, bool, bool, int]:
        foreign = door.host not in (domain, "")
        return (
            foreign,
            door.redirects,
            bool(door.prefix),
            door.service != "app",
            order[door.service],
        )

    if routed:
        return tuple(sorted(routed, key=rank))
    reached = [one for one in compose.services.values() if _is_reached(one, compose, stack)]
    reached.sort(key=lambda service: service.name != "app")
    checked = [door for service in reached if (door := _checked(service))]
    why = ASKED_FOR if asked_for and not _otherwise_reached(compose) else ""
    return tuple(checked) or tuple(Door(service=one.name, why=why) for one in reached[:1])


def _otherwise_reached(compose: Compose) -> bool:
    """Whether visitors reach the app past the proxy's HTTP routers."""
    return any(
        service.ports or any(key.startswith(_NOT_HTTP) for key in _keyed(service.labels))
        for service in compose.services.values()
    )


def dropped(compose: Compose) -> Iterator[tuple[str, str, str]]:
    """Yield each HTTP router that Traefik drops: its service in the compose file, its name, why.

    See https://doc.traefik.io/traefik/routing/providers/swarm/ (a port label is mandatory) and
    https://github.com/traefik/traefik/issues/4807 (too many services).
    """
    labelled = {name: _keyed(service.labels) for name, service in compose.services.items()}
    ports = {name: _fields(_SERVER, labels) for name, labels in labelled.items()}
    everywhere = {key for servers in ports.values() for key in servers}
    for name, labels in labelled.items():
        for router, fields in _fields(_ROUTER, labels).items() if _enabled(labels) else ():
            named = fields.get("service", "").strip().lower()
            if "rule" not in fields or "@" in named or (named and named not in ports[name]):
                if not named or "@" in named or named in everywhere:
                    continue
                yield name, router, f"no label defines its service {named}"
            elif not named and len(ports[name]) > 1:
                yield name, router, f"it names none of {', '.join(ports[name])} as its service"
            elif not ports[name].get(named or next(iter(ports[name]), ""), {}).get("port"):
                yield name, router, "no label gives the port of its service"


def _is_reached(service: Service, compose: Compose, stack: str) -> bool:
    """Whether a proxy could ask the service for a page, as far as its labels do not forbid it."""
    names = (compose.networks[key].full_name(stack) for key in service.networks if key != "default")
    return PROXY in names and _enabled(_keyed(service.labels))


def _checked(service: Service) -> Door | None:
    check = service.check and Check.parse(service.check)
    if not check:
        return None
    return Door(
        service=service.name,
        port=check.port or (HTTPS_PORT if check.scheme == "https" else HTTP_PORT),
        scheme=check.scheme,
        check=check.path,
        why="its health check",
    )


def _keyed(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels by their keys in lower case, as Traefik reads them."""
    return {key.lower(): value for key, value in labels.items()}


def _enabled(labels: Mapping[str, str]) -> bool:
    return labels.get("traefik.enable", "true").strip().lower() not in ("false", "0", "f")


def _fields(pattern: re.Pattern[str], labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the fields that labels give to each thing that the pattern names."""
    found: dict[str, dict[str, str]] = {}
    for key, value in labels.items():
        if match := pattern.match(key):
            found.setdefault(match["name"], {})[match["field"]] = value
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """A load balancer of Traefik's: where in the stack it leads."""

    service: str
    port: int
    scheme: str


def _routed(compose: Compose) -> Iterator[Door]:
    """Yield the doors that HTTP routers lead to, over the whole stack."""
    labelled = {
        name: keyed
        for name, service in compose.services.items()
        if _enabled(keyed := _keyed(service.labels))
    }
    servers = {name: _servers(compose.services[name], labels) for name, labels in labelled.items()}
    everywhere = {key: server for found in servers.values() for key, server in found.items()}
    together = {key: value for labels in labelled.values() for key, value in labels.items()}
    middlewares = _fields(_REWRITE, together)
    for name, labels in labelled.items():
        for router, fields in _routers(labels, servers[name]).items():
            server = _server(router, fields, servers[name], everywhere, compose.services[name])
            if server is None:
                continue
            rewrites = list(_rewrites(fields.get("middlewares", ""), middlewares))
            for host, prefix in _alternatives(fields.get("rule", "")):
                yield Door(
                    service=server.service,
                    port=server.port,
                    scheme=server.scheme,
                    host=host,
                    prefix=prefix,
                    path=_rewritten(prefix, rewrites),
                    check=_check_beside(compose.services[server.service], server),
                    why=f"{ROUTER}{router}",
                    redirects=any(kind.startswith("redirect") for kind, _ in rewrites),
                )


def _servers(service: Service, labels: Mapping[str, str]) -> dict[str, _Server]:
    """Return the load balancers that a service's labels define, by name."""
    found = {}
    for name, fields in _fields(_SERVER, labels).items():
        port = fields.get("port", "").strip()
        scheme = fields.get("scheme", "").strip().lower() or "http"
        number = int(port) if port.isascii() and port.isdigit() else _likely_port(service)
        found[name] = _Server(service=service.name, port=number, scheme=scheme)
    return found


def _likely_port(service: Service) -> int:
    check = service.check and Check.parse(service.check)
    return check.port if check and check.port else HTTP_PORT


def _routers(
    labels: Mapping[str, str], servers: Mapping[str, _Server]
) -> dict[str, dict[str, str]]:
    """Return the HTTP routers of a service: without any, Traefik makes one for its HTTP service."""
    found = _fields(_ROUTER, labels)
    return found or ({next(iter(servers)): {}} if servers else {})


def _server(
    router: str,
    fields: Mapping[str, str],
    own: Mapping[str, _Server],
    everywhere: Mapping[str, _Server],
    service: Service,
) -> _Server | None:
    """Return where a router leads; None for what Traefik serves itself, such as `api@internal`."""
    named, _, provider = fields.get("service", "").strip().lower().partition("@")
    if provider == "internal":
        return None
    if named:
        return own.get(named) or everywhere.get(named)
    bare = _Server(service=service.name, port=_likely_port(service), scheme="http")
    return own.get(router) or next(iter(own.values()), bare)


def _rewrites(
    named: str, middlewares: Mapping[str, Mapping[str, str]], depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield what the middlewares of a router do to its requests, in order."""
    for word in named.lower().split(","):
        for kind, value in middlewares.get(word.strip().partition("@")[0], {}).items():
            if kind == "chain.middlewares" and depth < 5:  # noqa: PLR2004  a chain of itself ends
                yield from _rewrites(value, middlewares, depth + 1)
            else:
                yield kind, value


def _rewritten(prefix: str, rewrites: list[tuple[str, str]]) -> str:
    """Return the path that the container is asked for when the proxy is asked for the prefix."""
    path = prefix or "/"
    for kind, value in rewrites:
        if kind == "stripprefix.prefixes":
            for one in value.split(","):
                if path.startswith(one.strip()):
                    path = "/" + path.removeprefix(one.strip()).lstrip("/")
                    break
        elif kind == "addprefix.prefix":
            path = "/" + value.strip().strip("/") + path
    return path


def _check_beside(service: Service, server: _Server) -> str:
    """Return the path that the health check asks, if it asks the very port of the page."""
    check = service.check and Check.parse(service.check)
    if not check:
        return ""
    port = check.port or (HTTPS_PORT if check.scheme == "https" else HTTP_PORT)
    return check.path if port == server.port else ""


def _alternatives(rule: str) -> list[tuple[str, str]]:
    """Return the host names and paths that a rule takes; empty texts where it takes any."""
    found: list[tuple[str, str]] = []
    for part in _split(rule):
        hosts, paths = list[str](), list[str]()
        for match in _MATCHER.finditer(part):
            values = ["".join(groups) for groups in _VALUE.findall(match["values"])]
            values = [value for value in values if value and not set("{}") & set(value)]
            if match["not"] or not values:
                continue
            if match["kind"].lower() == "host":  # Traefik takes a matcher in lower case as well
                hosts += values
            elif match["kind"].lower() in ("pathprefix", "path"):
                paths += values
        found += [
            (host.lower(), "" if path == "/" else path)
            for host in hosts or [""]
            for path in paths or [""]
        ]
    return list(dict.fromkeys(found))


def _split(rule: str) -> list[str]:
    """Split a rule at the `||` that stand outside all parentheses."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(rule):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth and rule.startswith("||", place):
            parts.append(rule[start:place])
            start = place + 2
    return [*parts, rule[start:]]
