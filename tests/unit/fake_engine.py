"""An engine made of plain objects: it lists by label and removes by id, and refuses all else."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from docker.errors import APIError, NotFound

KINDS = ("service", "container", "network", "volume", "secret", "config")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object. Its id differs from its name wherever an engine's does."""

    kind: str
    name: str
    labels: Mapping[str, str]

    @property
    def id(self) -> str:
        """The id by which the engine removes it."""
        return self.name if self.kind == "volume" else f"id-of-{self.name}"


@dataclass
class FakeEngine:
    """The engine's side of what a sweep does; hand `client` to the code under test.

    Args:
        things: what there is.
        refusals: how often the removal of the object of that name is refused before it succeeds.
    """

    things: list[Thing] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def client(self) -> Any:  # noqa: ANN401  stands in for a docker client
        """The engine's client."""
        swarm = {"NodeID": "n", "Nodes": 1}
        return SimpleNamespace(api=self, info=lambda: {"Name": "here", "Swarm": swarm})

    def services(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List services."""
        return [_with_spec(thing) for thing in self._labelled("service", filters)]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002  the engine's own word
        """List containers, those that have ended too."""
        assert all, "a container that has ended would be left behind"
        return [
            {"Id": thing.id, "Names": [f"/{thing.name}"], "Labels": dict(thing.labels)}
            for thing in self._labelled("container", filters)
        ]

    def networks(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List networks."""
        return [
            {"Id": thing.id, "Name": thing.name, "Labels": dict(thing.labels)}
            for thing in self._labelled("network", filters)
        ]

    def volumes(self, *, filters: dict[str, str]) -> dict[str, Any]:
        """List volumes; an engine says null for none."""
        found = self._labelled("volume", filters)
        return {"Volumes": [{"Name": t.name, "Labels": dict(t.labels)} for t in found] or None}

    def secrets(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List secrets."""
        return [_with_spec(thing) for thing in self._labelled("secret", filters)]

    def configs(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List configs."""
        return [_with_spec(thing) for thing in self._labelled("config", filters)]

    def inspect_swarm(self) -> dict[str, Any]:
        """Return the engine's Swarm."""
        return {"ID": "swarm1"}

    def remove_service(self, identity: str) -> None:
        """Remove a service."""
        self._remove("service", identity)

    def remove_container(self, identity: str, *, force: bool, v: bool) -> None:
        """Remove a container, running or not, with its anonymous volumes."""
        assert force
        assert v
        self._remove("container", identity)

    def remove_network(self, identity: str) -> None:
        """Remove a network."""
        self._remove("network", identity)

    def remove_volume(self, identity: str) -> None:
        """Remove a volume."""
        self._remove("volume", identity)

    def remove_secret(self, identity: str) -> None:
        """Remove a secret."""
        self._remove("secret", identity)

    def remove_config(self, identity: str) -> None:
        """Remove a config."""
        self._remove("config", identity)

    def _labelled(self, kind: str, filters: dict[str, str]) -> list[Thing]:
        assert list(filters) == ["label"], "nothing is ever found by name"
        name, equals, value = filters["label"].partition("=")
        self.asked.append(filters["label"])
        return [
            thing
            for thing in self.things
            if thing.kind == kind
            and name in thing.labels
            and (not equals or thing.labels[name] == value)
        ]

    def _remove(self, kind: str, identity: str) -> None:
        thing = next((t for t in self.things if (t.kind, t.id) == (kind, identity)), None)
        if thing is None:
            raise NotFound(f"no such {kind}: {identity}")
        if self.refusals[thing.name]:
            self.refusals[thing.name] -= 1
            raise APIError(f"{thing.name} is in use")
        self.things.remove(thing)
        self.removed.append(thing.name)


def _with_spec(thing: Thing) -> dict[str, Any]:
    return {"ID": thing.id, "Spec": {"Name": thing.name, "Labels": dict(thing.labels)}}


def one_of_each(prefix: str, labels: Mapping[str, str]) -> list[Thing]:
    """Return an object of every kind, all with these labels."""
    return [Thing(kind=kind, name=f"{prefix}-{kind}", labels=labels) for kind in KINDS]
