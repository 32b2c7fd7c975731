"""What a run shows and records while it goes on."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.core import event_log
from harness.core.events import AppKept, Doing, Step, WarningEvent
from harness.core.model import Outcome, RunWarning, TeardownResult, WarningCode
from harness.core.settings import Settings
from harness.run import teardown
from harness.run.journal import Journal
from tests.unit.fake_chain import asked, prepared


def journal(directory: Path, **changes: Any) -> Journal:  # noqa: ANN401  any field of Asked
    """Return the journal of a run that writes there."""
    return Journal.of(asked(directory, **changes), Console(file=io.StringIO(), width=100))


def test_a_warning_is_one_event_however_often_it_is_given(tmp_path: Path) -> None:
    """In the order in which they came."""
    made = journal(tmp_path, environ={event_log.COPY: str(tmp_path / "copy")})
    one = RunWarning(code=WarningCode.NO_PAGE, text="no page", next="add a health check")
    two = RunWarning(code=WarningCode.DATA_IN_LAYER, text="/cache is in no volume")
    for warning in (one, two, one):
        made.warn(warning)
    assert tuple(made.warned) == (one, two)
    for file in (tmp_path / event_log.FILE, tmp_path / "copy"):
        assert event_log.read(file) == (WarningEvent.of(one), WarningEvent.of(two))


def test_logins_are_masked_in_what_is_recorded(tmp_path: Path) -> None:
    """The source of a clone may have one."""
    source = "https://me:s3cret-pass@x.test/r.git"
    made = journal(tmp_path, settings=Settings(src=source))
    made.step(Doing(step=Step.CLONE, about=source))
    made.say(f"cloning {source}")
    assert len(event_log.read(tmp_path / event_log.FILE)) == 2
    assert "s3cret-pass" not in (tmp_path / event_log.FILE).read_text()


def test_an_app_that_is_kept_says_how_to_reach_and_remove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event with the three things that a person or a program types next."""
    result = TeardownResult(outcome=Outcome.SKIPPED)
    monkeypatch.setattr(teardown, "keep", lambda _: result)
    bed: Any = SimpleNamespace(engine=SimpleNamespace(host="unix:///e"))
    run = prepared(tmp_path, bed=bed, settings=Settings(keep=True))
    nothing: Any = None
    assert teardown.tear_down(run, nothing, journal(tmp_path)) == result
    assert event_log.read(tmp_path / event_log.FILE)[-1] == AppKept(
        engine="unix:///e",
        look="docker ps --filter label=ccci.run=made-1",
        remove="nox -s reap -- made-1",
    )
