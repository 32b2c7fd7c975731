"""Seed hooks: a recipe's `ops.py` puts data in before an op, so that there is something to lose."""

from __future__ import annotations

import importlib.util
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.assertions.app import App
from harness.errors import AbortedError, HarnessError, RecipeError, TestBedError
from harness.model import Stage


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
    """The hooks of one `ops.py`; a recipe without one has none."""

    path: Path | None
    module: ModuleType | None

    @classmethod
    def load(cls, path: Path | None) -> SeedHooks:
        """Read the hooks.

        Raises:
            TestBedError: the file cannot be imported.
        """
        if path is None:
            return cls(path=None, module=None)
        spec = importlib.util.spec_from_file_location(f"ccci_ops_{abs(hash(path))}", path)
        if spec is None or spec.loader is None:
            raise TestBedError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except AbortedError:
            raise
        except Exception as error:
            raise _broken(f"{path} cannot be imported", error) from error
        return cls(path=path, module=module)

    def has(self, stage: Stage) -> bool:
        """Whether there is a hook before that stage's op."""
        return hasattr(self.module, f"pre_{stage}")

    def run(self, stage: Stage, context: SeedContext) -> bool:
        """Run the hook before that stage's op, and return whether there is one.

        Raises:
            HarnessError: what the hook ran into.
            RecipeError: an `assert` in the hook failed: the app does not do what it should.
            TestBedError: the hook raised anything else, or remembers what is no JSON.
        """
        hook: Callable[[SeedContext], None] | None = getattr(self.module, f"pre_{stage}", None)
        if hook is None:
            return False
        try:
            hook(context)
            json.dumps(context.state)
        except AbortedError:
            raise
        except HarnessError as error:
            error.what = f"in the seed hook pre_{stage} of {self.path}: {error.what}"
            raise
        except AssertionError as error:
            raise RecipeError(
                f"what the seed hook pre_{stage} expects of the app does not hold: {error}",
                hint=f"look at {self.path}",
            ) from error
        except Exception as error:
            raise _broken(f"the seed hook pre_{stage} in {self.path} failed", error) from error
        return True


def _broken(what: str, error: Exception) -> TestBedError:
    said = traceback.format_exception_only(error)[-1].strip()
    return TestBedError(f"{what}: {said}", detail="".join(traceback.format_exception(error)))
