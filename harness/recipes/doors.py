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

from harness.core.network_names import PROXY
from harness.recipes import routers, rules
from harness.recipes.checks import Check

if TYPE_CHECKING:  # the children that assert read no compose files
    from harness.recipes.compose import Compose, Service

HTTP_PORT, HTTPS_PORT = 80, 443
DIGITS_OF_PORT = 5
MOST_REPEATS = 3  # in a pattern: how long a search takes grows by their power
ROUTER = "the HTTP router "
ASKED_FOR = "DOMAIN in .env.sample"  # why an app without a router or a health check has a page
ENTRY_POINTS = frozenset({"web", "web-secure", "websecure", "http", "https"})  # those of browsers
_REGEX = "redirectregex.regex"
_UNUSUAL = ("port", "scheme", "status", "method", "mode")  # of a load balancer's health check


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
        check: the path that a health check asks on that port, or empty.
        balance: the path by which Traefik decides whether it sends anybody there, or empty.
        why: which part of the recipe names it, for people; empty when none does.
        redirects: whether the proxy answers with a redirect in the container's place.
        aside: whether only other entry points lead to it than those of browsers.
        dropped: why Traefik does not take its router, or takes it for another host; or empty.
    """

    service: str
    port: int = HTTP_PORT
    scheme: str = "http"
    host: str = ""
    prefix: str = ""
    path: str = "/"
    check: str = ""
    balance: str = ""
    why: str = ""
    redirects: bool = False
    aside: bool = False
    dropped: str = ""

    @property
    def certain(self) -> bool:
        """Whether the recipe says that there is a page."""
        return bool(self.why)

    def routes(self, domain: str) -> bool:
        """Whether it is that of a router which takes requests for a domain."""
        by_router = self.why.startswith(ROUTER) and not self.dropped
        return by_router and self.host in ("", domain)

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

    def rank(door: Door) -> tuple[bool, bool, bool, bool, bool, int]:
        foreign = door.host not in (domain, "")
        return (
            foreign,
            door.redirects,
            door.aside,
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
        service.ports or routers.routes(service.labels) for service in compose.services.values()
    )


def _is_reached(service: Service, compose: Compose, stack: str) -> bool:
    """Whether a proxy could ask the service for a page, as far as its labels do not forbid it."""
    names = (compose.networks[key].full_name(stack) for key in service.networks if key != "default")
    return PROXY in names and routers.enabled(service.labels)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """A load balancer of Traefik's: where in the stack it leads."""

    service: str
    port: int
    scheme: str
    check: str = ""  # the path that Traefik itself asks whether it is well


def _routed(compose: Compose) -> Iterator[Door]:
    """Yield the doors that HTTP routers lead to, over the whole stack."""
    labelled = {n: one.labels for n, one in compose.services.items() if routers.enabled(one.labels)}
    servers = {name: _servers(compose.services[name], labels) for name, labels in labelled.items()}
    everywhere = {key: server for found in servers.values() for key, server in found.items()}
    together = {key: value for labels in labelled.values() for key, value in labels.items()}
    middlewares = routers.fields(routers.MIDDLEWARE, together)
    dropped = {(service, router): why for service, router, why in routers.dropped(compose)}
    for name, labels in labelled.items():
        for router, fields in _routers(labels, servers[name]).items():
            server = _server(router, fields, servers[name], everywhere, compose.services[name])
            if server is None:
                continue
            rewrites = list(_rewrites(fields.get("middlewares", ""), middlewares))
            why = "" if fields.get("rule") else "it has no rule, so its host is not the domain"
            for host, prefix in rules.alternatives(fields.get("rule", "")):
                yield Door(
                    service=server.service,
                    port=server.port,
                    scheme=server.scheme,
                    host=host,
                    prefix=prefix,
                    path=_rewritten(prefix, rewrites),
                    check=_check_beside(compose.services[server.service], server),
                    balance=server.check,
                    why=f"{ROUTER}{router}",
                    redirects=_redirects(host, prefix or "/", rewrites),
                    aside=_is_aside(fields.get("entrypoints", "")),
                    dropped=dropped.get((name, router), why),
                )


def _servers(service: Service, labels: routers.Labels) -> dict[str, _Server]:
    """Return the load balancers that a service's labels define, by name."""
    found = {}
    for name, fields in routers.fields(routers.SERVER, labels).items():
        port = fields.get("server.port", "").strip()
        scheme = fields.get("server.scheme", "").strip().lower() or "http"
        known = port.isascii() and port.isdigit() and len(port) <= DIGITS_OF_PORT
        number = int(port) if known else _likely_port(service)
        usual = not any(f"healthcheck.{name}" in fields for name in _UNUSUAL)
        check = fields.get("healthcheck.path", "").strip() if usual else ""
        found[name] = _Server(service=service.name, port=number, scheme=scheme, check=check)
    return found


def _likely_port(service: Service) -> int:
    check = service.check and Check.parse(service.check)
    return check.port if check and check.port else HTTP_PORT


def _routers(labels: routers.Labels, servers: Mapping[str, _Server]) -> dict[str, dict[str, str]]:
    """Return the HTTP routers of a service: without any, Traefik makes one for its HTTP service."""
    found = routers.fields(routers.ROUTER, labels)
    return found or ({next(iter(servers)): {}} if servers else {})


def _server(
    router: str,
    fields: Mapping[str, str],
    own: Mapping[str, _Server],
    everywhere: Mapping[str, _Server],
    service: Service,
) -> _Server | None:
    """Return where a router leads; None for what Traefik serves itself, such as `api@internal`."""
    named, _, provider = fields.get("service", "").partition("@")
    if provider == "internal":
        return None
    if named:
        return own.get(named) or everywhere.get(named)
    bare = _Server(service=service.name, port=_likely_port(service), scheme="http")
    return own.get(router) or next(iter(own.values()), bare)


def _rewrites(named: str, middlewares: routers.Fields, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what the middlewares of a router do to its requests, in order."""
    for word in named.split(","):
        for kind, value in middlewares.get(word.strip().partition("@")[0], {}).items():
            if kind == routers.CHAIN and depth < 5:  # noqa: PLR2004  a chain of itself ends
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
        elif kind == "replacepath.path" and value.startswith("/"):
            path = value.strip()
    return path


def _redirects(host: str, path: str, rewrites: list[tuple[str, str]]) -> bool:
    """Whether the proxy leads all visitors of a page elsewhere: a pattern may be about others."""
    return any(
        kind.startswith("redirectscheme") or (kind == _REGEX and _may_match(value, host, path))
        for kind, value in rewrites
    )


def _may_match(pattern: str, host: str, path: str) -> bool:
    """Whether a pattern may take an address; one that takes too long to tell may."""
    if len(re.findall(r"[*+{]", pattern)) > MOST_REPEATS or re.search(r"\)[*+{]", pattern):
        return True
    try:
        return any(re.search(pattern, f"{scheme}://{host}{path}") for scheme in ("http", "https"))
    except (re.error, OverflowError):
        return True


def _is_aside(entry_points: str) -> bool:
    named = {one.strip().lower() for one in entry_points.split(",") if one.strip()}
    return bool(named) and named.isdisjoint(ENTRY_POINTS)


def _check_beside(service: Service, server: _Server) -> str:
    """Return the path that a health check asks, Traefik's or its own, on the page's very port."""
    if server.check.startswith("/"):
        return server.check
    check = service.check and Check.parse(service.check)
    if not check:
        return ""
    port = check.port or (HTTPS_PORT if check.scheme == "https" else HTTP_PORT)
    return check.path if port == server.port else ""
