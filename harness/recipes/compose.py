"""Compose files as data: what a stack will be made of, before anything is deployed.

The harness alone reads them, out of git's objects, and fills them in with the recipe's variables.
Several files are merged as `docker stack deploy` merges them: services as in
`harness.recipes.merging`; under the top-level `volumes`, `networks`, `secrets` and `configs`, a
later definition replaces an earlier one of that name as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import InvalidRecipeError, RefusedError
from harness.recipes import compose_fields as fields
from harness.recipes import yamlfile
from harness.recipes.compose_fields import Mount, Port
from harness.recipes.container_env import resolved
from harness.recipes.files import Files
from harness.recipes.interpolation import Interpolator
from harness.recipes.merging import kept, merged
from harness.recipes.normal import normal

MOST_FILES = 50
MOST_SERVICES = 100
MOST_REPLICAS = 100  # of all services together: a Swarm's manager dies of a thousand
MOST_USES = 1000  # mounts of all services together, and their places on networks
MOST_RESOURCES = 200  # of a kind: each network takes 256 addresses of the Swarm
LONGEST_NAME = 64  # characters; Swarm refuses a longer name of a secret or a config
_RESOURCE = frozenset({"name", "external", "labels"})
RESOURCES = {
    "volumes": _RESOURCE | {"driver", "driver_opts"},
    "networks": _RESOURCE | {"driver", "driver_opts", "ipam", "internal", "attachable"},
    "secrets": _RESOURCE | {"file", "driver", "driver_opts", "template_driver"},
    "configs": _RESOURCE | {"file", "template_driver"},
}
TOP = frozenset({"version", "services", *RESOURCES})
KEY = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of the stack.

    Attributes:
        name: its name in the compose file.
        image: the image as it is written there, filled in.
        labels: those under `deploy`, on the Swarm service: Traefik and the backup tool read them.
        container_labels: those outside `deploy`, which back up nothing.
        mounts: by target, in order.
        networks: names as in the compose file; `default` when it names none.
        secrets: what it uses, as named in the compose file.
        configs: the same for configs.
        ports: what it publishes.
        endpoint_mode: `vip` or `dnsrr`.
        healthcheck: whether the compose file defines one; the image may bring its own.
        check: the words of its test, `CMD` or `CMD-SHELL` in front; empty without one.
        raw: its whole definition in its normal form, as it is deployed but for what is laid over.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    container_labels: Mapping[str, str]
    mounts: tuple[Mount, ...]
    networks: tuple[str, ...]
    secrets: tuple[str, ...]
    configs: tuple[str, ...]
    ports: tuple[Port, ...]
    endpoint_mode: str
    healthcheck: bool
    check: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One volume, network, secret or config of the top level.

    Attributes:
        key: its name in the compose file.
        name: the explicit `name:`, filled in, or empty.
        external: whether it has to be there before.
        file: the file it is made of, as written, or empty.
        definition: all of it but `external` and `name`, filled in; labels are a mapping.
    """

    key: str
    name: str = ""
    external: bool = False
    file: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict)

    def full_name(self, stack: str) -> str:
        """Return the name under which the engine knows it, once the stack is deployed."""
        return self.name or (self.key if self.external else f"{stack}_{self.key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """The merged view over a recipe's compose files.

    Attributes:
        source: the recipe's files.
        files: the names of the compose files, in order.
        services: by name, and so on.
        unset: variables that had neither a value nor a default, and so became nothing.
        version: the file format that the first file declares, or empty.
        options: every option of each service, those that docker ignores included.
        kept: by service, what a later file seems to replace and docker keeps, a sentence each.
    """

    source: Files
    files: tuple[str, ...]
    services: Mapping[str, Service]
    volumes: Mapping[str, Resource]
    networks: Mapping[str, Resource]
    secrets: Mapping[str, Resource]
    configs: Mapping[str, Resource]
    unset: frozenset[str] = frozenset()
    version: str = ""
    options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def mounted(self, stack: str) -> tuple[str, ...]:
        """Return the volumes that services mount, by the names under which the engine knows them.

        A volume with a `name:` of its own does not have the stack's name before it, nor its key.
        """
        keys = {mount.source for one in self.services.values() for mount in one.mounts
                if mount.kind == "volume" and mount.source}  # fmt: skip
        return tuple(sorted(self.volumes[key].full_name(stack) for key in keys))

    def images(self) -> tuple[str, ...]:
        """Return every image, each once, in the order of the services."""
        return tuple(dict.fromkeys(service.image for service in self.services.values()))

    def names_too_long(self, stack: str) -> tuple[str, ...]:
        """Return the full names of secrets and configs that Swarm will refuse for their length."""
        named = (*self.secrets.values(), *self.configs.values())
        full = (resource.full_name(stack) for resource in named)
        return tuple(name for name in full if len(name) > LONGEST_NAME)

    def bad_files(self) -> tuple[str, ...]:
        """Return the files of secrets and configs that are missing, or lie outside the recipe."""
        named = [one.file for one in self.made_of_files()]
        self.source.fetch(named)
        return tuple(name for name in named if not self.source.look(name).is_there)

    def made_of_files(self) -> Iterator[Resource]:
        """Yield the secrets and configs that are made of a file."""
        for resource in (*self.secrets.values(), *self.configs.values()):
            if resource.file and not resource.external:
                yield resource


def load(source: Files, compose_file: str, env: Mapping[str, str]) -> Compose:
    """Read a recipe's compose files, fill their variables in and merge them.

    Args:
        source: the recipe's files.
        compose_file: the value of COMPOSE_FILE, with colons between the names; empty means
            `compose.yml`.
        env: what variables are filled in from. STACK_NAME and DOMAIN belong in it.

    Raises:
        InvalidRecipeError: a file is missing, is no YAML, has the wrong shape, or uses a variable
            wrongly; something is used that is not declared; or there is nothing to deploy.
    """
    files = tuple(name for name in compose_file.split(":") if name) or ("compose.yml",)
    _refuse_too_many(len(files), "compose files", MOST_FILES)
    source.fetch(files)
    reading = _Reading(source=source, interpolator=Interpolator(env=env))
    for name in files:
        reading.add(name)
    _refuse_a_crowd(reading)
    if not reading.services:
        raise InvalidRecipeError(
            f"{' and '.join(files)} of the recipe define no services",
            hint="define at least one under 'services:'",
        )
    compose = Compose(
        source=source,
        files=files,
        services={name: _service(name, raw, files) for name, raw in reading.services.items()},
        volumes=reading.resources["volumes"],
        networks=reading.resources["networks"],
        secrets=reading.resources["secrets"],
        configs=reading.resources["configs"],
        unset=frozenset(reading.interpolator.unset),
        version=reading.versions[0],
        options={name: frozenset(options) for name, options in reading.options.items()},
        kept={name: tuple(kept) for name, kept in reading.kept.items() if kept},
    )
    _refuse_undeclared(compose)
    return compose


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What several files come to, as one after the other is read."""

    source: Files
    interpolator: Interpolator
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, dict[str, Resource]] = field(
        default_factory=lambda: {section: {} for section in RESOURCES}
    )
    options: dict[str, set[str]] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Read one more file, over those before."""
        content = self._content(name)
        version = content.get("version") or ""
        if not isinstance(version, str):
            raise InvalidRecipeError(
                f"{name} declares the version {version} as a number", hint=f"write '{version}'"
            )
        self.versions.append(version)
        if self.versions[-1] != self.versions[0]:
            raise InvalidRecipeError(
                f"{name} declares version '{self.versions[-1]}', another one than the files before",
                hint="docker merges only files of the same version",
            )
        for key, raw in _section(content, "services", name).items():
            where = f"{name}: services.{key}"
            if raw is None:
                raise InvalidRecipeError(f"{where} is empty", hint="write {} for nothing new")
            self.options.setdefault(key, set()).update(fields.mapping(raw, where))
            service = resolved(normal(raw, where), self.source, self.interpolator, where)
            first = self.services.get(key)
            if first is None:
                self.services[key] = service
                continue
            self.services[key] = both = merged(first, service)
            lost = (f"in {name}, {one}" for one in kept(first, service, both))
            self.kept.setdefault(key, []).extend(lost)
        for section, known in RESOURCES.items():
            for key, raw in _section(content, section, name).items():
                resource = _resource(key, raw, f"{name}: {section}.{key}", known)
                _refuse_without_file(section, resource, name)
                self.resources[section][key] = resource

    def _content(self, name: str) -> dict[str, object]:
        """Return a file's sections, filled in."""
        if outside := self.source.look(name).outside:
            raise RefusedError(
                f"COMPOSE_FILE names '{name}', which leads out of the recipe, to {outside}",
                hint="name files of the recipe only",
            )
        raw = yamlfile.load(self.source, name)
        if not isinstance(raw, dict):
            raise InvalidRecipeError(
                f"{name} is not a mapping at its top level", hint="it begins with 'services:'"
            )
        self.interpolator.name = name
        filled = {key: self.interpolator.walk(value, key) for key, value in raw.items()}
        return {**fields.known(filled, TOP, name), "version": raw.get("version")}


