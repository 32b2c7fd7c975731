"""The truth table: what each recipe does, what has to come of it, and what came."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.truth.runner import Row

CAUSE_LENGTH = 200  # characters of a cause that are shown; results.json has all of it


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table, then whatever is wrong in full, then the count."""
    table = Table(show_lines=True)
    for title, ratio in (("recipe", 3), ("what it does", 6), ("has to be", 7), ("came", 9)):
        table.add_column(title, ratio=ratio, overflow="fold")
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in cells(row)))
    console.print(table)
    for row in rows:
        for problem in row.problems:
            console.print(Text(f"{row.case.name}: {problem}"), soft_wrap=True)
    right = sum(row.ok for row in rows)
    console.print(f"{right} of {len(rows)} recipes ended in the right word for the right reason")


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return the cells of a row."""
    case, came = row.case, row.came
    number = f" (lie {case.lie})" if case.lie else ""
    return (
        case.name,
        case.what + number,
        verdict(case.word, case.stage, case.reason),
        verdict(came.word or f"exit code {came.exit_code}", came.stage, _short(came.cause)),
        "ok" if row.ok else "WRONG",
    )


def verdict(word: str, stage: str, reason: str) -> str:
    """Return a verdict as one text."""
    return word + (f" in {stage}" if stage else "") + (f": {reason}" if reason else "")


def _short(cause: str) -> str:
    first = cause.splitlines()[0] if cause else ""
    return first if len(first) <= CAUSE_LENGTH else f"{first[:CAUSE_LENGTH]}..."
