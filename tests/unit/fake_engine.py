"""The one fake engine, made of plain objects: a call that it does not know fails the test."""

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
    container: Mapping[str, Any] = field(default_factory=dict)  # what a service's is made from
    image: str = ""  # that a container is made from

    @property
    def id(self) -> str:
        """The id by which the engine removes it."""
        return self.name if self.kind == "volume" else f"id-of-{self.name}"


@dataclass
class FakeContainer:
    """A container that the code under test created; it starts unless its engine refuses."""

    engine: "FakeEngine"
    id: str
    options: dict[str, Any]
    files: bytes = field(default=b"", repr=False)

    def put_archive(self, path: str, data: bytes) -> None:
        """Unpack an archive; once the container has started, it would be too late."""
        assert path == "/"
        assert self.id not in self.engine.running
        self.files = data

    def start(self) -> None:
        """Start."""
        if self.engine.refused_starts:
            raise APIError("500", explanation=self.engine.refused_starts.pop(0))
        self.engine.running[self.id] = self

    def remove(self, *, force: bool) -> None:
        """Remove it."""
        assert force
        self.engine.removed.append(self.id)
        self.engine.running.pop(self.id, None)


@dataclass
class FakeNetwork:
    """A network of the engine, with the ids of the containers that are on it."""

    engine: "FakeEngine"
    on_it: list[str] = field(default_factory=list)

    def connect(self, container: str) -> None:
        """Put a running container on it."""
        assert container in self.engine.running
        if self.engine.refused_joins:
            raise APIError("500", explanation=self.engine.refused_joins.pop(0))
        self.on_it.append(container)

    def disconnect(self, container: str, *, force: bool = False) -> None:
        """Take one off it."""
        self.on_it.remove(container)
        self.engine.left.append((container, force))


