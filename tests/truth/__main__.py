"""`python -m tests.truth [NAME...] [--jobs N]`: run the lying recipes and print the truth table.

The exit code is 0 only if every recipe ended in the right word for the right reason.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.core.errors import EXIT_FAILED, EXIT_PASSED, HarnessError
from harness.core.settings import Settings
from harness.run import testbed
from tests.truth import cases, perturb, runner, table

LOG_WIDTH = 160
OUTPUT = Path("runs") / "truth"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="nox -s truth --", description=__doc__, allow_abbrev=False)
    made.add_argument("names", nargs="*", metavar="NAME", help="lying recipes (default: all)")
    made.add_argument("--jobs", type=_count, default=2, help="how many at a time (default: 2)")
    made.add_argument(
        "--output", type=Path, default=OUTPUT, help=f"where runs are kept (default: {OUTPUT})"
    )
    disturbed = made.add_argument_group("healthy recipes under disturbance, instead of the table")
    disturbed.add_argument(
        "--perturb", type=_count, metavar="N", help="make N disturbed runs, in pairs of one seed"
    )
    disturbed.add_argument("--seed", type=int, default=1, help="the first pair's (default: 1)")
    disturbed.add_argument(
        "--reproduce",
        type=_count,
        metavar="N",
        help="run custom-html without its generic assertions N times alone, and N beside another",
    )
    disturbed.add_argument(
        "--cycle", action="store_true", help="with --reproduce: kill its container at each backup"
    )
    disturbed.add_argument(
        "--unsettled", action="store_true", help="with --reproduce: without the settle step"
    )
    return made


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run what the command line names, and return the exit code."""
    given = parser().parse_args(argv)
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH  # a log has no edge to fold at
    try:
        if given.perturb or given.reproduce:
            return disturbed(given, console)
        return truth(given, environ, console)
    except HarnessError as error:
        Console(stderr=True, highlight=False).print(Text(f"truth: {error}"), soft_wrap=True)
        return error.exit_code


def disturbed(given: argparse.Namespace, console: Console) -> int:
    """Run healthy recipes under disturbance, say what came, and return the exit code."""

    def say(line: str) -> None:
        _say(console, line)

    came = (
        perturb.perturb(given.perturb, seed=given.seed, say=say)
        if given.perturb
        else perturb.reproduce(
            given.reproduce, cycle=given.cycle, unsettled=given.unsettled, say=say
        )
    )
    well, lines = perturb.summary(came)
    for line in lines:
        say(line)
    return EXIT_PASSED if well else EXIT_FAILED


def truth(given: argparse.Namespace, environ: Mapping[str, str], console: Console) -> int:
    """Run the lying recipes, print the table, and return the exit code.

    Raises:
        HarnessError: a name is unknown, a case cannot be used, or there is no test bed.
    """
    chosen = cases.load(given.names)
    given.output.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S-")
    output = Path(tempfile.mkdtemp(prefix=stamp, dir=given.output)).absolute()
    bed = testbed.prepare(Settings.load([], environ), environ, say=lambda line: _say(console, line))

    def finished(row: runner.Row) -> None:
        came = row.came
        verdict = table.verdict(came.word, came.stage, "")
        mark = "ok   " if row.ok else "WRONG"
        _say(console, f"{mark}  {row.case.name}: {verdict} after {came.seconds:.1f} s")

    try:
        rows = runner.run_all(
            chosen, client=bed.client, output=output, jobs=given.jobs, finished=finished
        )
    finally:
        bed.client.close()
    table.show(console, rows)
    return EXIT_PASSED if all(row.ok for row in rows) else EXIT_FAILED


def _say(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
