"""Seed hooks: a recipe's `ops.py` puts data in before an op, so that there is something to lose."""

from __future__ import annotations

import importlib.util
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.assertions import former_names
from harness.assertions.app import App
from harness.core.errors import AbortedError, HarnessError, RecipeError, TestCodeError
from harness.core.model import BROKEN_TEST_CODE as BROKEN
from harness.core.model import Stage

NOT_TO_BE_CAUGHT = (KeyboardInterrupt, GeneratorExit, MemoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedContext:
    """What a hook `pre_<op>(ctx)` gets.

    Args:
        app: the app that is up; there is no hook before an install.
        state: what hooks remember for assertions, which find it as the fixture `state`. Values
            have to be JSON.
    """

    app: App
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHooks:
    """The hooks of a recipe's `ops.py` files, in order; a recipe without one has none."""

    modules: tuple[tuple[Path, ModuleType], ...] = ()

    @classmethod
    def load(cls, paths: Sequence[Path]) -> SeedHooks:
        """Read the hooks.

        Raises:
            TestCodeError: a file cannot be imported.
        """
        former_names.keep()
        return cls(modules=tuple((path, _module(path)) for path in paths))

    def has(self, stage: Stage) -> bool:
        """Whether there is a hook before that stage's op."""
        return any(hasattr(module, f"pre_{stage}") for _, module in self.modules)

    def run(self, stage: Stage, context: SeedContext) -> None:
        """Run the hooks before that stage's op.

        Raises:
            HarnessError: what a hook ran into.
            RecipeError: an `assert` in a hook failed: the app does not do what it should.
            TestCodeError: a hook raised anything else, or remembers what is not JSON.
        """
        for path, module in self.modules:
            hook: Callable[[SeedContext], None] | None = getattr(module, f"pre_{stage}", None)
            if hook is not None:
                _run(hook, context, f"pre_{stage}", path)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ccci_ops_{abs(hash(path))}", path)
    if spec is None:
        raise TestCodeError(f"{BROKEN}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        # With `python -O`, an import would leave out every `assert`: the hook would expect nothing.
        code = compile(path.read_bytes(), path, "exec", dont_inherit=True, optimize=0)
        exec(code, module.__dict__)  # noqa: S102  as an import would do
    except AbortedError:
        raise
    except NOT_TO_BE_CAUGHT:
        raise
    except BaseException as error:  # `sys.exit` and `pytest.skip` are no Exception
        raise _broken(f"{path} cannot be imported", error) from error
    return module


def _run(hook: Callable[[SeedContext], None], context: SeedContext, name: str, path: Path) -> None:
    try:
        hook(context)
        json.dumps(context.state)
    except AbortedError:
        raise
    except HarnessError as error:
        error.what = f"in the seed hook {name} of {path}: {error.what}"
        raise
    except AssertionError as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line or ""
        raise RecipeError(
            f"assertion failed in the seed hook {name}: {str(error) or line}",
            hint=f"look at {path}",
        ) from error
    except NOT_TO_BE_CAUGHT:
        raise
    except BaseException as error:  # as above
        raise _broken(f"the seed hook {name} in {path} failed", error) from error


def _broken(what: str, error: BaseException) -> TestCodeError:
    said = traceback.format_exception_only(error)[-1].strip()
    return TestCodeError(
        f"{BROKEN}: {what}: {said}", detail="".join(traceback.format_exception(error))
    )
