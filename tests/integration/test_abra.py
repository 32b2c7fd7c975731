"""The real abra, where there is one: is what is told of it true? Skipped with the reason."""

import os
from pathlib import Path

import pytest

from harness.core.errors import AbraError
from harness.core.settings import Settings, default_cache
from harness.images import samples
from harness.lint import linting
from harness.platforms.abra.program import Abra, detect
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone


@pytest.fixture
def abra() -> Abra:
    """The abra of this machine."""
    try:
        return detect(os.environ, default_cache(os.environ))
    except AbraError as error:
        pytest.skip(str(error))


def test_abra_lints_a_sample_recipe_and_its_table_is_understood(abra: Abra, tmp_path: Path) -> None:
    """The parser was written without it, so this is the first thing to try."""
    cache = default_cache(os.environ)
    source = samples.materialise("custom-html", cache=cache, lock_timeout=60, say=lambda _: None)
    repo = clone(str(source), tmp_path / "recipe", timeout=60)
    report = linting.lint(
        Entry(name="custom-html", source=str(source)), repo, Settings(cache=cache), os.environ,
        work=tmp_path,
    )  # fmt: skip
    assert report is not None
    assert (report.program, report.notes) == (str(abra), ())
    assert {"R001", "R008", "R014"} <= {rule.rule for rule in report.rules}
