"""The list of mutants, which the nightly session puts into the harness one by one."""

from tests.mutants.__main__ import ROOT, load


def test_every_mutant_still_applies() -> None:
    """Its text stands in one place of the harness: a change that rewords it writes it anew."""
    texts = [path.read_text() for path in (ROOT / "harness").rglob("*.py")]
    mutants = load([])
    assert len(mutants) > 40
    assert [one.what for one in mutants if sum(text.count(one.old) for text in texts) != 1] == []
    assert [one.what for one in mutants if len(one.files) != len(one.tests)] == []
