"""One YAML file read as the Docker client reads it: safely, and with its idea of plain values.

Docker's parser takes only `true` and `false` for truth values (PyYAML also `yes` and `on`), leaves
`22:22` a text, and refuses a key that occurs twice. A date stays a text here.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.errors import InvalidRecipeError

LARGEST_BYTES = 2_000_000

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    # The C parser is ten times faster; a PyYAML built without it has only the other one.
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """A safe loader with the plain values of YAML 1.2, strict about keys.

    PyYAML since 6.0.4 merges each key once, so merges of merges do not multiply.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way to set them

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._flattened: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names, after a look whether a key occurs twice."""
        if id(node) in self._flattened:  # merged from elsewhere: what it overrides is in it now
            return
        self._flattened.add(id(node))
        _refuse_twice(node)
        super().flatten_mapping(node)


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' occurs twice", key.start_mark
                )
            seen.add(key.value)


def _resolve(kind: str, pattern: str, *first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), list(first))


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", *"tTfF")
_resolve("null", r"^(?:~|null|Null|NULL|)$", *"~nN", "")
_resolve("int", r"^[-+]?(?:0|0o?[0-7]+|[1-9][0-9]*|0x[0-9a-fA-F]+)$", *"-+0123456789")
_resolve("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", *"-+.0123456789")
_resolve("merge", r"^<<$", "<")


def load(path: Path) -> object:
    """Return what the file holds: mappings, lists, texts, numbers, truth values and None.

    Raises:
        InvalidRecipeError: it is not there, cannot be read, or is no YAML; the line is shown.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidRecipeError(
            f"there is no {path.name} in {path.parent}",
            cause="COMPOSE_FILE in .env.sample names it, or it is the one every recipe must have",
            hint=f"add {path.name} to the recipe, or take it out of COMPOSE_FILE",
        ) from error
    except OSError as error:
        raise InvalidRecipeError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > LARGEST_BYTES:
        raise InvalidRecipeError(f"{path} is larger than {LARGEST_BYTES} bytes")
    return _parsed(path, data)


def _parsed(path: Path, data: bytes) -> object:
    loader = None
    try:
        loader = _Loader(data)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or "it is no YAML"
        if mark is None:
            raise InvalidRecipeError(f"{path}: {what}") from error
        lines = data.decode(errors="replace").splitlines()
        raise InvalidRecipeError(
            f"{path}, line {mark.line + 1}, column {mark.column + 1}: {what}",
            hint="mend the YAML there, or in the line before",
            detail=lines[mark.line] if mark.line < len(lines) else "",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRecipeError(f"{path} cannot be read as YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
