"""Sharing recipes out to CI jobs, so that the last job is done as early as can be.

Longest processing time first: the makespan is at most 4/3 - 1/(3m) of the best possible one for m
shards (Graham, Bounds on multiprocessing timing anomalies, 1969), when the times are as expected.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Collection, Mapping

UNKNOWN_SECONDS = 60.0  # where no recipe at all has been timed


def share(
    recipes: Collection[str], times: Mapping[str, float], shards: int
) -> tuple[tuple[str, ...], ...]:
    """Return which recipes each shard runs, longest first. The same input gives the same shards.

    Args:
        recipes: all names.
        times: seconds that each took before; one that is missing counts as the median of the rest.
        shards: how many there may be, at least 1; with fewer recipes, there are fewer shards.
    """
    known = [times[name] for name in recipes if name in times]
    typical = statistics.median(known) if known else UNKNOWN_SECONDS
    expected = {name: times.get(name, typical) for name in recipes}
    loads = [(0.0, number) for number in range(min(shards, len(expected)))]
    parts: list[list[str]] = [[] for _ in loads]
    for name in sorted(expected, key=lambda name: (-expected[name], name)):
        load, number = heapq.heappop(loads)
        parts[number].append(name)
        heapq.heappush(loads, (load + expected[name], number))
    return tuple(tuple(part) for part in parts)


def lower_bound(times: Collection[float], shards: int) -> float:
    """Return the seconds below which no way of sharing out can get: the mean load, or the longest.

    Args:
        times: seconds of each recipe.
        shards: how many there are.
    """
    return max(sum(times) / shards, max(times, default=0.0))
