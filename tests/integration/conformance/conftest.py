"""Shows the conformance suite as a table: each recipe, and the word that it came to each way."""

from collections.abc import Iterator

import pytest

NAME = "conformance"  # of the property that a test records: recipe, way, word


def rows(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str]]:
    """Yield what the tests recorded; a word that is not the truth table's is marked."""
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                if name == NAME:
                    recipe, way, word = value
                    yield recipe, way, word if outcome == "passed" else f"{word} (wrong)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where there is anything for it."""
    came = {(recipe, way): word for recipe, way, word in rows(terminalreporter)}
    if not came:
        return
    recipes, ways = sorted({recipe for recipe, _ in came}), list(dict.fromkeys(w for _, w in came))
    lines = [["recipe", *ways], *([r, *(came.get((r, w), "-") for w in ways)] for r in recipes)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    terminalreporter.section("conformance")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.write_line("  ".join(cells).rstrip())
