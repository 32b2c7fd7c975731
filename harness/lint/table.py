"""The table that `abra recipe lint` prints, as rules. It is the only thing that says what is wrong.

abra ends with 0 when rules are broken, so its exit code says nothing. The table has been read about
and never been seen by the authors: whatever is not understood is refused, never taken for a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.core.errors import AbraError
from harness.core.model import Outcome, RuleResult
from harness.lint.rules import BY_NUMBER, NUMBER

BORDER = re.compile(r"[│┃║|]")
NAMES = {
    "rule": "about", "level": "level", "severity": "level", "ref": "rule", "satisfied": "satisfied",
    "skipped": "skipped", "resolve": "resolve",
}  # fmt: skip
NEEDED = {"rule", "about", "satisfied"}
YES = frozenset({"✅", "✔", "✓", "yes", "true"})
NO = frozenset({"❌", "✘", "✗", "x", "no", "false"})
BLANK = frozenset({"", "-"})


def parse(text: str) -> tuple[RuleResult, ...]:
    """Return the rules of a table, in its order.

    Raises:
        AbraError: there is no table, or one that cannot be understood.
    """
    names: list[str] = []
    found: list[dict[str, str]] = []
    for cells in _rows(text):
        if not names:
            heads = [NAMES.get(cell.lower(), "") for cell in cells]
            names = heads if set(heads) >= NEEDED else []
            continue
        row = dict(zip(names, cells, strict=False))
        if NUMBER.fullmatch(row.get("rule", "")):
            found.append(row)
        elif found and not row.get("rule"):  # a cell that was folded goes on in the next line
            found[-1] = {
                key: f"{value} {row.get(key, '')}".strip() for key, value in found[-1].items()
            }
    if not found:
        raise _not_understood("it has no table of rules", text)
    return tuple(_result(row, text) for row in found)


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if BORDER.search(line):
            yield [cell.strip() for cell in BORDER.split(line.strip().strip("│┃║|"))]


def _result(row: Mapping[str, str], text: str) -> RuleResult:
    known = BY_NUMBER.get(row["rule"])
    level = row.get("level", "").lower() or (known.level if known else "")
    satisfied, skipped = row["satisfied"].lower(), row.get("skipped", "").lower()
    reason = row.get("resolve", "")
    if skipped in YES:
        outcome, reason = Outcome.SKIPPED, "abra skipped it"
    elif satisfied in YES:
        outcome, reason = Outcome.PASSED, ""
    elif satisfied in NO:
        outcome = Outcome.FAILED
    elif satisfied in BLANK and skipped in BLANK | NO:
        outcome, reason = Outcome.SKIPPED, "not checked: abra's table says nothing of it"
    else:
        raise _not_understood(f"{row['rule']} is '{row['satisfied']}' there", text)
    return RuleResult(
        rule=row["rule"], level=level, about=row["about"], outcome=outcome, reason=reason
    )


def _not_understood(why: str, text: str) -> AbraError:
    return AbraError(
        f"cannot parse the output of `abra recipe lint`: {why}",
        cause="this version of abra prints another table, or it failed",
        hint="leave abra out with --lint off, or take a version that is supported: docs/abra.md",
        detail=text[-4000:],
    )
