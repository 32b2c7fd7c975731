"""`python -m tests.crash [--kills N] [--seed S]`: kill runs everywhere, and look what is left.

It needs root: the engine is one of its own, in namespaces, with a small disk. The exit code is 0
only if each following run was green and nothing was left over.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.errors import EXIT_ERROR, EXIT_FAILED, EXIT_PASSED, HarnessError
from harness.core.settings import Settings
from tests.crash import accidents, matrix
from tests.crash.matrix import Came
from tests.integration.own_engine import own_engine
from tests.integration.support import environment
from tests.suite import leftovers

KILLS = 100
LOG_WIDTH = 160


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="nox -s crash --", description=__doc__, allow_abbrev=False)
    made.add_argument("--kills", type=int, default=KILLS, help=f"how many (default: {KILLS})")
    made.add_argument("--seed", type=int, default=1, help="what the moments are drawn from")
    made.add_argument("--jobs", type=int, default=4, help="how many at a time (default: 4)")
    return made


def crash(
    layers: Path,
    *,
    kills: int,
    seed: int,
    jobs: int,
    happen: Sequence[accidents.Accident],
    say: Callable[[str], None],
) -> list[Came]:
    """Kill that many runs on an engine of their own, let accidents happen, return what came.

    Args:
        layers: the directory of a cache that holds the stand-in images.
        kills: how many runs are killed.
        seed: what the moments are drawn from.
        jobs: how many at a time.
        happen: what else is to befall runs.
        say: is told of each kill as it is judged.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ccci-crash-") as folder,
        own_engine(layers) as own,
        closing(own.client()) as client,
    ):
        bed = matrix.Bed(own=own, client=client, folder=Path(folder), layers=layers)
        first = bed.scope("first")
        boundaries = matrix.collect(first, first.folder / "whole")
        say(f"{len(boundaries)} steps, {kills} kills, seed {seed}")
        before = bed.there()
        came = accidents.befall(bed, tuple(happen), say)
        came += matrix.kill_all(bed, matrix.plan(boundaries, kills, seed=seed), jobs=jobs, say=say)
        if left := matrix.last_look(bed, before):
            came.append(
                Came(where="the engine", kind="", run="", left=tuple(left), following="passed")
            )
        return came


def show(console: Console, came: Sequence[Came]) -> None:
    """Print the table, what is wrong in full, and the count."""
    groups: dict[tuple[str, str], list[Came]] = defaultdict(list)
    for one in came:
        groups[one.where, one.kind].append(one)
    table = Table()
    for title in ("where", "kind", "tried", "left over", "next run"):
        table.add_column(title)
    for (where, kind), rows in sorted(groups.items()):
        left = sum(len(row.left) for row in rows)
        words = {row.following.partition(":")[0] for row in rows}
        table.add_row(where, kind, str(len(rows)), str(left or "nothing"), ", ".join(sorted(words)))
    console.print(table)
    wrong = [one for one in came if not one.ok]
    for one in wrong:
        said = f"{one.where}, {one.kind}, {one.run}: {', '.join(one.left)} {one.following}"
        console.print(Text(said), soft_wrap=True)
    kills = sum(bool(one.run) for one in came)
    console.print(f"{kills} kills, {f'{len(wrong)} went wrong' if wrong else 'nothing left over'}")


def main(argv: Sequence[str]) -> int:
    """Make the kills that the command line asks for, and return the exit code."""
    given = parser().parse_args(argv)
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(Text(f"[{time.monotonic() - began:5.0f} s] {line}"), soft_wrap=True)

    try:
        layers = Settings.load([], environment()).cache / "images"
        with leftovers.suite():
            came = crash(
                layers, kills=given.kills, seed=given.seed, jobs=given.jobs,
                happen=accidents.ACCIDENTS, say=say,
            )  # fmt: skip
    except HarnessError as error:
        console.print(Text(f"crash: {error}"), soft_wrap=True)
        return error.exit_code
    except pytest.skip.Exception as reason:
        console.print(Text(f"crash: {reason}"), soft_wrap=True)
        return EXIT_ERROR
    show(console, came)
    return EXIT_PASSED if all(one.ok for one in came) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
