"""What a run does before anything is deployed: its lock, its deadline, whose stack it is."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from rich.console import Console

from harness.core.errors import EXIT_LOCKED, SourceError, UsageError
from harness.core.settings import Settings
from harness.locks import file_lock as locks
from harness.recipes.catalogue import Entry
from harness.report.results import RunResult
from harness.run import reaper, testbed
from harness.run.one import run_one
from harness.run.prepared import Prepared
from harness.swarm.states import NAMESPACE_LABEL
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import FakeEngine, Thing

MADE = Entry(name="made", source="/src/made", line=3)
STACK = "app_test"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine that every run here finds, on a clock that stands."""
    stop_the_clock(monkeypatch)
    made = FakeEngine()
    bed: Any = SimpleNamespace(
        client=made.client, nodes=None, preflight=SimpleNamespace(rows=()),
        engine=SimpleNamespace(local=True), facts=dict,
    )  # fmt: skip
    monkeypatch.setattr(testbed, "prepare", lambda *_, **__: bed)
    return made


def run(place: Path, **asked: Any) -> RunResult:  # noqa: ANN401  any setting
    """Run a recipe whose source does not exist, under a domain of our choice."""
    settings = Settings(output=place / "runs", cache=place / "cache", domain="app.test", **asked)
    with (place / "shown").open("w") as stream:
        return run_one(MADE, settings, {}, Console(file=stream, width=100))


@pytest.mark.parametrize("factor", [1.0, 3.0])
@pytest.mark.usefixtures("engine")
def test_the_deadline_of_a_run_is_armed_before_it_touches_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """Whatever hangs after that, the run ends; afterwards nothing is armed any more."""
    armed: list[float] = []

    def study(_run: Prepared, _journal: object) -> NoReturn:
        armed.append(signal.getitimer(signal.ITIMER_REAL)[0])
        raise SourceError("enough")

    monkeypatch.setattr("harness.run.one.study", study)
    run(tmp_path, run_timeout=10_000.0, timeout_factor=factor)
    assert [round(seconds, -4) for seconds in armed] == [10_000 * factor]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_run_is_not_deployed_over_the_stack_of_somebody_else(
    engine: FakeEngine, tmp_path: Path
) -> None:
    """It is refused before the recipe is looked at, and nothing of theirs is removed."""
    theirs = Thing(kind="volume", name="kept", labels={NAMESPACE_LABEL: STACK})
    engine.things.append(theirs)
    with pytest.raises(UsageError, match=f"already a stack {STACK}: volume kept"):
        run(tmp_path)
    assert (engine.things, engine.removed) == ([theirs], [])


@pytest.mark.usefixtures("engine")
def test_two_runs_of_one_stack_exclude_each_other(tmp_path: Path) -> None:
    """The lock is the stack's: two runs have two names, and one domain all the same."""
    directory = tmp_path / "cache" / "locks"
    with locks.hold(directory, reaper.stack_lock(STACK), purpose="a", timeout=0, say=print):
        assert run(tmp_path, lock_timeout=0.0).verdict.exit_code == EXIT_LOCKED
    assert run(tmp_path, lock_timeout=0.0).verdict.exit_code != EXIT_LOCKED


@pytest.mark.usefixtures("engine")
def test_the_lock_is_held_for_as_long_as_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is free afterwards, however the run ended."""
    free: list[bool] = []

    def study(_run: Prepared, _journal: object) -> NoReturn:
        free.append(locks.is_free(tmp_path / "cache" / "locks", reaper.stack_lock(STACK)))
        raise SourceError("enough")

    monkeypatch.setattr("harness.run.one.study", study)
    run(tmp_path)
    assert free == [False]
    assert locks.is_free(tmp_path / "cache" / "locks", reaper.stack_lock(STACK))
