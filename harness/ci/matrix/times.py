"""How long each recipe took before, from the results that are there."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from harness.report.results import below


def measured(roots: Iterable[Path]) -> dict[str, float]:
    """Return the median seconds of each recipe's runs below these directories.

    A result that cannot be read says nothing: times only balance, they decide nothing.
    """
    seconds: dict[str, list[float]] = {}
    for result in below(roots)[0]:
        seconds.setdefault(result.recipe, []).append(result.seconds)
    return {recipe: statistics.median(each) for recipe, each in sorted(seconds.items())}
