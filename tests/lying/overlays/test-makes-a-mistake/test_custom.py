"""An overlay that takes for granted what it does not have."""

from harness.api import Facts


def test_it(facts: Facts) -> None:
    assert facts.seen["no such stage"]
