"""Which services wait for which, as far as their definitions name addresses of neighbours.

An app that waits for its database has the database's name in a variable, its command or a config;
the database does not know the app. Only such a one-sided relation counts: it tells whose crashes
are the cause. What a program has built in, or reads from a secret, is seen in its last words alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from harness.core.model import RunWarning, WarningCode
from harness.swarm.states import ServiceState, StackSnapshot

# Variables that name a user or a database, and not a server; often these are the service's name.
NO_ADDRESS = re.compile(r"(^|_)(USER|USERNAME|DB|DATABASE|DBNAME|NAME|PASSWORD|PASS)$", re.ASCII)
# What stands before the name of a server: no part of a word or of a path, but `http://`, `tasks.`,
# `/dev/tcp/` and a template's `{{ env "STACK_NAME" }}_` or `${STACK_NAME}_`.
ADDRESS = r"(?:(?<![\w./-])|(?<=//)|(?<=\btasks\.)|(?<=/tcp/)|(?<=\}}_)){}(?![\w.-])"
# The same in a log, where names are words like any other: only what is an address beyond doubt.
LOGGED = (
    r"(?:(?<![\w./-]){0}:\d|(?:(?<=//)|(?<=@)|(?<=\btasks\.)|\b(?:host|hostname|host name|lookup"
    r"|server|server at|connect to|upstream|ENOTFOUND|EAI_AGAIN)[:=]? ?[\"'`]?){0}(?![\w.-]))"
)

COMMON = "app"  # the main service of every recipe, which is on the network of the proxy
HOST = re.compile(r"(^|_)HOST(NAME)?$", re.ASCII)


def logged(text: str, name: str, stack: str) -> bool:
    """Whether a program's log names a service of its stack as an address."""
    pattern = LOGGED.format(re.escape(name))
    return bool(re.search(pattern, text.replace(f"{stack}_", "tasks.") if stack else text))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The services that each one leads to, by addresses, in any number of steps."""

    reached: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, snapshot: StackSnapshot, read: Callable[[str], str] = lambda _: "") -> Self:
        """Return what the services of a stack say.

        Args:
            snapshot: a look at the stack.
            read: returns the text of a config, by its id.
        """
        names = [service.name for service in snapshot.services]
        direct = {}
        for service in snapshot.services:
            text = "\n".join(_texts(service, read)).replace(f"{snapshot.stack}_", "tasks.")
            direct[service.name] = {
                name
                for name in names
                if name != service.name and re.search(ADDRESS.format(re.escape(name)), text)
            }
        return cls({name: frozenset(_reached(name, direct)) for name in names})

    def waits(self, one: str, other: str) -> bool:
        """Whether a service may wait for another one, which does not know it in turn."""
        nothing: frozenset[str] = frozenset()
        return other in self.reached.get(one, nothing) and one not in self.reached.get(
            other, nothing
        )


def _texts(service: ServiceState, read: Callable[[str], str]) -> Iterator[str]:
    """Yield what tells a service where its neighbours are."""
    spec = service.template["ContainerSpec"]
    yield from spec.get("Command") or ()
    yield from spec.get("Args") or ()
    for entry in spec.get("Env") or ():
        name, _, value = entry.partition("=")
        if not NO_ADDRESS.search(name):
            yield value
    for config in spec.get("Configs") or ():
        yield read(config["ConfigID"])


def _reached(name: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = set(direct[name])
    while ahead:
        one = ahead.pop()
        found.add(one)
        ahead |= direct[one] - found
    return found


def ambiguous(
    snapshot: StackSnapshot, shared: Collection[str], read: Callable[[str], str]
) -> Iterator[RunWarning]:
    """Yield a warning for each neighbour whose name another app on a server may answer to.

    On a network of several apps, each service answers to its bare name. In a run, that network has
    this app alone, so nothing shows there.

    Args:
        snapshot: a look at the stack.
        shared: the ids of the networks that stand for those of several apps.
        read: returns the text of a config, by its id.
    """
    on = {service.name for service in snapshot.services if _networks(service) & {*shared}}
    for service in (one for one in snapshot.services if one.name in on):
        text = "\n".join((*_texts(service, read), *_hosts(service)))
        for other in snapshot.services:
            known = other.name in on or other.name == COMMON
            if known and other.name != service.name and logged(text, other.name, ""):
                yield RunWarning(
                    code=WarningCode.SHARED_NAME,
                    text=f"service {service.name} calls {other.name} by that name, and is on a "
                    f"network of several apps: on a server, another app's {other.name} may answer",
                    next=f"call it ${{STACK_NAME}}_{other.name}",
                )


def _networks(service: ServiceState) -> set[str]:
    return {str(one.get("Target")) for one in service.template.get("Networks") or ()}


def _hosts(service: ServiceState) -> Iterator[str]:
    """Yield what a service's variables say is a host, in words that are an address."""
    for entry in service.template["ContainerSpec"].get("Env") or ():
        name, _, value = entry.partition("=")
        if HOST.search(name):
            yield f"host={value}"
