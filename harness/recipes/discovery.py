"""Which test files a stage of a recipe runs. Looks at file names only and imports nothing.

`tests/_generic/test_<op>.py` holds for every recipe; `tests/<recipe>/test_<op>.py` is that recipe's
overlay. The custom stage has every other `tests/<recipe>/test_*.py`. Tests that a recipe's own
repository ships are not looked for here: they need an approval first.
"""

from __future__ import annotations

from pathlib import Path

from harness.model import Origin, Stage
from harness.recipes.catalogue import RESERVED_NAMES

GENERIC_FOLDER = "_generic"
SEED_HOOKS = "ops.py"
META = "recipe_meta.py"

TestFile = tuple[Path, Origin]


def files_for(
    stage: Stage,
    *,
    tests: Path,
    recipe: str,
    skip_generic: frozenset[Stage] = frozenset(),
) -> tuple[TestFile, ...]:
    """Return the files a stage runs, the generic one first, then by name.

    Args:
        stage: the stage.
        tests: the project's `tests` directory.
        recipe: the recipe's name.
        skip_generic: the stages whose generic assertions are left out; overlays stay.
    """
    if stage is Stage.CUSTOM:
        return tuple((path, Origin.OVERLAY) for path in _custom(tests, recipe))
    name = f"test_{stage}.py"
    found: list[TestFile] = []
    if stage not in skip_generic:
        found.append((tests / GENERIC_FOLDER / name, Origin.GENERIC))
    if folder := _folder(tests, recipe):
        found.append((folder / name, Origin.OVERLAY))
    return tuple((path, origin) for path, origin in found if path.is_file())


def seed_hooks(tests: Path, recipe: str) -> Path | None:
    """Return the recipe's `ops.py`, which puts data into the app before an op, or None."""
    return _file(tests, recipe, SEED_HOOKS)


def meta_file(tests: Path, recipe: str) -> Path | None:
    """Return the recipe's `recipe_meta.py`, or None."""
    return _file(tests, recipe, META)


def _custom(tests: Path, recipe: str) -> list[Path]:
    folder = _folder(tests, recipe)
    if folder is None:
        return []
    ops = {f"test_{stage}.py" for stage in Stage if stage is not Stage.CUSTOM}
    return sorted(
        path for path in folder.glob("test_*.py") if path.is_file() and path.name not in ops
    )


def _file(tests: Path, recipe: str, name: str) -> Path | None:
    folder = _folder(tests, recipe)
    return folder / name if folder and (folder / name).is_file() else None


def _folder(tests: Path, recipe: str) -> Path | None:
    if recipe in RESERVED_NAMES or recipe == GENERIC_FOLDER:
        return None
    return tests / recipe
