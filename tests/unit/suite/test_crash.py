"""The crash matrix: what is killed where, and what counts as left over."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.core import event_log
from harness.core.events import Doing, Step
from harness.core.model import Stage
from tests.crash.__main__ import show
from tests.crash.killing import Kill, Kind, steps
from tests.crash.matrix import Came, plan

A = Doing(step=Step.OP, stage=Stage.INSTALL)
B = Doing(step=Step.LINT)
STEPS = [A, B, A]


def came(*left: str, following: str = "passed", run: str = "r") -> Came:
    """Return what came of a kill."""
    return Came(where="a", kind="group", run=run, left=left, following=following)


def shown(*rows: Came) -> str:
    """Return what is printed of these."""
    console = Console(file=StringIO(), width=120)
    show(console, rows)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_every_step_is_killed_in_both_ways() -> None:
    """A step that comes twice counts twice, and a new one is covered by itself."""
    made = plan(STEPS, 6, seed=1)
    assert {(kill.step, kill.nth, kill.kind) for kill in made} == {
        (step, nth, kind) for step, nth in ((A, 1), (B, 1), (A, 2)) for kind in Kind
    }
    assert not any(kill.random for kill in made)


def test_more_kills_fall_in_between() -> None:
    """At random, and the same ones for the same seed."""
    made = plan(STEPS, 10, seed=1)
    assert [kill.random for kill in made] == [False] * 6 + [True] * 4
    assert made == plan(STEPS, 10, seed=1)
    assert made != plan(STEPS, 10, seed=2)


def test_fewer_kills_are_a_sample() -> None:
    """Not always the first steps."""
    assert {kill.step for seed in range(20) for kill in plan(STEPS, 1, seed=seed)} == set(STEPS)


def test_steps_are_read_from_a_runs_events(tmp_path: Path) -> None:
    """The same ones for every cache, whose place is part of what is cloned."""
    run = tmp_path / "run"
    run.mkdir()
    for doing in (Doing(step=Step.CLONE, about="/x/custom-html-12.git"), A):
        event_log.append(run / event_log.FILE, doing.entry())
    assert steps(tmp_path) == [Doing(step=Step.CLONE), A]


def test_a_kill_says_where_it_was() -> None:
    """A second step of that name is told apart."""
    assert Kill(step=A, nth=1, kind=Kind.GROUP).where == "install: op"
    assert Kill(step=A, nth=2, kind=Kind.GROUP).where == "install: op (2)"


@pytest.mark.parametrize(
    ("row", "ok"),
    [(came(), True), (came("volume v"), False), (came(following="error: x"), False)],
)
def test_what_went_well(row: Came, *, ok: bool) -> None:
    """Nothing is left, and the next run is green: both."""
    assert row.ok is ok


def test_the_last_line_says_how_it_went() -> None:
    """With the number of kills; what is left is named above it."""
    assert shown(came(), came()).splitlines()[-1] == "2 kills, nothing left over"
    text = shown(came(), came("volume v"), came("file f", run=""))
    assert text.splitlines()[-1] == "2 kills, 2 went wrong"
    assert "volume v" in text
