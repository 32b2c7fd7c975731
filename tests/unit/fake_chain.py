"""Values of a run's chain, with nothing behind them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.core.settings import Settings
from harness.platforms.base import Target
from harness.recipes.catalogue import Entry
from harness.run.asked import Asked
from harness.run.prepared import Chosen, Found, Prepared

TARGET = Target(recipe="made", run="made-1", scope="s", domain="made-1.test")
BED: Any = SimpleNamespace(facts=lambda: {"host": "h"}, client=None, nodes=None)


def asked(directory: Path = Path("/run"), **changes: Any) -> Asked:  # noqa: ANN401  any field
    """Return a run that was asked for."""
    fields: dict[str, Any] = {
        "entry": Entry(name="made", source="/src/made", line=3), "settings": Settings(),
        "environ": {}, "target": TARGET, "directory": directory, "harness": "h",
    }  # fmt: skip
    return Asked(**{**fields, **changes})


def prepared(
    directory: Path = Path("/run"), *, bed: Any = BED, **changes: Any  # noqa: ANN401  the same
) -> Prepared:  # fmt: skip
    """Return a run that is prepared, for an engine that is not there."""
    chosen = Chosen(**vars(asked(directory, **changes)), abra=None)
    found, locks = Found(**vars(chosen), bed=bed), SimpleNamespace(lease=None)
    return Prepared(**{**vars(found), "locks": locks, "work": directory / "work"})
