"""How many runs at once this host carries: the same eight runs of four recipes, N at a time.

`nox -s bench -- scale` prints a table: the wall time as a ratio to one run at a time, the most
memory in use meanwhile, and whether each run's verdict was the same as alone. Three of the recipes
are healthy, and one loses data at its upgrade and must fail each time.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.core import proc
from harness.core.capacity import free_memory
from harness.core.settings import Settings
from harness.images import samples
from harness.run import testbed
from tests.truth import cases

SAMPLES = ("custom-html", "radicale")
LYING = ("all-right", "migration-wipes-volume")
EACH = 2
AT_ONCE = (1, 2, 4, 8)
LOOK_SECONDS = 0.5
WHOLE_SECONDS = 1800.0


@dataclass(frozen=True)
class Measured:
    """What came of the eight runs, so many at a time."""

    jobs: int
    seconds: float
    memory: int  # the most that was in use beside what was before, in MiB
    verdicts: Sequence[tuple[str, str, str]]  # recipe, word, stage; in the order of the names
    each: float  # mean seconds of one run


def measure(recipes: Sequence[str], jobs: int, output: Path) -> Measured:
    """Run them all, and look at the host meanwhile."""
    least = Least()
    argv = [sys.executable, "-m", "harness", "run", "--jobs", str(jobs), "--output", str(output)]
    argv += ["--screenshots", "off"]  # some machines have no browser
    # One at a time, a recipe that is named twice is run once.
    calls = [[*argv, *recipes]] if jobs > 1 else [[*argv, recipe] for recipe in recipes]
    began = time.monotonic()
    with least:
        for call in calls:
            proc.run(call, timeout=WHOLE_SECONDS, env=dict(os.environ), check=False)
    seconds = time.monotonic() - began
    found = [json.loads(path.read_text()) for path in output.glob("*/results.json")]
    return Measured(
        jobs=jobs,
        seconds=seconds,
        memory=least.used,
        verdicts=sorted(_verdict(one) for one in found),
        each=sum(one["seconds"] for one in found) / max(1, len(found)),
    )


def _verdict(results: Mapping[str, object]) -> tuple[str, str, str]:
    verdict = results["verdict"]
    return str(results["recipe"]), verdict["outcome"], verdict["stage"]  # type: ignore[index]  # JSON


def memory() -> int:
    """Return how many bytes of memory are free on this machine, or 0 when nobody knows."""
    return free_memory() or 0


class Least:
    """Looks at the free memory now and then, for the length of a block."""

    def __enter__(self) -> Self:
        """Begin."""
        self._over = threading.Event()
        self._before = self._least = memory()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    @property
    def used(self) -> int:
        """The most memory that was in use, in MiB, beside what was before."""
        return (self._before - self._least) // 1024**2

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._least = min(self._least, memory())


def main() -> int:
    """Measure, print the table, and return 1 if a verdict depends on what runs beside it."""
    settings = Settings.load([], os.environ)
    testbed.prepare(settings, os.environ, say=print)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        made = {case.name: case.folder for case in cases.load() if case.name in LYING}
        for name, folder in made.items():
            samples.build(folder, work / f"{name}.git")
        recipes = [*SAMPLES, *(str(work / f"{name}.git") for name in made)] * EACH
        rows = [measure(recipes, jobs, work / str(jobs)) for jobs in AT_ONCE]
    print("| runs at a time | seconds | ratio | a run takes | memory | verdicts |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        same = "equal" if row.verdicts == rows[0].verdicts else "DIFFERENT"
        ratio = row.seconds / rows[0].seconds
        print(f"| {row.jobs} | {row.seconds:.0f} | {ratio:.2f} | {row.each:.0f} s |", end="")
        print(f" {row.memory} MiB | {len(row.verdicts)}, {same} |")
    print("; ".join(" ".join(verdict) for verdict in rows[0].verdicts))
    return 0 if all(row.verdicts == rows[0].verdicts for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
