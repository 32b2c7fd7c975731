"""`python -m tests.suite.nightly [PART...]`: what a change does not need each time.

Every part is a command that can be typed by itself. One that fails stops no other; the exit code is
0 only if all passed, and 130 if it was stopped. The record is written after each part.
"""

import argparse
import math
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.core.errors import EXIT_ABORTED, EXIT_FAILED, EXIT_PASSED, EXIT_USAGE
from harness.core.own_revision import own_revision
from tests.suite.checks import ROOT
from tests.suite.parts import Part, Result, failed, table, timed, write
from tests.suite.running import run

RECORDS = ROOT / "runs" / "nightly"
LOCK_ROUNDS = "CC_CI_LOCK_ROUNDS"
REBUILD = "CC_CI_REBUILD"  # an image is built twice, and has to be the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A part of the night: words of nox, of pytest or of Python, with what the environment adds."""

    name: str
    about: str
    nox: tuple[str, ...] = ()
    pytest: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def argv(self, junit: Path) -> list[str]:
        """Return its command line; pytest counts its tests in the file `junit`."""
        if self.nox:
            return [sys.executable, "-m", "nox", *self.nox]
        if self.python:
            return [sys.executable, *self.python]
        return [sys.executable, "-m", "pytest", f"--junitxml={junit}", *self.pytest]

    @property
    def command(self) -> str:
        """What to type to run it alone."""
        words = self.python or ("-m", "pytest", *self.pytest)
        typed = ("nox", *self.nox) if self.nox else (".nox/dev/bin/python", *words)
        added = [f"{key}={value}" for key, value in self.environ.items()]
        return shlex.join([*added, *typed])


def jobs(scale: float = 1.0) -> tuple[Job, ...]:
    """Return the parts of the night, in their order, with their counts multiplied by `scale`."""

    def count(full: int) -> str:
        return str(max(1, math.ceil(full * scale)))

    kills, perturbed, reproduced, rounds = count(60), count(60), count(50), count(200)
    return (
        Job(
            name="truth", about="all broken recipes, and healthy ones that are awkward",
            nox=("-s", "truth", "--", "--jobs", "4"),
        ),
        Job(
            name="rest", about="the tests marked nightly",
            pytest=("--nightly", "tests/integration"),
        ),
        Job(
            name="conformance", about="all broken recipes by abra and by backup bots",
            nox=("-s", "conformance"),
        ),
        Job(
            name="crash", about=f"{kills} kills and every accident, on an engine of its own",
            nox=("-s", "crash", "--", "--kills", kills),
        ),
        Job(
            name="hostile", about="all that a stranger's change may try against the harness",
            nox=("-s", "hostile"),
        ),
        Job(
            name="locks", about=f"{rounds} rounds of two hosts that race for a lock",
            pytest=("tests/integration/test_swarm_lock.py",), environ={LOCK_ROUNDS: rounds},
        ),
        Job(
            name="perturb", about=f"{perturbed} runs of healthy recipes, disturbed at every op",
            nox=("-s", "truth", "--", "--perturb", perturbed),
        ),
        Job(
            name="reproduce", about=f"the founding finding, {reproduced} times alone and beside",
            nox=("-s", "truth", "--", "--reproduce", reproduced),
        ),
        Job(
            name="runners", about="the files for CIs, executed by the CIs' local runners",
            pytest=("tests/integration/test_ci_runners.py",),
        ),
        Job(
            name="images", about="stand-in images, built again from their packages",
            pytest=("tests/integration/test_images.py",), environ={REBUILD: "1"},
        ),
        Job(
            name="newest", about="the whole suite with the newest version of each dependency",
            nox=("-s", "newest"),
        ),
        Job(
            name="mutants", about="faults put into the harness: the unit tests notice them",
            python=("-m", "tests.mutants"),
        ),
        Job(name="bench", about="a whole run beside its bare operations", nox=("-s", "bench")),
    )  # fmt: skip


def perform(job: Job, *, call: Callable[[Sequence[str], Mapping[str, str]], int] = run) -> Part:
    """Run a part to its end, and return how it ended."""
    with tempfile.TemporaryDirectory(prefix="ccci-nightly-") as folder:
        junit = Path(folder) / "junit.xml"
        part = timed(job.name, lambda: call(job.argv(junit), job.environ))
        return counted(replace(part, command=job.command), junit)


def counted(part: Part, junit: Path) -> Part:
    """Return a part with pytest's counts; it is skipped if every test of it was."""
    if not junit.exists():
        return part
    suites = list(ET.parse(junit).iter("testsuite"))  # noqa: S314  our own pytest wrote it
    tests, skipped = (sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "skipped"))
    note = f"{tests - skipped} tests, {skipped} skipped"
    nothing = part.result is Result.PASSED and tests == skipped
    return replace(part, note=note, result=Result.SKIPPED if nothing else part.result)


def night(chosen: Sequence[Job], record: Path, say: Callable[[str], None]) -> Iterator[Part]:
    """Run the parts one after another, and yield each as it ends, after it was recorded."""
    ended: list[Part] = []
    for number, job in enumerate(chosen, start=1):
        say(f"\n=== {number} of {len(chosen)}: {job.name}: {job.about}\n    {job.command}")
        ended.append(perform(job))
        write(record, ended, revision=own_revision(ROOT))
        yield ended[-1]


def say(text: str) -> None:
    """Print at once, so that the order is right beside what the parts print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="nox -s nightly --", description=__doc__, allow_abbrev=False
    )
    made.add_argument("parts", nargs="*", metavar="PART", help="only these (default: all)")
    made.add_argument("--list", action="store_true", help="show the parts and their commands")
    made.add_argument("--without", action="append", default=[], metavar="PART", help="not this one")
    made.add_argument(
        "--scale", type=float, default=1.0, help="multiplies all counts, to try it out (default: 1)"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Run the parts that the command line names, and return one exit code for all."""
    given = parser().parse_args(argv)
    known = {job.name: job for job in jobs(given.scale)}
    if unknown := sorted({*given.parts, *given.without} - set(known)):
        sys.stderr.write(f"there is no part {', '.join(unknown)}; known are: {', '.join(known)}\n")
        return EXIT_USAGE
    chosen = [
        job
        for name, job in known.items()
        if (not given.parts or name in given.parts) and name not in given.without
    ]
    if given.list:
        for job in chosen:
            say(f"{job.name:12} {job.about}\n{'':12} {job.command}")
        return EXIT_PASSED
    record = RECORDS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.json"
    ended: list[Part] = []
    try:
        ended.extend(night(chosen, record, say))
    except KeyboardInterrupt:
        say(f"stopped; the record of what had ended is {record}")
        return EXIT_ABORTED
    say(f"\n{table(ended)}\nrecord: {record}")
    return EXIT_FAILED if failed(ended) else EXIT_PASSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
