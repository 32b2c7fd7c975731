"""The ledger: every op as it begins and as it ends, appended and never rewritten."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.ledger import Ledger, Op


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A run's ledger, in which nothing has been recorded."""
    return Ledger(tmp_path / "ledger.jsonl")


def test_a_run_that_did_nothing_has_an_empty_ledger(ledger: Ledger) -> None:
    """Looking at it does not make it."""
    assert ledger.entries() == ()
    assert ledger.count(Op.DEPLOY) == 0
    assert not ledger.path.exists()


def test_an_op_is_counted_when_it_begins(ledger: Ledger) -> None:
    """One that never ended was performed all the same; each kind is counted apart."""
    ledger.begin(Op.DEPLOY, commit="a")
    ledger.end(Op.DEPLOY, commit="a")
    ledger.begin(Op.REDEPLOY)
    ledger.note("deploy")
    assert {op: ledger.count(op) for op in Op if ledger.count(op)} == {
        Op.DEPLOY: 1,
        Op.REDEPLOY: 1,
    }
    ledger.begin(Op.DEPLOY)
    assert ledger.count(Op.DEPLOY) == 2


def test_entries_come_back_in_order_with_their_facts(ledger: Ledger) -> None:
    """Each with its moment in UTC; words as they are in the report."""
    ledger.begin(Op.BACKUP, volumes=["a"], chaos=True)
    ledger.note("exec in app, try 1: two\nlines \u20ac")
    ledger.end(Op.BACKUP, snapshot="0a")
    entries = [dict(entry) for entry in ledger.entries()]
    moments = [datetime.fromisoformat(str(entry.pop("at"))) for entry in entries]
    assert entries == [
        {"op": "backup", "event": "begin", "volumes": ["a"], "chaos": True},
        {"event": "note", "text": "exec in app, try 1: two\nlines \u20ac"},
        {"op": "backup", "event": "end", "snapshot": "0a"},
    ]
    assert moments == sorted(moments)
    assert all(moment.tzinfo is UTC for moment in moments)


def test_each_entry_is_one_line_and_stays(ledger: Ledger) -> None:
    """A run that dies leaves all that it had recorded, for anybody with an editor."""
    ledger.begin(Op.RESTORE)
    before = ledger.path.read_bytes()
    Ledger(ledger.path).note("from another process\n")
    after = ledger.path.read_bytes()
    assert after.startswith(before)
    assert [json.loads(line)["event"] for line in after.splitlines()] == ["begin", "note"]


def test_entries_of_several_writers_are_not_torn(ledger: Ledger) -> None:
    """The child that asserts writes down its retries while the harness writes its ops."""
    text = "x" * 3000
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(Ledger(ledger.path).note, [text] * 100))
    assert [entry["text"] for entry in ledger.entries()] == [text] * 100
