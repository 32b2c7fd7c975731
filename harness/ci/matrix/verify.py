"""`python -m harness verify-matrix`: every planned recipe ran, exactly once.

It is the one job that a merge has to depend on, so it is also red when a run did not pass.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.ci.matrix.selection import Cell, from_json
from harness.core.errors import (
    EXIT_ERROR,
    EXIT_NOTHING_SELECTED,
    EXIT_PASSED,
    UsageError,
)
from harness.core.untrusted import visible
from harness.report.results import RunResult, below


def verify(plan: Path, roots: Sequence[Path], *, allow_empty: bool) -> int:
    """Compare the plan with the results, say what came of each cell, return the exit code.

    Raises:
        UsageError: the plan cannot be read.
    """
    try:
        planned = from_json(plan.read_text(), str(plan))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the plan {plan} cannot be read: {error}") from error
    results, unread = below(roots)
    lines, code = judge(planned, results, unread)
    sys.stdout.write("\n".join(map(visible, lines)) + "\n")
    if not planned and code == EXIT_PASSED and not allow_empty:
        return EXIT_NOTHING_SELECTED
    return code


def judge(
    planned: Sequence[Cell], results: Sequence[RunResult], unread: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Return a line for each recipe, and the exit code.

    Whatever is missing, doubled, not planned or not readable is an error, which outweighs every
    verdict: nothing is known then. Else it is the code of the first run that did not pass.
    """
    lines, codes, wrong = [], [], [f"unreadable   {line}" for line in unread]
    for cell in planned:
        for recipe in cell.recipes:
            runs = [result for result in results if result.recipe == recipe]
            if len(runs) == 1:
                verdict = runs[0].verdict
                codes.append(verdict.exit_code)
                lines.append(f"{verdict.outcome:<12} {recipe} (cell {cell.name}, {runs[0].run})")
            elif runs:
                names = ", ".join(run.run for run in runs)
                wrong.append(f"{f'{len(runs)} times':<12} {recipe} (cell {cell.name}): {names}")
            else:
                wrong.append(f"not run      {recipe} (cell {cell.name})")
    known = [recipe for cell in planned for recipe in cell.recipes]
    wrong += [f"planned twice {name}" for name in sorted({n for n in known if known.count(n) > 1})]
    wrong += [f"not planned  {r.recipe} ({r.run})" for r in results if r.recipe not in known]
    total = f"{len(known)} planned, {len(results)} reported, {len(wrong)} wrong"
    code = EXIT_ERROR if wrong else next((code for code in codes if code), EXIT_PASSED)
    return [*lines, *wrong, total], code
