"""What is shown of many runs: a live table on a terminal, lines in a log, one table at the end."""

import io
from pathlib import Path

from rich.console import Console

from harness.core.model import Outcome
from harness.report.together import Ending, Row, TogetherView, counts, show_together


def rows() -> list[Row]:
    """Return a run that ended, one that goes on, and one that waits."""
    ended = Row(label="a", output=Path("/a.log"), began=1.0)
    ended.ending = Ending(
        outcome=Outcome.FAILED, exit_code=1, cause="why\nin full", seconds=12.34,
        notes=("kept  so",),
    )  # fmt: skip
    going = Row(label="b", output=Path("/b.log"), began=1.0, stage="upgrade", step="upgrade: op")
    return [ended, going, Row(label="c", output=Path("/c.log"))]


def console(*, terminal: bool, height: int = 40) -> Console:
    """Return a console that writes to memory."""
    return Console(
        file=io.StringIO(), force_terminal=terminal, color_system=None, width=100, height=height,
        highlight=False,
    )  # fmt: skip


def written(on: Console) -> str:
    """Return what was written."""
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_the_live_table_says_of_each_run_where_it_is() -> None:
    """Recipe, word, time, stage, step, and why one did not pass."""
    on = console(terminal=True)
    with TogetherView(console=on, rows=rows()) as view:
        view.change(view.rows[1], "a line that only a log has")
    lines = [line.split() for line in written(on).splitlines()]
    assert ["a", "failed", "12", "s", "why"] in lines
    assert any(line[:2] == ["b", "running"] and line[-3:] == ["upgrade", "upgrade:", "op"]
               for line in lines)  # fmt: skip
    assert ["c", "waiting"] in lines
    assert "a line that only a log has" not in written(on)


def test_a_small_terminal_shows_those_that_go_on() -> None:
    """A table that is higher than the terminal cannot be redrawn; the counts say the rest."""
    on = console(terminal=True, height=6)
    with TogetherView(console=on, rows=rows()):
        pass
    assert "upgrade: op" in written(on)
    assert "why" not in written(on)
    assert "1 running, 1 waiting, 1 failed" in written(on)


def test_a_log_has_a_line_for_each_change_with_the_recipe_before_it() -> None:
    """Lines of many runs are mixed."""
    on = console(terminal=False)
    with TogetherView(console=on, rows=rows()) as view:
        view.change(view.rows[1], "install: passed")
    assert written(on).endswith("s] b: install: passed\n")


def test_the_end_shows_each_run_in_order_and_then_all() -> None:
    """One that left no results says where its output is, and a kept app how to remove it."""
    on = console(terminal=False)
    show_together(on, rows())
    text = written(on)
    assert text.index("a: failed") < text.index("cause    why\nin full\n") < text.index("/a.log")
    assert "kept  so" in text
    assert [line.split() for line in text.splitlines()[-5:]] == [
        ["recipe", "result", "time", "why"],
        ["a", "failed", "12.3", "s", "why"],
        ["b", "running"],
        ["c", "waiting"],
        ["1", "running,", "1", "waiting,", "1", "failed"],
    ]


def test_states_are_counted_in_words() -> None:
    """None that nobody is in."""
    assert counts(rows()[:1]) == "1 failed"
