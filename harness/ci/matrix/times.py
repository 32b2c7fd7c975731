"""How long each recipe took before, from the results that are there."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from harness.report.results import RESULTS_FILE, read


def measured(roots: Iterable[Path]) -> dict[str, float]:
    """Return the median seconds of each recipe's runs below these directories.

    A result that cannot be read says nothing: times only balance, they decide nothing.
    """
    seconds: dict[str, list[float]] = {}
    for path in sorted({path.resolve() for root in roots for path in root.rglob(RESULTS_FILE)}):
        try:
            result = read(path.parent)
        except (OSError, ValueError):
            continue
        if result is not None:
            seconds.setdefault(result.recipe, []).append(result.seconds)
    return {recipe: statistics.median(each) for recipe, each in sorted(seconds.items())}