@dataclass(kw_only=True)
class FakeEngine:
    """An engine; hand `client` to the code under test.

    Args:
        things: the objects that exist.
        refusals: how often the removal of the object of that name is refused before it succeeds.
        refused_starts: what the engine says to the next starts of containers.
        refused_joins: what it says to the next attempts to join a network.
        gone: raised by a ping, if the engine does not answer.
    """

    things: list[Thing] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    refused_starts: list[str] = field(default_factory=list)
    refused_joins: list[str] = field(default_factory=list)
    gone: Exception | None = None
    # what it was asked and what came of it
    asked: list[str] = field(default_factory=list)  # filters
    removed: list[str] = field(default_factory=list)
    running: dict[str, FakeContainer] = field(default_factory=dict)
    created: list[FakeContainer] = field(default_factory=list)
    networks_by_name: dict[str, FakeNetwork] = field(default_factory=dict)
    left: list[tuple[str, bool]] = field(default_factory=list)  # networks, by force or not
    volumes_made: dict[str, dict[str, str]] = field(default_factory=dict)
    image_labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    secrets_made: dict[str, bytes] = field(default_factory=dict)
    pings: int = 0

    @property
    def client(self) -> Any:  # noqa: ANN401  stands in for a docker client
        """The engine's client."""
        swarm = {"NodeID": "n", "Nodes": 1}
        return SimpleNamespace(
            api=self, info=lambda: {"Name": "here", "Swarm": swarm}, ping=self._ping,
            containers=SimpleNamespace(create=self._create_container, get=self.running.__getitem__),
            networks=SimpleNamespace(get=self._network),
            volumes=SimpleNamespace(create=self._create_volume),
        )  # fmt: skip

    def labels(self, kind: str, name: str) -> Mapping[str, str]:
        """Return the labels of the object of that name."""
        (labels,) = (one.labels for one in self.things if (one.kind, one.name) == (kind, name))
        return labels

    def started(self) -> list[str]:
        """Return the names of the containers that run, in order."""
        return [identity.rpartition(".")[0] for identity in self.running]

    def services(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List services."""
        return [_with_spec(thing) for thing in self._labelled("service", filters)]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002  the engine's own word
        """List containers, those that have ended too."""
        assert all, "a container that has ended would be left behind"
        return [
            {
                "Id": thing.id, "Names": [f"/{thing.name}"], "Labels": dict(thing.labels),
                "ImageID": thing.image,
            }
            for thing in self._labelled("container", filters)
        ]  # fmt: skip

    def images(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List the images that have a label themselves."""
        (name,) = filters.values()
        return [
            {"Id": image, "Labels": dict(labels)}
            for image, labels in self.image_labels.items()
            if name in labels
        ]

    def networks(self, *, filters: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """List networks."""
        return [
            {"Id": thing.id, "Name": thing.name, "Labels": dict(thing.labels)}
            for thing in self._labelled("network", filters)
        ]

    def volumes(self, *, filters: dict[str, str]) -> dict[str, Any]:
        """List volumes; an engine says null for none."""
        found = self._labelled("volume", filters)
        return {"Volumes": [{"Name": t.name, "Labels": dict(t.labels)} for t in found] or None}

    def secrets(self, *, filters: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """List secrets."""
        return [_with_spec(thing) for thing in self._labelled("secret", filters)]

    def configs(self, *, filters: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """List configs."""
        return [_with_spec(thing) for thing in self._labelled("config", filters)]

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """Return a volume."""
        if not any((thing.kind, thing.name) == ("volume", name) for thing in self.things):
            raise NotFound(f"no such volume: {name}")
        return {"Name": name, "Labels": dict(self.labels("volume", name))}

    def create_secret(self, name: str, data: bytes, labels: Mapping[str, str]) -> dict[str, str]:
        """Create a secret, once."""
        if any((thing.kind, thing.name) == ("secret", name) for thing in self.things):
            raise APIError("409", explanation=f"secret {name} already exists")
        made = Thing(kind="secret", name=name, labels=labels)
        self.things.append(made)
        self.secrets_made[name] = data
        return {"ID": made.id}

    def create_network(
        self, name: str, *, driver: str, attachable: bool, labels: Mapping[str, str]
    ) -> dict[str, str]:
        """Create a network that containers of the harness can join, too."""
        assert (driver, attachable) == ("overlay", True)
        assert not any((thing.kind, thing.name) == ("network", name) for thing in self.things)
        self.things.append(Thing(kind="network", name=name, labels=labels))
        return {"Id": name}

    def nodes(self) -> list[dict[str, Any]]:
        """List the Swarm's nodes."""
        return [{"ID": "n"}]

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

    def _ping(self) -> None:
        self.pings += 1
        if self.gone:
            raise self.gone

    def _create_container(self, image: str, command: list[str], **options: Any) -> FakeContainer:  # noqa: ANN401  as the SDK has it
        assert (image, command) == ("tool:1", ["sleep", "infinity"])
        made = FakeContainer(self, f"{options['name']}.{len(self.created) + 1}", options)
        self.created.append(made)
        if options["network"] in self.networks_by_name:
            self.networks_by_name[options["network"]].on_it.append(made.id)
        return made

    def _network(self, name: str) -> FakeNetwork:
        if name not in self.networks_by_name:
            raise NotFound(f"network {name} not found")
        return self.networks_by_name[name]

    def _create_volume(self, name: str, *, labels: dict[str, str]) -> None:
        self.volumes_made[name] = labels

    def _labelled(self, kind: str, filters: dict[str, str] | None) -> list[Thing]:
        if filters is None:
            return [thing for thing in self.things if thing.kind == kind]
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
    task = {"ContainerSpec": dict(thing.container)}
    spec = {"Name": thing.name, "Labels": dict(thing.labels), "TaskTemplate": task}
    return {"ID": thing.id, "Spec": spec}


def one_of_each(prefix: str, labels: Mapping[str, str]) -> list[Thing]:
    """Return an object of every kind, all with these labels."""
    return [Thing(kind=kind, name=f"{prefix}-{kind}", labels=labels) for kind in KINDS]
