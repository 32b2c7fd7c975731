"""The one file that `docker stack deploy` is given: complete, with nothing left to fill in.

Every value is resolved and every dollar sign escaped; configs and secrets are bytes of the recipe
in a directory of the run's own. What the harness has decided on is, key by key, what docker reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import InvalidRecipeError
from harness.recipes.compose import RESOURCES, Compose, Resource
from harness.recipes.compose_fields import text

NAMED_SINCE = (3, 5)  # the file format from which `external` is true or false, and `name` beside it


def complete(
    compose: Compose, override: Mapping[str, Any], contents: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """Return the whole stack as data.

    Args:
        compose: the recipe's compose files, merged and filled in.
        override: what is laid over them.
        contents: the files that hold the bytes of configs and secrets, by section and key.
    """
    version = override.get("version", compose.version)
    document: dict[str, Any] = {"version": version} if version else {}
    document["services"] = {
        name: laid_over(service.raw, override["services"][name])
        for name, service in compose.services.items()
    }
    for section in RESOURCES:
        resources: Mapping[str, Resource] = getattr(compose, section)
        laid: Mapping[str, Any] = override.get(section, {})
        document[section] = {
            **{key: dict(definition) for key, definition in laid.items()},
            **{
                key: _external(one, version)
                for key, one in resources.items()
                if one.external and key not in laid
            },
        }
        for key, definition in document[section].items():
            if (section, key) in contents:
                definition["file"] = contents[section, key]
    return document


def laid_over(service: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service with what is laid over it: labels join, a mount replaces its target's."""
    mounts = {mount["target"]: mount for mount in changes.get("volumes", ())}
    found = _joined(service, {key: one for key, one in changes.items() if key != "volumes"})
    found["deploy"] = _joined(service.get("deploy") or {}, changes["deploy"])
    if mounts:
        found["volumes"] = [mounts.get(one["target"], one) for one in service["volumes"]]
    return found


def _joined(mine: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    labels = {**(mine.get("labels") or {}), **changes["labels"]}
    return {**mine, **changes, "labels": labels}


def _external(resource: Resource, version: str) -> dict[str, Any]:
    definition = {key: value for key, value in resource.definition.items() if key != "file"}
    if not resource.name or resource.name == resource.key:
        return {**definition, "external": True}
    return {**definition, **external(resource.name, version)}


def external(name: str, version: str) -> dict[str, Any]:
    """Return the definition of something that is there by that name."""
    if version and numbers(version) < NAMED_SINCE:
        return {"external": {"name": name}}
    return {"external": True, "name": name}


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a file format, such as (3, 8), in the order of formats."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def write(compose: Compose, override: Mapping[str, Any], directory: Path) -> Path:
    """Write the stack file and the bytes of its configs and secrets into a new directory.

    Raises:
        InvalidRecipeError: a file is missing, or larger than the harness reads.
    """
    directory.mkdir(parents=True)
    contents: dict[tuple[str, str], str] = {}
    for section in ("secrets", "configs"):
        resources: Mapping[str, Resource] = getattr(compose, section)
        for key, resource in resources.items():
            if resource.file and not resource.external:
                content = compose.source.read(resource.file)
                if content is None:
                    raise InvalidRecipeError(
                        f"{resource.file}, which {section}.{key} is made of, is not in the recipe",
                        hint="add the file, or correct its path",
                    )
                path = directory / f"{len(contents)}"
                path.write_bytes(content)
                contents[section, key] = str(path)
    path = directory / "stack.yml"
    path.write_text(written(complete(compose, override, contents)))
    return path


def written(document: Mapping[str, Any]) -> str:
    """Return a document as YAML that every reader reads alike: quoted texts, ASCII alone."""
    text = json.dumps(escaped(document), ensure_ascii=False, indent=1).replace("\x7f", r"\x7f")
    # Python's escapes are YAML's too; JSON's own are not: it has no characters past U+FFFF.
    return text.encode("ascii", "backslashreplace").decode("ascii")


def escaped(value: Any) -> Any:  # noqa: ANN401  any YAML value
    """Double every dollar sign: docker fills variables in once more, in what already is filled."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {text(key): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return text(value) if isinstance(value, float) and not math.isfinite(value) else value
