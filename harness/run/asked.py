"""What a run was asked for: the first value of a chain that ends in its result.

Each later value is the one before and what was found out since; each is made once:
Asked, Chosen, Found, Prepared (`prepared.py`), Sourced, Named, Linted, Studied (`studied.py`),
Performed, Ended (`performed.py`). Wherever a run ends, its result is made from the last of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.core.own_revision import own_revision
from harness.core.project import PROJECT
from harness.core.settings import Settings
from harness.platforms.base import Target
from harness.recipes.catalogue import Entry
from harness.run.repeat import LAUNCHER


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One recipe, to be run once.

    Args:
        entry: its line in the catalogue.
        settings: what was asked for.
        environ: the user's environment.
        target: the names of the run.
        directory: where the run writes.
    """

    entry: Entry
    settings: Settings
    environ: Mapping[str, str]
    target: Target
    directory: Path
    harness: str = field(default_factory=lambda: own_revision(PROJECT))
    began: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def nox(self) -> str:
        """How nox was called."""
        return self.environ.get(LAUNCHER, "nox")
