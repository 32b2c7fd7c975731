"""How long a thousand recipes take on so many CI jobs, beside the least that is possible.

`python benchmarks/makespan.py RUNS...` draws a thousand recipes from the times in the files
`results.json` below those directories, and shares them out in three ways: by the times of the run
before (`harness.ci.matrix.sharding`), in equal numbers (a matrix that knows no times), and by a
queue from which each job takes the next (one job for each recipe). The run that counts takes other
times than the run before, and some recipes are new. Every ratio is to the lower bound for the times
that it really took.
"""

import heapq
import json
import math
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ci.matrix.sharding import lower_bound, share

RECIPES = 1000
SHARDS = (4, 16, 64, 256)
ROUNDS = 20
SPREAD = 0.2  # of the logarithm of a time from one run to the next
NEW = 0.05  # the part of the recipes that has no earlier run
HEAVY = 1.0  # of the logarithm of what makes some apps far slower than the ones measured


@dataclass(frozen=True)
class Fleet:
    """The times that recipes took before, and those that they take now, in seconds."""

    before: Mapping[str, float]
    now: Mapping[str, float]


def measured(directories: Sequence[str]) -> list[float]:
    """Return the seconds of all runs below some directories."""
    files = sorted(path for name in directories for path in Path(name).rglob("results.json"))
    return sorted(float(json.loads(path.read_text())["seconds"]) for path in files)


def draw(times: Sequence[float], chance: random.Random, *, heavy: float) -> Fleet:
    """Return a thousand recipes: times as measured, times a log-normal factor when heavy."""
    now = {
        f"recipe-{number:04}": chance.choice(times) * math.exp(chance.gauss(0, heavy))
        for number in range(RECIPES)
    }
    before = {
        name: seconds * math.exp(chance.gauss(0, SPREAD))
        for name, seconds in now.items()
        if chance.random() >= NEW
    }
    return Fleet(before=before, now=now)


def by_time(fleet: Fleet, shards: int) -> float:
    """Return the makespan of shards made from the times before."""
    parts = share(fleet.now.keys(), fleet.before, shards)
    return max(sum(fleet.now[name] for name in part) for part in parts)


def by_name(fleet: Fleet, shards: int) -> float:
    """Return the makespan of shards with equal numbers of recipes."""
    names = sorted(fleet.now)
    return max(sum(fleet.now[name] for name in names[n::shards]) for n in range(shards))


def by_queue(fleet: Fleet, shards: int) -> float:
    """Return the makespan when whichever job is free takes the next recipe, by name."""
    free = [0.0] * shards
    for name in sorted(fleet.now):
        heapq.heappush(free, heapq.heappop(free) + fleet.now[name])
    return max(free)


def main(directories: Sequence[str]) -> int:
    """Print the tables."""
    times = measured(directories)
    print(f"{len(times)} runs measured: median {statistics.median(times):.0f} s, ", end="")
    print(f"{times[0]:.0f} to {times[-1]:.0f} s")
    for title, heavy in (("as measured", 0.0), ("with a heavy tail", HEAVY)):
        print(f"\n{title}\n")
        print("| jobs | lower bound | by earlier times | equal numbers | queue |")
        print("|---|---|---|---|---|")
        for shards in SHARDS:
            chance = random.Random(shards)  # noqa: S311  a simulation, not a secret
            fleets = [draw(times, chance, heavy=heavy) for _ in range(ROUNDS)]
            bounds = [lower_bound(fleet.now.values(), shards) for fleet in fleets]
            ratios = [
                statistics.median(
                    way(fleet, shards) / bound for fleet, bound in zip(fleets, bounds, strict=True)
                )
                for way in (by_time, by_name, by_queue)
            ]
            cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {shards} | {statistics.median(bounds):.0f} s | {cells} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
