"""Which files of a recipe take part in a run, by their names and places."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.model import Origin, Stage
from harness.recipes.discovery import Discovery
from harness.recipes.shipped import LaidOut

FILES = (
    "tests/_generic/test_install.py",
    "tests/_generic/test_upgrade.py",
    "tests/_generic/test_backup.py",
    "tests/_generic/test_restore.py",
    "tests/gitea/test_install.py",
    "tests/gitea/test_backup.py",
    "tests/gitea/test_login.py",
    "tests/gitea/test_api.py",
    "tests/gitea/helpers.py",
    "tests/gitea/ops.py",
    "tests/gitea/install_steps.sh",
    "tests/gitea/recipe_meta.py",
    "tests/unit/test_install.py",
    "tests/unit/test_locks.py",
    "tests/unit/ops.py",
    "elsewhere/gitea/test_install.py",
    "shipped/test_install.py",
    "shipped/test_upgrade.py",
    "shipped/test_api.py",
    "shipped/test_wiki.py",
    "shipped/data/test_data.py",
    "shipped/conftest.py",
    "shipped/ops.py",
    "shipped/install_steps.sh",
    "shipped/recipe_meta.py",
)
DENIED = (
    "conftest.py",
    "data/ops.py",
    "data/test_data.py",
    "helpers.py",
    "install_steps.sh",
    "ops.py",
    "recipe_meta.py",
    "test_backup.py",
    "test_folder/helpers.py",
    "test_install.py",
    "test_wiki.py",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with the files above."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "tests/gitea/test_folder.py").mkdir()
    (tmp_path / "shipped/test_folder.py").mkdir()
    return tmp_path


def discovery(
    root: Path, recipe: str, *skip: Stage, shipped: bool = False, overlays: str = "tests"
) -> Discovery:
    return Discovery.of(
        recipe,
        tests=root / "tests",
        overlays=root / overlays,
        skip_generic=frozenset(skip),
        shipped=LaidOut(path=root / "shipped", digest="") if shipped else None,
    )


def found(root: Path, files: tuple[tuple[Path, Origin], ...]) -> list[tuple[str, Origin]]:
    return [(str(path.relative_to(root)), origin) for path, origin in files]


def test_generic_then_overlay_then_repo_local(root: Path) -> None:
    """An op's assertions are the generic file, the recipe's own, and what its repository ships."""
    both = discovery(root, "gitea", shipped=True)
    assert found(root, both.resolve_op(Stage.INSTALL)) == [
        ("tests/_generic/test_install.py", Origin.GENERIC),
        ("tests/gitea/test_install.py", Origin.OVERLAY),
        ("shipped/test_install.py", Origin.REPO_LOCAL),
    ]
    assert found(root, both.resolve_op(Stage.UPGRADE)) == [
        ("tests/_generic/test_upgrade.py", Origin.GENERIC),
        ("shipped/test_upgrade.py", Origin.REPO_LOCAL),
    ]
    assert found(root, both.resolve_op(Stage.RESTORE)) == [
        ("tests/_generic/test_restore.py", Origin.GENERIC)
    ]


def test_nothing_is_repo_local_without_approval(root: Path) -> None:
    """What was not let in takes part in nothing, wherever else it may lie."""
    alone = discovery(root, "gitea")
    everything = [*alone.resolve_op(Stage.INSTALL), *alone.resolve_op(Stage.UPGRADE)]
    everything += alone.custom_tests()
    assert {origin for _, origin in everything} == {Origin.GENERIC, Origin.OVERLAY}
    paths = [path for path, _ in everything] + [*alone.seed_hooks(), *alone.install_steps()]
    assert not any(path.is_relative_to(root / "shipped") for path in paths)


def test_skipping_generic_leaves_that_stage_the_rest(root: Path) -> None:
    """Only the generic file of the stages named is left out."""
    some = discovery(root, "gitea", Stage.BACKUP, Stage.UPGRADE, shipped=True)
    assert found(root, some.resolve_op(Stage.BACKUP)) == [
        ("tests/gitea/test_backup.py", Origin.OVERLAY)
    ]
    assert found(root, some.resolve_op(Stage.UPGRADE)) == [
        ("shipped/test_upgrade.py", Origin.REPO_LOCAL)
    ]
    assert len(some.resolve_op(Stage.INSTALL)) == 3


def test_the_custom_stage_has_every_other_test(root: Path) -> None:
    """What is no op's file is custom, by name; folders, helpers and files below are not tests."""
    both = discovery(root, "gitea", *Stage, shipped=True)
    assert both.resolve_op(Stage.CUSTOM) == both.custom_tests()
    assert found(root, both.custom_tests()) == [
        ("tests/gitea/test_api.py", Origin.OVERLAY),
        ("tests/gitea/test_login.py", Origin.OVERLAY),
        ("shipped/test_api.py", Origin.REPO_LOCAL),
        ("shipped/test_wiki.py", Origin.REPO_LOCAL),
    ]


