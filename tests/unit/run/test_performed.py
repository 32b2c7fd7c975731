"""The end of a run's chain: what was found out stays, also where the end itself goes wrong."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.core.settings import Settings
from harness.core.signals import Stopper
from harness.recipes.meta import RecipeMeta
from harness.report.results import Revision
from harness.run import performed
from harness.run.journal import Journal
from harness.run.observer import Seen
from harness.run.studied import Studied
from tests.unit.fake_chain import prepared
from tests.unit.fake_run import HEAD, full


def studied(directory: Path, settings: Settings) -> Studied:
    """Return a run that may deploy, on an engine of which nothing can be read."""
    engine = SimpleNamespace(host="unix:///s", local=True, environ=dict)
    client = SimpleNamespace(info=dict)
    preflight = SimpleNamespace(ipvs=True)
    bed = SimpleNamespace(
        client=client, engine=engine, images=None, nodes=None, preflight=preflight
    )  # fmt: skip
    subject: Any = SimpleNamespace(plan=full(), meta=RecipeMeta(), fetch=lambda *_, **__: None)
    nothing: Any = None
    return Studied(
        **vars(prepared(directory, bed=bed, settings=settings)), change=None, source="/fork",
        repo=nothing, head=Revision(commit=HEAD, ref="main"), lint=None, subject=subject,
    )  # fmt: skip


def test_an_app_that_cannot_be_kept_hides_nothing_that_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of it goes to the cache, whose disk may be full."""
    (tmp_path / "cache").touch()
    run = studied(tmp_path, Settings(keep=True, cache=tmp_path / "cache"))
    seen = Seen(images=())
    context = SimpleNamespace(platform=None, backups=SimpleNamespace(name="restic"))
    known = SimpleNamespace(base_unusable="")
    operations = SimpleNamespace(context=context, adaptations=(), known=known)
    execution = SimpleNamespace(operations=operations, results=[], facts=[], run=lambda: None)
    observer = SimpleNamespace(stage=None, finish=lambda _: None, seen=lambda *_: seen)
    for name, made in (
        ("_context", context), ("Operations", operations), ("Observer", observer),
        ("Execution", execution),
    ):  # fmt: skip
        monkeypatch.setattr(performed, name, lambda *_, made=made, **__: made)
    monkeypatch.setattr("harness.run.requirements.require", lambda *_, **__: None)
    journal = Journal.of(run, Console(quiet=True))
    with pytest.raises(NotADirectoryError), ExitStack() as stack:
        performed.perform(run, journal, stack, Stopper(say=journal.say))
    last = journal.last
    assert isinstance(last, performed.Ended)
    assert (last.seen, last.teardown) == (seen, None)
    assert "the logs could not be collected" in last.diagnosis[0]
