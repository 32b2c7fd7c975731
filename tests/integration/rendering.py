"""The stack file of a recipe with nothing laid over it, and what the docker client makes of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.core import proc
from harness.platforms import stackfile
from harness.recipes.compose import RESOURCES, Compose
from harness.recipes.merging import UNIQUE
from harness.recipes.normal import OBEYED, UNSUPPORTED

NAME = "stack.of-ours.yml"


def as_docker_reads(
    place: Path, names: tuple[str, ...], env: Mapping[str, str] | None = None
) -> Any:  # noqa: ANN401  any YAML
    """Return what `docker stack config` makes of files; None where it refuses them."""
    argv = ["docker", "stack", "config", *(word for name in names for word in ("-c", name))]
    given = {"PATH": os.environ["PATH"], **(env or {})}
    done = proc.run(argv, timeout=60, cwd=place, env=given, check=False)
    return yaml.load(done.stdout, Loader=yaml.BaseLoader) if done.code == 0 else None  # noqa: S506  texts only


def rendered(compose: Compose, place: Path) -> str:
    """Write the stack file beside the recipe's own, and return its name."""
    nothing: dict[str, Any] = {"labels": {}, "deploy": {"labels": {}}}
    override: dict[str, Any] = {"services": dict.fromkeys(compose.services, nothing)}
    contents = {}
    for section in RESOURCES:
        resources = getattr(compose, section)
        override[section] = {
            key: {**one.definition, **({"name": one.name} if one.name else {})}
            for key, one in resources.items()
            if not one.external
        }
        contents.update({(section, key): one.file for key, one in resources.items() if one.file})
    document = stackfile.complete(compose, override, contents)
    (place / NAME).write_text(stackfile.written(document))
    return NAME


def without_ignored(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what docker read without what it does not deploy."""
    dropped = (UNSUPPORTED - OBEYED) | {"env_file"}
    services = {
        name: {
            key: [*dict.fromkeys(value)] if key in UNIQUE else value
            for key, value in one.items()
            if key not in dropped and key[:2] != "x-"
        }
        for name, one in config["services"].items()
    }
    return {**{k: v for k, v in config.items() if k[:2] != "x-"}, "services": services}
