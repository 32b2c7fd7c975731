"""Disturbed runs: the same seed is the same run, and whatever is not green is seen."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.event_log import entries
from harness.core.events import Doing, Step
from harness.core.ledger import Op
from harness.core.model import Stage
from tests.truth import disturbed
from tests.truth.disturbed import Vandal
from tests.truth.perturb import Came, Trial, summary
from tests.unit.fake_chain import prepared

STEPS = (
    Doing(step=Step.WAIT, about=Op.DEPLOY),
    Doing(step=Step.SETTLED, stage=Stage.UPGRADE),
    Doing(step=Step.OP, stage=Stage.UPGRADE),
    Doing(step=Step.WAIT, about=Op.REDEPLOY),
    Doing(step=Step.SETTLED, stage=Stage.BACKUP),
    Doing(step=Step.OP, stage=Stage.BACKUP),
    Doing(step=Step.WAIT, stage=Stage.BACKUP),
    Doing(step=Step.ASSERTIONS, stage=Stage.BACKUP),
)


def told(seed: int, monkeypatch: pytest.MonkeyPatch, *, cycle: bool = False) -> list[str]:
    """Return what a vandal records that it did in a run whose app has one container."""
    monkeypatch.setattr("tests.truth.disturbed.time.sleep", lambda _: None)
    container = SimpleNamespace(name="c", kill=lambda: None, labels={disturbed.SERVICE_LABEL: "s"})
    service = SimpleNamespace(
        name="s", attrs={"Spec": {"TaskTemplate": {}}}, force_update=lambda: None
    )
    container.restart = lambda timeout: timeout
    client = SimpleNamespace(
        containers=SimpleNamespace(list=lambda **_: [container]),
        services=SimpleNamespace(list=lambda **_: [service]),
    )
    with TemporaryDirectory() as folder:
        bed: Any = SimpleNamespace(client=client)
        run = prepared(directory=Path(folder), bed=bed)
        journal: Any = SimpleNamespace(last=run, say=lambda _: None)
        vandal = Vandal(seed, cycle=cycle)
        for doing in STEPS:
            vandal.moment(journal, doing)
        return [one["act"] for one in entries(Path(folder) / disturbed.FILE)]


def test_a_seed_is_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure can be had again; another seed is another run."""
    assert told(7, monkeypatch) == told(7, monkeypatch)
    assert len({tuple(told(seed, monkeypatch)) for seed in range(10)}) == 10


def test_every_kind_of_disturbance_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the few dozen seeds that are run; and half of the runs have busy processors."""
    said = "\n".join(line for seed in range(30) for line in told(seed, monkeypatch))
    assert all(word in said for word in ("of nothing", "killed c", "restarted c", "forced"))
    assert {Vandal(seed).busy for seed in range(10)} == {True, False}


def test_assertions_and_a_rolling_update_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that is killed in mid-update is a failed update to Swarm, and rightly so."""
    lines = [line for seed in range(30) for line in told(seed, monkeypatch)]
    assert not [line for line in lines if "assertions" in line]
    assert all("of nothing" in line for line in lines if "redeploy" in line or ": op" in line)


def test_a_cycle_kills_after_the_backup_and_does_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """So did the backup program that this project began with."""
    assert told(1, monkeypatch, cycle=True) == ["backup: waiting until settled: killed c"]


def came(word: str, *, seed: int | None = 1, generic: bool = True) -> Came:
    """Return what came of a run."""
    trial = Trial(words=("custom-html",), seed=seed, generic=generic)
    return Came(trial=trial, word=word, cause="why", seconds=1.0, disturbances=("d1", "d2"))


def test_all_green_is_well() -> None:
    """In both modes."""
    well, lines = summary([came("passed"), came("passed", generic=False)])
    assert (well, lines) == (True, ["2 runs, 4 disturbances: 2 passed"])


@pytest.mark.parametrize("word", ["failed", "error", "skipped", "aborted", "no result"])
def test_any_other_word_is_not(word: str) -> None:
    """It is told with the command that makes it again, and with what was done to it."""
    well, lines = summary([came("passed"), came(word, generic=False)])
    assert not well
    assert sorted(lines[0].partition(": ")[2].split(", ")) == sorted([f"1 {word}", "1 passed"])
    again = "CCCI_SKIP_GENERIC=1 python -m tests.truth.disturbed --seed 1 --burn -- run custom-html"
    assert f"again: {again}" in lines
    assert lines[-1] == "seed 1: not the same word in both modes"


def test_nothing_at_all_is_not_well() -> None:
    """A run of nothing proves nothing."""
    assert summary([])[0] is False
