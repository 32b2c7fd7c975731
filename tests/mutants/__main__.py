"""Put each fault of mutants.toml into a copy of the project, and see whether a unit test fails.

Usage: python -m tests.mutants [TOPIC...]

Exit codes: 0 if at least 95 % of the mutants were killed, 1 if fewer were, 2 if a mutant no longer
applies (its text stands nowhere, or in several places) or the unit suite is red without any mutant.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from harness.core.errors import ProcessError

ROOT = Path(__file__).resolve().parents[2]
EXIT_STALE = 2
WANTED = 0.95  # of the mutants have to be killed
SECONDS = 600.0  # for one run of pytest; one that hangs has noticed


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault: `old` is replaced by `new` in the one file of harness/ that has it once.

    Attributes:
        topic: what it is about.
        what: the fault, in words.
        old: the text that stands in one place of harness/.
        new: the text of the mutant.
        tests: the unit tests that should notice.
    """

    topic: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def places(self) -> list[str]:
        """Where the old text stands: paths relative to the project, one for each time."""
        files = {path: path.read_text() for path in (ROOT / "harness").rglob("*.py")}
        found = (path for path, text in files.items() for _ in range(text.count(self.old)))
        return [str(path.relative_to(ROOT)) for path in found]

    @property
    def files(self) -> list[str]:
        """The test files that should notice, relative to the project."""
        unit = ROOT / "tests" / "unit"
        found = [path for name in self.tests for path in unit.rglob(f"test_{name}.py")]
        return [str(path.relative_to(ROOT)) for path in found]

    def problem(self) -> str:
        """Return why the mutant no longer applies, or nothing."""
        if len(self.places) != 1:
            return f"{self.topic}: {self.what}: the old text stands in {len(self.places)} places"
        missing = [name for name in self.files if not (ROOT / name).exists()]
        return f"{self.topic}: {self.what}: {missing[0]} does not exist" if missing else ""


def load(topics: list[str]) -> list[Mutant]:
    """Return the mutants of these topics, or all."""
    table = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())
    every = [Mutant(**{**raw, "tests": tuple(raw["tests"])}) for raw in table["mutant"]]
    return [one for one in every if not topics or one.topic in topics]


def noticed(place: Path, tests: list[str]) -> str:
    """Run unit tests in a copy of the project; return the first that failed, or nothing."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "--timeout=60", "-p", "no:cacheprovider"]
    try:
        done = proc.run([*words, *tests], timeout=SECONDS, cwd=place, check=False)
    except ProcessError:
        return "(it hangs)"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed[0].split(" - ")[0] if failed else "(it breaks)") if done.code else ""


def judge(mutant: Mutant, places: queue.Queue[Path], tests: list[str]) -> str:
    """Return what noticed the mutant, or nothing."""
    place = places.get()
    file = place / mutant.places[0]
    before = file.read_text()
    try:
        file.write_text(before.replace(mutant.old, mutant.new))
        return noticed(place, tests)
    finally:
        file.write_text(before)
        places.put(place)


def copy(place: Path) -> Path:
    """Copy the project without what git ignores, and return where it lies."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, proc.run(listing, timeout=60, cwd=ROOT).stdout.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, place / name, follow_symlinks=False)
    return place


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Judge all mutants, a few at a time, and print a line for each and the score."""
    began, mutants = time.monotonic(), load(sys.argv[1:])
    stale = [problem for mutant in mutants if (problem := mutant.problem())]
    if stale or not mutants:
        sys.stderr.write("\n".join([*(stale or ["no mutant has that topic"]), ""]))
        return EXIT_STALE
    killed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        places: queue.Queue[Path] = queue.Queue()
        for number in range(os.cpu_count() or 1):
            places.put(copy(Path(directory) / str(number)))
        named = sorted({name for one in mutants for name in one.files})
        if broken := noticed(places.queue[0], named):
            sys.stderr.write(f"the unit tests are red without any mutant: {broken}\n")
            return EXIT_STALE
        with ThreadPoolExecutor(max_workers=places.qsize()) as pool:
            for mutant, by in pool.map(lambda one: (one, judge(one, places, one.files)), mutants):
                killed[mutant.topic] += bool(by)
                say(f"{'killed  ' if by else 'SURVIVED'}  {mutant.topic:10} {mutant.what}  {by}")
    for topic, count in sorted(Counter(one.topic for one in mutants).items()):
        say(f"{topic:10} {killed[topic]}/{count}")
    score = killed.total() / len(mutants)
    seconds = time.monotonic() - began
    say(f"{killed.total()} of {len(mutants)} mutants killed, {score:.0%}, in {seconds:.0f} s")
    return 0 if score >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
