"""Which files of a recipe take part in a run. Looks at file names only and imports nothing.

There are three places. `tests/_generic/test_<op>.py` holds for every recipe. `tests/<recipe>/` is
that recipe's overlay: `test_<op>.py`, every other `test_*.py` for the custom stage, `ops.py`,
`install_steps.sh`, `recipe_meta.py`. The third is what the recipe's own repository ships under the
same names, all but the meta, once `harness.recipes.approval` has let it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.core.model import Origin, Stage
from harness.recipes.catalogue import RESERVED_NAMES
from harness.recipes.shipped import LaidOut

GENERIC_FOLDER = "_generic"
SEED_HOOKS = "ops.py"
INSTALL_STEPS = "install_steps.sh"
META = "recipe_meta.py"
CONFTEST = "conftest.py"

TestFile = tuple[Path, Origin]

_TESTS = "test_*.py"
_OF_AN_OP = {f"test_{stage}.py": stage for stage in Stage if stage is not Stage.CUSTOM}
_OF_ANY_STAGE = frozenset({SEED_HOOKS, INSTALL_STEPS, CONFTEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Where one recipe's files lie.

    Attributes:
        generic: the folder with the assertions for every recipe.
        overlay: the recipe's own folder, or None when it can have none.
        shipped: what its repository ships, approved and laid out; None when nothing is.
        denied: what its repository ships and nobody approved, relative to its `tests/`.
        skip_generic: the stages whose generic assertions are left out; the rest stays.
    """

    generic: Path
    overlay: Path | None = None
    shipped: Path | None = None
    denied: tuple[str, ...] = ()
    skip_generic: frozenset[Stage] = frozenset()

    @classmethod
    def of(
        cls,
        recipe: str,
        *,
        tests: Path,
        overlays: Path,
        skip_generic: frozenset[Stage] = frozenset(),
        shipped: LaidOut | None = None,
        denied: Iterable[str] = (),
    ) -> Discovery:
        """Find out where a recipe's files lie.

        Args:
            recipe: the recipe's name. One that is called like a folder of the harness gets none of
                that folder's files.
            tests: the project's `tests` directory.
            overlays: where recipes' overlays lie, each in a folder with the recipe's name.
            skip_generic: see the class.
            shipped: what `approval.Gate.admit` gave.
            denied: the paths of a tree that it refused.
        """
        own = recipe not in RESERVED_NAMES and recipe != GENERIC_FOLDER
        return cls(
            generic=tests / GENERIC_FOLDER,
            overlay=overlays / recipe if own else None,
            shipped=shipped.path if shipped else None,
            denied=tuple(denied),
            skip_generic=skip_generic,
        )

    def resolve_op(self, stage: Stage) -> tuple[TestFile, ...]:
        """Return the files that assert after a stage's op: generic, overlay, repo-local."""
        if stage is Stage.CUSTOM:
            return self.custom_tests()
        name = f"test_{stage}.py"
        generic = self.generic / name
        found = list(self._each(name))
        if stage not in self.skip_generic and generic.is_file():
            found.insert(0, (generic, Origin.GENERIC))
        return tuple(found)

    def custom_tests(self) -> tuple[TestFile, ...]:
        """Return the custom stage's tests, by name: the overlay's, then the repo-local ones."""
        return tuple(
            (path, origin)
            for folder, origin in self._folders()
            for path in sorted(folder.glob(_TESTS))
            if path.is_file() and path.name not in _OF_AN_OP
        )

    def install_steps(self) -> tuple[Path, ...]:
        """Return the scripts that belong to the install op: the overlay's, then the repo-local."""
        return tuple(path for path, _ in self._each(INSTALL_STEPS))

    def seed_hooks(self) -> tuple[Path, ...]:
        """Return the files that put data into the app: the overlay's, then the repo-local one."""
        return tuple(path for path, _ in self._each(SEED_HOOKS))

    def meta_file(self) -> Path | None:
        """Return the overlay's `recipe_meta.py`, or None.

        Never the repository's: it decides what is asserted, and a change must not decide that about
        itself.
        """
        path = self.overlay / META if self.overlay else None
        return path if path and path.is_file() else None

    def denied_in(self, stage: Stage) -> tuple[str, ...]:
        """Return the refused files that the stage would have had, by their paths.

        Hooks, install steps and a `conftest.py` are of any stage, and count with the first.
        """
        return tuple(path for path in self.denied if _stage_of(path) is stage)

    def _folders(self) -> Iterator[tuple[Path, Origin]]:
        if self.overlay:
            yield self.overlay, Origin.OVERLAY
        if self.shipped:
            yield self.shipped, Origin.REPO_LOCAL

    def _each(self, name: str) -> Iterator[TestFile]:
        for folder, origin in self._folders():
            if (folder / name).is_file():
                yield folder / name, origin


def _stage_of(path: str) -> Stage | None:
    if path in _OF_ANY_STAGE:
        return Stage.INSTALL
    if "/" in path or not fnmatchcase(path, _TESTS):
        return None
    return _OF_AN_OP.get(path, Stage.CUSTOM)