def test_hooks_and_steps(root: Path) -> None:
    """They have fixed names; the overlay's go before the repository's."""
    both = discovery(root, "gitea", shipped=True)
    assert both.seed_hooks() == (root / "tests/gitea/ops.py", root / "shipped/ops.py")
    assert both.install_steps() == (
        root / "tests/gitea/install_steps.sh",
        root / "shipped/install_steps.sh",
    )


def test_the_meta_is_never_the_repositorys(root: Path) -> None:
    """What is asserted, and what is left out, is not for the change under test to decide."""
    assert discovery(root, "gitea", shipped=True).meta_file() == root / "tests/gitea/recipe_meta.py"
    assert discovery(root, "ghost", shipped=True).meta_file() is None


def test_a_recipe_without_a_folder_has_the_generic_files(root: Path) -> None:
    """Nothing has to be written for a recipe before it can be tested."""
    ghost = discovery(root, "ghost")
    assert found(root, ghost.resolve_op(Stage.RESTORE)) == [
        ("tests/_generic/test_restore.py", Origin.GENERIC)
    ]
    assert (ghost.custom_tests(), ghost.seed_hooks(), ghost.install_steps()) == ((), (), ())
    assert ghost.meta_file() is None


def test_overlays_may_lie_elsewhere(root: Path) -> None:
    """The generic files stay the project's own."""
    moved = discovery(root, "gitea", overlays="elsewhere")
    assert found(root, moved.resolve_op(Stage.INSTALL)) == [
        ("tests/_generic/test_install.py", Origin.GENERIC),
        ("elsewhere/gitea/test_install.py", Origin.OVERLAY),
    ]
    assert moved.custom_tests() == ()


@pytest.mark.parametrize("recipe", ["unit", "_generic", "integration"])
def test_the_harness_own_tests_are_no_recipe(root: Path, recipe: str) -> None:
    """A recipe called like a folder of the harness gets none of that folder's files."""
    none = discovery(root, recipe)
    assert none.overlay is None
    assert none.custom_tests() == ()
    assert found(root, none.resolve_op(Stage.INSTALL)) == [
        ("tests/_generic/test_install.py", Origin.GENERIC)
    ]
    assert none.seed_hooks() == ()
    assert none.meta_file() is None


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        (Stage.INSTALL, ("conftest.py", "install_steps.sh", "ops.py", "test_install.py")),
        (Stage.UPGRADE, ()),
        (Stage.BACKUP, ("test_backup.py",)),
        (Stage.RESTORE, ()),
        (Stage.CUSTOM, ("test_wiki.py",)),
    ],
)
def test_what_was_denied_is_told_at_its_stage(
    root: Path, stage: Stage, names: tuple[str, ...]
) -> None:
    """Each refused file that would have run is told once; helpers, data and a meta never ran."""
    denied = Discovery.of("gitea", tests=root, overlays=root, denied=DENIED)
    assert denied.denied_in(stage) == names
    assert discovery(root, "gitea", shipped=True).denied_in(stage) == ()
