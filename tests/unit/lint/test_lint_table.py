"""The table of `abra recipe lint`: read as it is documented, or refused."""

import pytest

from harness.core.errors import AbraError
from harness.core.model import Outcome
from harness.lint.table import parse

TABLE = """
┌──────┬─────────────────────────┬──────────┬───────────┬─────────┬──────────────────┐
│ REF  │ RULE                    │ SEVERITY │ SATISFIED │ SKIPPED │ RESOLVE          │
├──────┼─────────────────────────┼──────────┼───────────┼─────────┼──────────────────┤
│ R001 │ compose version         │ warn     │ ✅        │ -       │ ensure it is     │
│ R008 │ a sample                │ error    │ ❌        │ -       │ create one, and  │
│      │                         │          │           │         │ fill it in       │
│ R010 │ routing                 │ error    │ ❌        │ ✅      │ ask              │
│ R099 │ a rule of later years   │ warn     │ ✅        │ -       │ wait             │
└──────┴─────────────────────────┴──────────┴───────────┴─────────┴──────────────────┘
WARN  critical errors present in made config
"""


def test_each_row_is_a_rule_with_its_word() -> None:
    """The exit code is 0 whatever is broken, so only the table can say it."""
    found = {rule.rule: (rule.level, rule.outcome, rule.reason) for rule in parse(TABLE)}
    assert found == {
        "R001": ("warn", Outcome.PASSED, ""),
        "R008": ("error", Outcome.FAILED, "create one, and fill it in"),
        "R010": ("error", Outcome.SKIPPED, "abra skipped it"),
        "R099": ("warn", Outcome.PASSED, ""),
    }


def test_other_borders_columns_and_an_unnamed_level_are_understood() -> None:
    """Its libraries for tables have changed; the names of the columns say what is what."""
    text = "| RULE | REF | SATISFIED |\n|---|---|---|\n| a sample | R008 | ❌ |\n"
    assert [(r.rule, r.level, r.about, r.outcome) for r in parse(text)] == [
        ("R008", "error", "a sample", Outcome.FAILED)
    ]


def test_a_rule_that_nothing_is_said_of_is_not_checked() -> None:
    """An empty cell is no pass."""
    found = parse("| REF | RULE | SATISFIED |\n| R008 | a sample | |\n")
    assert [rule.outcome for rule in found] == [Outcome.SKIPPED]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FATA no such recipe\n",
        "| R001 | compose version | ✅ |\n",
        "| REF | RULE |\n| R001 | compose version |\n",
        TABLE.replace("✅", "perhaps"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_words(text: str) -> None:
    """A parser that guesses turns a broken recipe into a good one."""
    with pytest.raises(AbraError, match="cannot parse the output") as caught:
        parse(text)
    assert caught.value.detail == text
