"""One run, from the call to the last table: the chain of its values, and its end."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime

from rich.console import Console

from harness.core.errors import UsageError
from harness.core.events import RunBegan, RunEnded
from harness.core.settings import Settings
from harness.core.signals import Stopper, stop_on_signals
from harness.recipes.catalogue import Entry
from harness.report.results import RunResult
from harness.report.terminal import plain, show_result
from harness.run import requirements
from harness.run.asked import Asked
from harness.run.journal import Journal
from harness.run.names import target_for
from harness.run.performed import perform
from harness.run.prepared import prepare
from harness.run.publish import publish
from harness.run.result import meta_of, result_of
from harness.run.studied import study
from harness.swarm.faults import as_harness_error
from harness.verdict.decide import Verdict
from harness.verdict.facts import EndedBy


def run_one(
    entry: Entry, settings: Settings, environ: Mapping[str, str], console: Console
) -> RunResult:
    """Run one recipe to its verdict, show it, and write it down.

    Whatever goes wrong ends up in the result; only what is wrong with the call itself is raised.

    Raises:
        UsageError: the call is wrong; nothing was touched.
    """
    target = target_for(entry, settings, token=secrets.token_hex(4), now=datetime.now(UTC))
    directory = settings.output / target.run
    requirements.make_output(directory / "logs")
    asked = Asked(
        entry=entry, settings=settings, environ=environ, target=target, directory=directory
    )
    journal = Journal.of(asked, console)
    try:
        with journal.view:
            began = RunBegan(run=target.run, recipe=entry.name, directory=str(directory))
            journal.view.show(began)
            stopped = _to_the_end(asked, journal)
    except UsageError:
        shutil.rmtree(directory)
        raise
    result, facts = result_of(journal.last, stopped, journal.warned)
    stopper = Stopper(say=journal.say, doing="the results are being written")
    stopper.hold()  # else the exit code could say aborted, and results.json passed
    with stop_on_signals(journal.say, stopper=stopper):
        known = meta_of(journal.last).KNOWN_LEAKS
        result, problem = publish(result, facts, directory, journal.guard, known)
        if problem:
            console.print(plain(f"report   {problem}"), soft_wrap=True)
        show_result(console, result, directory)
        journal.view.show(_ended(result.verdict))
    return result


def _ended(verdict: Verdict) -> RunEnded:
    return RunEnded(
        outcome=verdict.outcome, exit_code=verdict.exit_code, stage=verdict.stage,
        cause=verdict.cause.partition("\n")[0],
    )  # fmt: skip


def _to_the_end(asked: Asked, journal: Journal) -> EndedBy | None:
    """Perform the run, clean up after it, and return what ended it outside any stage, if anything.

    Raises:
        UsageError: the call is wrong.
    """
    try:
        with stop_on_signals(journal.say) as stopper:
            with ExitStack() as stack:
                prepared = prepare(asked, journal, stack, stopper)
                studied = study(prepared, journal)
                perform(studied, journal, stack, stopper)
            stopper.release()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  every end of a run has its word
        return EndedBy.of(as_harness_error(error))
    return None
