"""One YAML file read as the Docker client reads it: safely, and with its idea of plain values.

Measured against `docker stack config` of Docker CLI 28 on 700 files (tests/integration/test_yaml.py
keeps those that differed). Docker's parser takes only `true` and `false` for truth values (PyYAML
also `yes` and `on`), leaves `22:22` a text, refuses a key that occurs twice, ignores tags of lists
and mappings (`!reset`, `!override`), and reads the first document of several.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

from harness.core.errors import InvalidRecipeError
from harness.recipes import plain
from harness.recipes.files import Files

LARGEST_BYTES = 512 << 10  # of a file; its nodes take two hundred times that in memory
MOST_KEYS = 200_000  # of all mappings, with those that `<<` names
MOST_PATIENCE = 128 << 10  # bytes of a file that the slow loader reads
SHOWN = 100  # characters of a value in a message
MERGE = "tag:yaml.org,2002:merge"
_KNOWN = "tag:yaml.org,2002:"
_ALREADY = re.compile("second occurrence|duplicate anchor")

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    # The C parser is ten times faster; a PyYAML built without it has only the other one.
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _AsDocker:
    """How Docker builds values from YAML: mixed into a loader of PyYAML."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way to set them

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # type: ignore[call-arg]  # that of the loader it is mixed into
        self._flat: dict[int, dict[yaml.Node, yaml.Node]] = {}
        self._keys = 0

    def flatten(self, node: yaml.MappingNode) -> dict[yaml.Node, yaml.Node]:
        """Return the pairs of a mapping, with those that `<<` names where it has no such key.

        Of several mappings that one `<<` names, the first one that has a key gives its value.
        """
        if id(node) not in self._flat:  # once: merges of merges would multiply
            _refuse_twice(node)
            self._flat[id(node)] = dict(node.value)  # of a mapping that is merged into itself
            self._flat[id(node)] = self._flattened(node)
        return self._flat[id(node)]

    def _flattened(self, node: yaml.MappingNode) -> dict[yaml.Node, yaml.Node]:
        own = [(key, value) for key, value in node.value if not _is_merge(key)]
        names = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if not _is_merge(key):
                continue
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(
                        None, None, "map merge requires map or sequence of maps as the value",
                        key.start_mark,
                    )  # fmt: skip
                for other, its in self.flatten(source).items():
                    if isinstance(other, yaml.ScalarNode) and other.value not in names:
                        names.add(other.value)
                        merged.append((other, its))
        self._keys += len(own) + len(merged)
        if self._keys > MOST_KEYS:
            raise yaml.constructor.ConstructorError(
                None, None, f"with its merges it has more than the limit of {MOST_KEYS} keys",
                node.start_mark,
            )  # fmt: skip
        return dict([*own, *merged])

    def construct_object(self, node: yaml.Node, deep: bool = True) -> object:  # noqa: ARG002, FBT001, FBT002  PyYAML's
        """Return what a node holds, whatever a tag says of a list or a mapping."""
        known = self.constructed_objects  # type: ignore[attr-defined]  # a loader has it
        if node not in known:
            if node in self.recursive_objects:  # type: ignore[attr-defined]  # the same
                raise yaml.constructor.ConstructorError(
                    None, None, "an anchor contains itself", node.start_mark
                )
            self.recursive_objects[node] = None  # type: ignore[attr-defined]  # the same
            known[node] = self._built(node)
            del self.recursive_objects[node]  # type: ignore[attr-defined]  # the same
        return known[node]

    def _built(self, node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            pairs = self.flatten(node).items()
            built = {self._key(key): self.construct_object(value) for key, value in pairs}
            return dict(built)
        if isinstance(node, yaml.SequenceNode):
            return [self.construct_object(item) for item in node.value]
        kind = node.tag.removeprefix(_KNOWN) if node.tag.startswith(_KNOWN) else "str"
        try:
            return plain.value(kind, node.value)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{node.value[:SHOWN]}' is not of the type !!{kind}", node.start_mark
            ) from error

    def _key(self, node: yaml.Node) -> Hashable:
        key = self.construct_object(node)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is not a plain value", node.start_mark
            )
        return key


class _Loader(_AsDocker, _Base):
    """The fast loader."""


class _PatientLoader(_AsDocker, yaml.SafeLoader):
    """The slow loader, for files that use the name of an anchor twice, which Docker allows."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Forget an anchor whose name is given again."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # of PyYAML
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(getattr(event, "anchor", None), None)
        return super().compose_node(parent, index)


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == MERGE


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value[:SHOWN]}' occurs twice", key.start_mark
                )
            seen.add(key.value)


def _resolve(kind: str, pattern: re.Pattern[str], first: str) -> None:
    for loader in (_Loader, _PatientLoader):
        loader.add_implicit_resolver(f"{_KNOWN}{kind}", pattern, list(first) or [""])


for _kind, _pattern, _first in plain.RESOLVED:
    _resolve(_kind, _pattern, _first)
_resolve("null", plain.NOTHING, "")


def load(files: Files, name: str) -> object:
    """Return what a file holds: mappings, lists, texts, numbers, truth values and None.

    Raises:
        InvalidRecipeError: it is not there, is too large, or is no YAML; the line is shown.
    """
    data = files.read(name, largest=LARGEST_BYTES)
    if data is None:
        raise InvalidRecipeError(
            f"there is no {name} in the recipe",
            cause="COMPOSE_FILE in .env.sample names it, or it is the one every recipe must have",
            hint=f"add {name} to the recipe, or take it out of COMPOSE_FILE",
        )
    return parse(name, data)


def parse(name: str, data: bytes) -> object:
    """Return what the bytes of a file hold; `name` is for messages.

    Raises:
        InvalidRecipeError: they are no YAML; the line is shown. Or they are over a limit.
    """
    try:
        return _parsed(_Loader, name, data)
    except yaml.MarkedYAMLError as error:
        if not _ALREADY.search(f"{error.problem} {error.context}"):
            raise _unreadable(name, data, error) from error
    if len(data) > MOST_PATIENCE:
        raise InvalidRecipeError(
            f"{name} gives the name of an anchor twice and has {len(data)} bytes, more than the "
            f"limit of {MOST_PATIENCE} for such a file",
            cause="the reader that allows it is slow",
            hint="give each anchor a name of its own",
        )
    try:
        return _parsed(_PatientLoader, name, data)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(name, data, error) from error


def _parsed(kind: type, name: str, data: bytes) -> object:
    try:
        return _first_document(kind, data)
    except yaml.MarkedYAMLError:
        raise
    except RecursionError as error:
        raise InvalidRecipeError(f"{name} is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRecipeError(f"{name} cannot be read as YAML: {error}") from error


def _first_document(kind: type, data: bytes) -> object:
    loader = kind(data)
    try:
        return loader.get_data() if loader.check_data() else None
    finally:
        loader.dispose()


def _unreadable(name: str, data: bytes, error: yaml.MarkedYAMLError) -> InvalidRecipeError:
    mark = error.problem_mark or error.context_mark
    what = error.problem or "it is not YAML"
    if mark is None:
        return InvalidRecipeError(f"{name}: {what}")
    lines = data.decode(errors="replace").splitlines()
    return InvalidRecipeError(
        f"{name}, line {mark.line + 1}, column {mark.column + 1}: {what}",
        hint="correct the YAML there, or in the line before",
        detail=lines[mark.line] if mark.line < len(lines) else "",
    )
