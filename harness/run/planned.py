"""`python -m harness plan RECIPE`: what a run would do, without an engine or a deployment."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.ci.pull_request import ask
from harness.ci.under_test import asked_commit
from harness.core.settings import Settings
from harness.core.signals import reading
from harness.core.waiting import stretched
from harness.images import samples
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import CLONE_SECONDS, clone
from harness.run import subject
from harness.run.names import target_for
from harness.run.own_tests import Places
from harness.run.studied import TESTS


def plan(entry: Entry, settings: Settings, *, say: Callable[[str], None]) -> None:
    """Say the plan of a run, line by line, and its warnings, as the run does.

    Raises:
        HarnessError: the recipe cannot be had, cannot be deployed at all, or is refused.
    """
    target = target_for(entry, settings, token=secrets.token_hex(4), now=datetime.now(UTC))
    change = ask(entry, settings, say=say)
    named = change.source if change else ""
    with TemporaryDirectory(prefix="cc-ci-plan-") as work:
        source = samples.source_of(entry, settings, named=named, say=say)
        repo = clone(source, Path(work) / "recipe", timeout=stretched(CLONE_SECONDS))
        with reading():
            commit = asked_commit(entry, repo, settings, change)
            places = Places(tests=TESTS, overlays=settings.overlays or TESTS, work=Path(work))
            found = subject.study(
                entry, repo, commit, settings, target, places=places, change=change
            ).plan
    for line in (*found.lines(), *(f"warning  {warning.text}" for warning in found.warnings)):
        say(f"{entry.name}: {line}")
