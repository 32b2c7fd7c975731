"""The labels of Swarm services that Traefik reads, and the HTTP routers in them that it drops.

Fields may be in any case, names may not. A wrong label of a service costs it all of its routers.
What is dropped was tried with Traefik 3.0.4 and 3.7.15: see
docs/decisions/0034-which-page-is-asked.md. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.recipes import rules

if TYPE_CHECKING:  # the children that assert read no compose files
    from harness.recipes.compose import Compose

Labels = Mapping[str, str]
Fields = Mapping[str, Mapping[str, str]]  # of each thing that labels name, by its name

ROUTER = re.compile(r"traefik\.(?i:http\.routers)\.(?P<name>[^.]+)\.(?P<field>.+)")
SERVER = re.compile(
    r"traefik\.(?i:http\.services)\.(?P<name>[^.]+)\.(?i:loadbalancer)\.(?P<field>.+)"
)
MIDDLEWARE = re.compile(r"traefik\.(?i:http\.middlewares)\.(?P<name>[^.]+)\.(?P<field>.+)")
_OTHER_PORT = re.compile(r"traefik\.(?i:(?:tcp|udp)\.services)\..+\.(?i:server\.port)")
_OTHER_ROUTER = re.compile(r"traefik\.(?i:(?P<kind>tcp|udp)\.routers)\.")
_KEY = re.compile(r"traefik\.(?i:http|tcp|udp)\.(?P<group>[^.]+)\.[^.]+\.(?P<field>[^.]+).*")
_GROUPS = ("routers", "services", "middlewares")
_FIELDS = ("rule", "service", "middlewares", "entrypoints", "priority", "tls")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
OWN = ("", "swarm", "docker")  # the providers that read these labels; others are the server's
CHAIN = "chain.middlewares"
UNEXPOSED = "its service lacks traefik.enable=true, which Co-op Cloud's Traefik asks for"


def fields(pattern: re.Pattern[str], labels: Labels) -> dict[str, dict[str, str]]:
    """Return the fields, in lower case, that labels give to each thing that the pattern names."""
    found: dict[str, dict[str, str]] = {}
    for key, value in labels.items():
        if match := pattern.fullmatch(key):
            found.setdefault(match["name"], {})[match["field"].lower()] = value
    return found


def enabled(labels: Labels) -> bool:
    """Whether a service is not switched off."""
    return _switch(labels) not in _FALSE


def routes(labels: Labels) -> bool:
    """Whether a service has a TCP or UDP router, which leads visitors past the HTTP routers."""
    return any(map(_OTHER_ROUTER.match, labels))


def _switch(labels: Labels) -> str | None:
    return next((v for key, v in labels.items() if key.lower() == "traefik.enable"), None)


def dropped(compose: Compose) -> Iterator[tuple[str, str, str]]:
    """Yield each HTTP router that Traefik drops: its service in the compose file, its name, why."""
    labelled = {n: one.labels for n, one in compose.services.items() if enabled(one.labels)}
    servers = {name: fields(SERVER, labels) for name, labels in labelled.items()}
    everywhere = {key for found in servers.values() for key in found}
    middlewares: dict[str, dict[str, str]] = {}
    for labels in labelled.values():
        middlewares.update(fields(MIDDLEWARE, labels))
    differing = _differing(labelled, servers)
    for name, labels in labelled.items():
        skipped = _skipped(labels, servers[name])
        for router, found in fields(ROUTER, labels).items():
            why = (
                skipped
                or _of_rule(found)
                or _of_service(found, servers[name], everywhere)
                or _of_middlewares(found.get("middlewares", ""), middlewares)
                or ("another service defines it differently" if router in differing else "")
                or ("" if _switch(labels) else UNEXPOSED)
            )
            if why:
                yield name, router, why


def _skipped(labels: Labels, servers: Fields) -> str:
    """Return why Traefik skips a service with all of its routers; empty if it does not."""
    switch = _switch(labels)
    if switch not in (None, *_TRUE):
        return f"traefik.enable is '{switch}', which is neither true nor false"
    for key in labels:
        if known := _misspelt(key):
            return f"Traefik knows no label {key}, and skips its service; did you mean {known}?"
    for name, found in servers.items():
        if not (found.get("server.port") or found.get("server.url")):
            return f"no label gives the port of its service {name}"
    if not servers:
        return "no label gives the port of its service"
    others = [match["kind"].upper() for key in labels if (match := _OTHER_ROUTER.match(key))]
    if others and not any(_OTHER_PORT.fullmatch(k) and value for k, value in labels.items()):
        return f"no label gives the port of the {others[0]} router beside it"
    return ""


def _misspelt(key: str) -> str:
    """Return the word that a label means, if it has one that Traefik would stumble over."""
    found = _KEY.fullmatch(key)
    if not found:
        return ""
    group, field = found["group"].lower(), found["field"].lower()
    if group not in _GROUPS:
        return "".join(difflib.get_close_matches(group, _GROUPS, n=1, cutoff=0.85))
    if group == "routers" and field not in _FIELDS:
        last = key.rpartition(".")[2].lower()
        if last in _FIELDS:  # a dot in the router's name
            return f"a name without dots before .{last}"
        return "".join(difflib.get_close_matches(field, _FIELDS, n=1, cutoff=0.85))
    return ""


def _of_rule(router: Labels) -> str:
    wrong = rules.problem(router.get("rule", ""))
    return f"its rule cannot be read: {wrong}" if wrong else ""


def _of_service(router: Labels, own: Fields, everywhere: set[str]) -> str:
    name, _, provider = router.get("service", "").partition("@")
    if provider not in OWN:
        return ""
    if name and name not in everywhere:
        return f"no label defines its service {name}"
    if not name and len(own) > 1:
        return f"it names none of {', '.join(own)} as its service"
    port = own.get(name or next(iter(own)), {}).get("server.port", "")
    return f"the port of its service is '{port}'" if port and not _is_port(port) else ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _of_middlewares(named: str, known: Fields, depth: int = 0) -> str:
    """Return what is wrong with a list of middlewares, and with those that they chain."""
    for word in named.split(",") if named else ():
        name, _, provider = word.strip().partition("@")
        if not name:
            return "its list of middlewares has an empty item"
        if provider not in OWN:
            continue
        if name not in known:
            return f"no label defines its middleware {name}"
        if depth < 5:  # noqa: PLR2004  a chain of itself ends
            chained = known[name].get(CHAIN, "")
            if wrong := _of_middlewares(chained, known, depth + 1):
                return wrong
    return ""


def _differing(labelled: Mapping[str, Labels], servers: Mapping[str, Fields]) -> set[str]:
    """Return the routers that several services define, not all in the same way."""
    seen: dict[str, dict[str, str]] = {}
    found: set[str] = set()
    for name, labels in labelled.items():
        for router, fields_ in fields(ROUTER, labels).items():
            complete = {"service": next(iter(servers[name]), ""), **fields_}
            if seen.setdefault(router, complete) != complete:
                found.add(router)
    return found
