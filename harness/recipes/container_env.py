"""What of a service depends on the recipe's variables by name: its environment, and `~`.

As `docker stack deploy` puts it together (cli/compose/loader: resolveEnvironment): the files in
their order, then `environment`; a variable without a value, or with an empty one, gets that of the
recipe's variable of its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.errors import InvalidRecipeError
from harness.recipes.compose_fields import text
from harness.recipes.files import Files
from harness.recipes.interpolation import Interpolator

BOM = "\ufeff"
BLANKS = (" ", "\t")


def resolved(
    service: Mapping[str, Any], files: Files, interpolator: Interpolator, where: str
) -> dict[str, Any]:
    """Return a service in its normal form without `env_file`, whose variables are all in it.

    A `~` before a host's path is the recipe's variable HOME, where it sets one.

    Raises:
        InvalidRecipeError: a file is missing, lies outside of the recipe, or cannot be read, or
            the variables are more than what a recipe's files may hold.
    """
    env = interpolator.env
    rest = {key: value for key, value in service.items() if key != "env_file"}
    for mount in rest.get("volumes") or ():
        if mount.get("type") == "bind" and text(mount.get("source")).startswith("~"):
            mount["source"] = env.get("HOME", "~") + text(mount["source"])[1:]
    found: dict[str, Any] = {}
    for item in service.get("env_file") or ():
        if not isinstance(item, str):
            raise InvalidRecipeError(f"{where}.env_file has an item that is not a file's name")
        for name, value in _assignments(files, item, env, f"{where}.env_file"):
            interpolator.count(f"{name}={value}")
            found[name] = value
    found |= service.get("environment") or {}
    if not found:
        return rest
    filled = dict(found)
    for name in found.keys() & env.keys():
        if found[name] in (None, ""):
            interpolator.count(env[name])
            filled[name] = env[name]
    return {**rest, "environment": filled}


def _assignments(
    files: Files, path: str, env: Mapping[str, str], where: str
) -> Iterator[tuple[str, str]]:
    """Yield what an `env_file` sets: lines of NAME=value, taken as they are."""
    data = files.read(path)
    if data is None:
        raise InvalidRecipeError(
            f"{where} names '{path}', which is not in the recipe",
            hint="add the file, or correct its path",
        )
    try:
        lines = data.decode().removeprefix(BOM).split("\n")
    except UnicodeDecodeError as error:
        raise InvalidRecipeError(
            f"{path} cannot be read: {error}", hint="write it in UTF-8"
        ) from error
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix("\r").lstrip()
        name, equals, value = line.partition("=")
        if not line or line.startswith("#"):
            continue
        if not name or any(blank in name for blank in BLANKS):
            raise InvalidRecipeError(
                f"{path}, line {number}: '{name}' is not a variable's name",
                hint="write NAME=value, with no blank before the equals sign",
            )
        if equals:
            yield name, value
        elif name in env:
            yield name, env[name]