def _refuse_too_many(count: int, what: str, most: int) -> None:
    if count > most:
        raise InvalidRecipeError(
            f"the recipe has {count} {what}, more than the limit of {most}",
            hint="split it into several recipes",
        )


def _refuse_a_crowd(reading: _Reading) -> None:
    """Refuse more than what an engine can do besides its other work."""
    services = reading.services.values()
    _refuse_too_many(len(services), "services", MOST_SERVICES)
    _refuse_too_many(_replicas(services), "replicas", MOST_REPLICAS)
    for key, what in (("volumes", "mounts"), ("networks", "places on networks")):
        _refuse_too_many(sum(len(one.get(key) or ()) for one in services), what, MOST_USES)
    for section, resources in reading.resources.items():
        _refuse_too_many(len(resources), section, MOST_RESOURCES)


def _replicas(services: Iterable[Mapping[str, Any]]) -> int:
    """Return how many containers services ask for; docker refuses what is not a number."""
    asked = ((service.get("deploy") or {}).get("replicas") for service in services)
    return sum(int(one) for one in asked if isinstance(one, int | float) and math.isfinite(one))


def _section(content: Mapping[str, object], section: str, name: str) -> dict[str, object]:
    if section in content and content[section] is None:
        raise InvalidRecipeError(f"{name}: {section} is empty", hint=f"write '{section}: {{}}'")
    found = fields.mapping(content.get(section), f"{name}: {section}")
    for key in found:
        if not KEY.fullmatch(key):
            raise InvalidRecipeError(
                f"{name}: '{key}' cannot be a name under {section}",
                hint="use letters, digits, '.', '_' and '-'",
            )
    return found


