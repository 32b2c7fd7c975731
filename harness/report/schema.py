"""The JSON Schema of results.json, made of the dataclasses: `python -m harness schema`.

It prints docs/results.schema.json. Fields that older runs of the same schema lack are optional;
unknown fields are allowed, since new ones may appear.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from harness.report.results import SCHEMA, RunResult

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of results.json."""
    _, definitions = msgspec.json.schema_components([RunResult], schema_hook=_any)
    root = definitions.pop(RunResult.__name__)
    return {
        **root,
        "$schema": DIALECT,
        "title": SCHEMA,
        "description": "One run of one recipe; docs/results.md says what each field holds.",
        "properties": {"schema": {"const": SCHEMA}, **root["properties"]},
        "required": ["schema", *root["required"]],
        "$defs": definitions,
    }


def text() -> str:
    """Return the text of docs/results.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _any(_: type) -> dict[str, Any]:
    return {"description": "anything"}
