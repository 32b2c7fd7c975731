"""docs/results.schema.json: what results.json is, for those who read it without this package."""

import json
from dataclasses import fields, replace
from pathlib import Path

import jsonschema
import pytest

from harness.core.model import Leak
from harness.report import schema
from harness.report.results import RunResult
from tests.unit.report.test_results import RUN

FILE = Path(__file__).resolve().parents[3] / "docs" / "results.schema.json"


def problems(text: str) -> list[str]:
    """Return what the published schema has against a results.json."""
    checker = jsonschema.Draft202012Validator(json.loads(FILE.read_text()))
    return [error.message for error in checker.iter_errors(json.loads(text))]


def test_the_file_is_what_the_dataclasses_say() -> None:
    """Made anew by `python -m harness schema > docs/results.schema.json`."""
    assert FILE.read_text() == schema.text()
    jsonschema.Draft202012Validator.check_schema(json.loads(FILE.read_text()))


def test_a_written_run_is_valid() -> None:
    """With every part of it filled in."""
    leak = Leak(secret="a", encoding="hex", place="x", count=1)  # noqa: S106
    assert problems(replace(RUN, leaks=(leak,)).to_json()) == []
    assert set(schema.schema()["properties"]) == {"schema", *(f.name for f in fields(RunResult))}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"failed"', '"flawed"'),
        ("cc-ci/results/1", "cc-ci/results/2"),
        ('"seconds": 12.5', '"seconds": "12.5"'),
        ('"recipe"', '"recipes"'),
    ],
)
def test_what_is_no_result_is_refused(old: str, new: str) -> None:
    """An unknown word, another version, a wrong type, a field that is not there."""
    text = RUN.to_json()
    assert old in text
    assert problems(text.replace(old, new))
