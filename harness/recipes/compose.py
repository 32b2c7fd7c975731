"""Compose files as data: what a stack will be made of, before anything is deployed.

Several files are merged as `docker stack deploy` merges them (measured against Docker CLI 28). In a
service, later scalars win; labels and networks merge by name, secrets and configs by source, mounts
by target, ports by published port. Under the top-level `volumes`, `networks`, `secrets` and
`configs`, a later definition replaces an earlier one of that name as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InvalidRecipeError
from harness.recipes import compose_fields as fields
from harness.recipes import yamlfile
from harness.recipes.compose_fields import Mount, Port, ServicePart
from harness.recipes.interpolation import Interpolator

LONGEST_NAME = 64  # characters; Swarm refuses a longer name of a secret or a config
RESOURCES = ("volumes", "networks", "secrets", "configs")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One volume, network, secret or config of the top level.

    Attributes:
        key: its name in the compose file.
        name: the explicit `name:`, filled in, or empty.
        external: whether it has to be there before.
        file: the file it is made of, relative to the recipe, or empty.
        definition: all of it, filled in; a later file replaces it as a whole.
    """

    key: str
    name: str = ""
    external: bool = False
    file: str = ""
    definition: Mapping[str, object] = field(default_factory=dict)

    def full_name(self, stack: str) -> str:
        """Return the name under which the engine knows it, once the stack is deployed."""
        return self.name or (self.key if self.external else f"{stack}_{self.key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """The merged view over a recipe's compose files.

    Attributes:
        directory: the recipe's checkout.
        files: the compose files, in order.
        services: by name, and so on.
        unset: variables that had neither a value nor a default, and so became nothing.
        version: the file format that the first file declares, or empty.
    """

    directory: Path
    files: tuple[str, ...]
    services: Mapping[str, Service]
    volumes: Mapping[str, Resource]
    networks: Mapping[str, Resource]
    secrets: Mapping[str, Resource]
    configs: Mapping[str, Resource]
    unset: frozenset[str] = frozenset()
    version: str = ""

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
        """Return the files of secrets and configs that are missing, or lie outside the recipe.

        Docker would read one that lies outside, so a recipe could ask for any file of this machine.
        """
        root = self.directory.resolve()
        named = (*self.secrets.values(), *self.configs.values())
        return tuple(
            resource.file
            for resource in named
            if resource.file
            and not (_is_inside(root / resource.file, root) and (root / resource.file).is_file())
        )


def load(directory: Path, compose_file: str, env: Mapping[str, str]) -> Compose:
    """Read a recipe's compose files, fill their variables in and merge them.

    Args:
        directory: the recipe's checkout.
        compose_file: the value of COMPOSE_FILE, with colons between the names; empty means
            `compose.yml`.
        env: what variables are filled in from. STACK_NAME and DOMAIN belong in it.

    Raises:
        InvalidRecipeError: a file is missing, is no YAML, has the wrong shape, or uses a variable
            wrongly; something is used that is not declared; or there is nothing to deploy.
    """
    files = tuple(name for name in compose_file.split(":") if name) or ("compose.yml",)
    parts: dict[str, ServicePart] = {}
    resources: dict[str, dict[str, Resource]] = {section: {} for section in RESOURCES}
    unset: set[str] = set()
    versions: list[str] = []
    for name in files:
        version, content = _read(directory, name, env, unset)
        versions.append(version)
        for key, raw in content["services"].items():
            part = ServicePart.parse(raw, f"{name}: services.{key}")
            _refuse_env_files_outside(raw, f"{name}: services.{key}", directory)
            parts[key] = parts[key].merged(part) if key in parts else part
        for section in RESOURCES:
            for key, raw in content[section].items():
                resources[section][key] = _resource(key, raw, f"{name}: {section}.{key}")
    if not parts:
        raise InvalidRecipeError(
            f"{' and '.join(files)} of {directory} define no services",
            hint="define at least one under 'services:'",
        )
    compose = Compose(
        directory=directory,
        files=files,
        services={name: _service(name, part, files) for name, part in parts.items()},
        volumes=resources["volumes"],
        networks=resources["networks"],
        secrets=resources["secrets"],
        configs=resources["configs"],
        unset=frozenset(unset),
        version=versions[0],
    )
    _refuse_undeclared(compose)
    return compose


def _read(
    directory: Path, name: str, env: Mapping[str, str], unset: set[str]
) -> tuple[str, dict[str, dict[str, object]]]:
    """Return a file's format version, and its sections, filled in, each a mapping."""
    path = directory / name
    if not _is_inside(path, directory):
        raise InvalidRecipeError(
            f"COMPOSE_FILE names '{name}', which lies outside the recipe {directory}",
            hint="name files of the recipe only",
        )
    raw = yamlfile.load(path)
    if not isinstance(raw, dict):
        raise InvalidRecipeError(
            f"{path} is not a mapping at its top level", hint="it begins with 'services:'"
        )
    interpolator = Interpolator(path=path, env=env, unset=unset)
    sections = {
        section: fields.mapping(interpolator.walk(raw.get(section), section), f"{name}: {section}")
        for section in ("services", *RESOURCES)
    }
    return fields.text(raw.get("version")), sections


def _service(name: str, part: ServicePart, files: tuple[str, ...]) -> Service:
    if not part.image:
        raise InvalidRecipeError(
            f"the service '{name}' has no image in {' or '.join(files)}",
            hint="add 'image: NAME:TAG'; Swarm builds none",
        )
    return Service(
        name=name,
        image=part.image,
        labels=part.labels,
        container_labels=part.container_labels,
        mounts=tuple(part.mounts.values()),
        networks=tuple(part.networks) or ("default",),
        secrets=tuple(part.secrets),
        configs=tuple(part.configs),
        ports=part.ports,
        endpoint_mode=part.endpoint_mode or "vip",
        healthcheck=bool(part.healthcheck) and not part.disabled,
        check=() if part.disabled else part.check or (),
    )


def _resource(key: str, raw: object, where: str) -> Resource:
    definition = fields.mapping(raw, where)
    external = definition.get("external")
    named = external.get("name") if isinstance(external, dict) else None  # the older syntax
    return Resource(
        key=key,
        name=fields.text(definition.get("name") or named),
        external=isinstance(external, dict) or fields.truth(external, f"{where}.external"),
        file=fields.text(definition.get("file")),
        definition=definition,
    )


def _refuse_env_files_outside(raw: object, where: str, directory: Path) -> None:
    """Refuse an `env_file` that lies outside the recipe: docker would read any file here.

    Raises:
        InvalidRecipeError: one does.
    """
    named = raw.get("env_file") if isinstance(raw, dict) else None
    for item in named if isinstance(named, list) else [named]:
        path = item.get("path") if isinstance(item, dict) else item
        if isinstance(path, str) and not _is_inside(directory / path, directory):
            raise InvalidRecipeError(
                f"{where}.env_file names '{path}', which lies outside the recipe",
                hint="name files of the recipe only",
            )


def _is_inside(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())


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
