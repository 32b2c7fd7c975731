"""`nox -s hostile -- [NAME...]`: make every attempt, and print the table.

The exit code is 0 only if every promise was kept.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.errors import EXIT_FAILED, EXIT_PASSED, EXIT_USAGE
from tests.hostile.table import attempts, made

LOG_WIDTH = 160


def main(names: Sequence[str]) -> int:
    """Make the attempts that are named, or all of them, and return the exit code."""
    rows = tuple(row for row in attempts() if not names or row.name in names)
    if unknown := set(names) - {row.name for row in rows}:
        sys.stderr.write(f"hostile: there is no attempt {', '.join(sorted(unknown))}\n")
        return EXIT_USAGE
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    table = Table(show_lines=True)
    for title in ("attempt", "what is tried", "what is promised", "what happened", "known from"):
        table.add_column(title, overflow="fold")
    kept = 0
    with tempfile.TemporaryDirectory(prefix="cc-ci-hostile-") as place:
        for row, happened, well in made(rows, Path(place)):
            kept += well
            told = happened if well else f"NOT KEPT: {happened}"
            cells = (row.name, row.what, row.promised, told, row.known)
            table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print(f"{kept} of {len(rows)} promises were kept")
    return EXIT_PASSED if kept == len(rows) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
