"""The end of a run: it has its own verdict, and hides nothing of what came before."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from harness.core.ledger import Ledger
from harness.core.model import Outcome
from harness.core.settings import Settings
from harness.core.waiting import Stretch
from harness.platforms.base import Target
from harness.run import teardown
from harness.run.reaper import Keep
from harness.swarm.nodes import Nodes
from harness.swarm.states import StackSnapshot
from harness.swarm.sweep import RUN_LABEL
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import KINDS, FakeEngine, one_of_each


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine with one object of each kind of the run, on a clock that stands."""
    stop_the_clock(monkeypatch)
    return FakeEngine(things=one_of_each("mine", {RUN_LABEL: "run1"}))


def over(engine: FakeEngine, place: Path) -> Any:  # noqa: ANN401  of a run, what a teardown reads
    """Return a run that is over."""
    nodes = Nodes(client=engine.client, own="n")
    bed = SimpleNamespace(client=engine.client, nodes=nodes)
    target = Target(recipe="r", run="run1", scope="s", domain="a.test")
    settings = Settings(cache=place)
    locks = SimpleNamespace(lease=None)
    return SimpleNamespace(
        bed=bed, target=target, settings=settings, directory=place, locks=locks
    )  # fmt: skip


def ops(place: Path) -> list[str]:
    """Return what the ledger says."""
    return [f"{e['event']} {e['op']}" for e in Ledger(place / "ledger.jsonl").entries()]


def test_everything_of_the_run_is_removed_and_counted(engine: FakeEngine, tmp_path: Path) -> None:
    """It is an op like the others: in the ledger, as it began and as it ended."""
    got = teardown.remove(over(engine, tmp_path))
    assert (got.outcome, got.reason, got.left) == (Outcome.PASSED, "", ())
    assert got.removed == dict.fromkeys(KINDS, 1)
    assert engine.things == []
    assert ops(tmp_path) == ["begin undeploy", "end undeploy"]


def test_what_is_left_makes_it_an_error(engine: FakeEngine, tmp_path: Path) -> None:
    """By name, with the command that tries again."""
    engine.refusals = Counter({"mine-network": 10**9})
    got = teardown.remove(over(engine, tmp_path))
    assert (got.outcome, got.left) == (Outcome.ERROR, ("network mine-network",))
    assert got.reason == "could not remove network mine-network; `nox -s reap` tries again"


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0])
def test_a_removal_is_tried_for_two_minutes_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """A slow host needs longer, and `--timeout-factor` says so; below 1 it is about the app."""
    clock = stop_the_clock(monkeypatch)
    engine = FakeEngine(things=one_of_each("mine", {RUN_LABEL: "run1"}))
    engine.refusals = Counter({"mine-network": 10**9})
    with Stretch(factor):
        assert teardown.remove(over(engine, tmp_path)).left
    longer = max(1.0, factor)
    assert 120 * longer <= clock.now < 125 * longer


def test_an_engine_that_is_gone_is_not_raised(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hide what went wrong in the run; and it is never taken for "all is gone"."""

    def gone(**_: object) -> None:
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(engine, "services", gone)
    end = over(engine, tmp_path)
    (line,) = teardown.diagnose(end, scrub=lambda text, _place: text)
    assert line.startswith("the logs could not be collected: ")
    got = teardown.remove(end)
    assert got.outcome is Outcome.ERROR
    assert "refused" in got.reason
    assert "nox -s reap" in got.reason
    assert ops(tmp_path) == ["begin undeploy"]


def test_logs_are_kept_with_secrets_masked(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the platform made; nothing is removed by looking."""
    asked: list[str] = []
    empty = StackSnapshot(stack="a_test", node_id="n", services=(), tasks=(), containers={})

    def collect(
        _nodes: object, look: StackSnapshot, place: Path, *, scrub: Callable[[str, str], str]
    ) -> dict[str, Path]:
        assert (look, place) == (empty, tmp_path / "logs")
        asked.append(scrub("my hunter22", "logs/app.log"))
        return {}

    monkeypatch.setattr("harness.run.teardown.read_stack", lambda *_, **__: empty)
    monkeypatch.setattr("harness.run.teardown.collect_logs", collect)
    end = over(engine, tmp_path)
    assert teardown.diagnose(end, scrub=lambda text, _place: text.replace("hunter22", "****")) == ()
    assert asked == ["my ****"]
    assert engine.removed == []


def test_an_app_that_is_kept_is_noted_and_not_touched(engine: FakeEngine, tmp_path: Path) -> None:
    """No clean-up takes it until its time is over; the report says how to end it sooner."""
    got = teardown.keep(over(engine, tmp_path))
    assert got.outcome is Outcome.SKIPPED
    assert "kept for 24 hours; `nox -s reap -- run1` removes it" in got.reason
    assert Keep.holds(tmp_path, "run1")
    assert engine.removed == []