def _service(name: str, raw: Mapping[str, Any], files: tuple[str, ...]) -> Service:
    image = fields.text(raw.get("image"))
    if not image:
        raise InvalidRecipeError(
            f"the service '{name}' has no image in {' or '.join(files)}",
            hint="add 'image: NAME:TAG'; Swarm builds none",
        )
    deploy, check = raw.get("deploy") or {}, raw.get("healthcheck") or {}
    test = tuple(fields.text(word) for word in check.get("test") or ())
    disabled = fields.truth(check.get("disable"), f"services.{name}.healthcheck.disable")
    return Service(
        name=name,
        image=image,
        labels=_texts(deploy.get("labels")),
        container_labels=_texts(raw.get("labels")),
        mounts=tuple(Mount.parse(one, name) for one in raw.get("volumes") or ()),
        networks=tuple(raw.get("networks") or ()) or ("default",),
        secrets=_sources(raw.get("secrets")),
        configs=_sources(raw.get("configs")),
        ports=tuple(Port.parse(one) for one in raw.get("ports") or ()),
        endpoint_mode=fields.text(deploy.get("endpoint_mode")) or "vip",
        healthcheck="healthcheck" in raw and not disabled and test != ("NONE",),
        check=() if disabled else test,
        raw=raw,
    )


def _refuse_without_file(section: str, resource: Resource, name: str) -> None:
    made = resource.external or resource.file or resource.definition.get("driver")
    if section in ("secrets", "configs") and not made:
        raise InvalidRecipeError(
            f"{name}: {section}.{resource.key} is neither external nor made of a file",
            hint="write 'file: ...' or 'external: true' under it",
        )


def _texts(labels: Mapping[str, object] | None) -> dict[str, str]:
    return {key: fields.text(value) for key, value in (labels or {}).items()}


def _sources(items: list[Mapping[str, object]] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(item["source"]) for item in items or ()))


def _resource(key: str, raw: object, where: str, known: frozenset[str]) -> Resource:
    definition = fields.known(raw, known, where)
    if "/" in str(definition.get("name")):
        raise InvalidRecipeError(
            f"{where}.name is '{fields.text(definition['name'])}'", hint="take the '/' out of it"
        )
    external = definition.pop("external", None)
    named = external.get("name") if isinstance(external, dict) else None  # the older syntax
    if definition.get("labels") is not None:
        labels = fields.pairs(definition["labels"], f"{where}.labels")
        definition["labels"] = {
            name: "" if value is None else value for name, value in labels.items()
        }
    return Resource(
        key=key,
        name=fields.text(definition.pop("name", None) or named),
        external=isinstance(external, dict) or fields.truth(external, f"{where}.external"),
        file=fields.text(definition.get("file")),
        definition=definition,
    )


def _refuse_undeclared(compose: Compose) -> None:
    for service in compose.services.values():
        volumes = [mount.source for mount in service.mounts if mount.kind == "volume"]
        for section, used, declared in (
            ("volumes", [name for name in volumes if name], compose.volumes),
            ("networks", service.networks, {**compose.networks, "default": None}),
            ("secrets", service.secrets, compose.secrets),
            ("configs", service.configs, compose.configs),
        ):
            for name in used:
                if name not in declared:
                    raise InvalidRecipeError(
                        f"the service '{service.name}' uses '{name}', which is not declared"
                        f" under '{section}:' in {' or '.join(compose.files)}",
                        hint=f"add it under '{section}:', or correct the name",
                    )
