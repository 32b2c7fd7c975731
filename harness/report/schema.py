"""The JSON Schema of results.json, made of the dataclasses: `python -m harness.report.schema`.

It prints docs/results.schema.json. Fields that older runs of the same schema lack are optional;
unknown fields are allowed, since new ones may appear.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from harness.report.results import SCHEMA, RunResult

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES: Mapping[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def schema() -> dict[str, Any]:
    """Return the schema of results.json."""
    definitions: dict[str, Any] = {}
    _define(RunResult, definitions)
    root = definitions.pop(RunResult.__name__)
    return {
        "$schema": DIALECT,
        "title": SCHEMA,
        "description": "One run of one recipe; docs/results.md says what each field holds.",
        **root,
        "properties": {"schema": {"const": SCHEMA}, **root["properties"]},
        "required": ["schema", *root["required"]],
        "$defs": definitions,
    }


def text() -> str:
    """Return the text of docs/results.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _define(kind: type[Any], definitions: dict[str, Any]) -> None:
    if kind.__name__ in definitions:
        return
    definitions[kind.__name__] = {}  # a type may hold itself
    hints = get_type_hints(kind)
    definitions[kind.__name__] = {
        "type": "object",
        "properties": {one.name: _of(hints[one.name], definitions) for one in fields(kind)},
        "required": [
            one.name
            for one in fields(kind)
            if one.default is MISSING and one.default_factory is MISSING
        ],
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  any annotation
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(one, definitions) for one in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    if is_dataclass(hint) and isinstance(hint, type):
        _define(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [str(one) for one in hint]}
    return {"type": NAMES[hint]} if hint in NAMES else {}  # an object of any kind


if __name__ == "__main__":
    sys.stdout.write(text())
