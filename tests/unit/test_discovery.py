"""Which test files a stage runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model import Origin, Stage
from harness.recipes.discovery import files_for, meta_file, seed_hooks

FILES = (
    "_generic/test_install.py",
    "_generic/test_upgrade.py",
    "_generic/test_backup.py",
    "_generic/test_restore.py",
    "gitea/test_install.py",
    "gitea/test_backup.py",
    "gitea/test_login.py",
    "gitea/test_api.py",
    "gitea/helpers.py",
    "gitea/ops.py",
    "gitea/recipe_meta.py",
    "unit/test_install.py",
    "unit/test_locks.py",
    "unit/ops.py",
)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A tests directory with the files above."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gitea/test_folder.py").mkdir()
    return tmp_path


def found(tests: Path, stage: Stage, recipe: str, *skip: Stage) -> list[tuple[str, Origin]]:
    files = files_for(stage, tests=tests, recipe=recipe, skip_generic=frozenset(skip))
    return [(str(path.relative_to(tests)), origin) for path, origin in files]


def test_the_generic_file_goes_before_the_overlay(tests: Path) -> None:
    """An op's assertions are the generic file and then the recipe's own, where there is one."""
    assert found(tests, Stage.INSTALL, "gitea") == [
        ("_generic/test_install.py", Origin.GENERIC),
        ("gitea/test_install.py", Origin.OVERLAY),
    ]
    assert found(tests, Stage.UPGRADE, "gitea") == [("_generic/test_upgrade.py", Origin.GENERIC)]


def test_skipping_generic_leaves_that_stage_its_overlay_only(tests: Path) -> None:
    """Only the generic file of the stages named is left out."""
    skip = (Stage.BACKUP, Stage.UPGRADE)
    assert found(tests, Stage.BACKUP, "gitea", *skip) == [("gitea/test_backup.py", Origin.OVERLAY)]
    assert found(tests, Stage.UPGRADE, "gitea", *skip) == []
    assert len(found(tests, Stage.INSTALL, "gitea", *skip)) == 2


def test_the_custom_stage_has_every_other_test(tests: Path) -> None:
    """What is no op's file is custom, by name; folders and helpers are not tests."""
    assert found(tests, Stage.CUSTOM, "gitea", *Stage) == [
        ("gitea/test_api.py", Origin.OVERLAY),
        ("gitea/test_login.py", Origin.OVERLAY),
    ]


def test_a_recipe_without_a_folder_has_the_generic_files(tests: Path) -> None:
    """Nothing has to be written for a recipe before it can be tested."""
    assert found(tests, Stage.RESTORE, "ghost") == [("_generic/test_restore.py", Origin.GENERIC)]
    assert found(tests, Stage.CUSTOM, "ghost") == []
    assert seed_hooks(tests, "ghost") is None
    assert meta_file(tests, "ghost") is None


def test_hooks_and_meta(tests: Path) -> None:
    """The seed hooks and the meta have fixed names."""
    assert seed_hooks(tests, "gitea") == tests / "gitea/ops.py"
    assert meta_file(tests, "gitea") == tests / "gitea/recipe_meta.py"


@pytest.mark.parametrize("recipe", ["unit", "_generic", "integration"])
def test_the_harness_own_tests_are_no_recipe(tests: Path, recipe: str) -> None:
    """A recipe called like a folder of the harness gets none of that folder's files."""
    assert found(tests, Stage.CUSTOM, recipe) == []
    assert found(tests, Stage.INSTALL, recipe) == [("_generic/test_install.py", Origin.GENERIC)]
    assert seed_hooks(tests, recipe) is None
