"""The end of a run: keep what is worth keeping of the app, then remove it, whatever came before.

A teardown has its own verdict, and nothing that goes wrong in it is raised: it would hide what went
wrong in the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from harness.core.events import AppKept, Doing, Step
from harness.core.ledger import Ledger, Op
from harness.core.model import Outcome, TeardownResult
from harness.core.waiting import stretched
from harness.platforms.base import Platform
from harness.run import reaper
from harness.run.journal import Journal
from harness.run.prepared import Prepared
from harness.swarm.diagnose import collect_logs, diagnosis, failed_checks
from harness.swarm.faults import as_harness_error
from harness.swarm.snapshot import read_stack
from harness.swarm.sweep import RUN_LABEL, Swept, sweep

REMOVE_SECONDS = 120.0
KEEP_SECONDS = 24 * 3600.0


def tear_down(run: Prepared, platform: Platform, journal: Journal) -> TeardownResult:
    """Remove the app, or keep it; return how that went.

    Raises:
        OSError: the app was kept, and no note of that could be made.
        APIError: the same, where the note is a config of the Swarm.
    """
    if run.settings.keep:
        journal.step(Doing(step=Step.KEEP))
        result = keep(run)
        look = f"docker ps --filter label={RUN_LABEL}={run.target.run}"
        remove_it = f"{run.nox} -s reap -- {run.target.run}"
        journal.view.show(AppKept(engine=run.bed.engine.host, look=look, remove=remove_it))
        return result
    journal.step(Doing(step=Step.TEARDOWN))
    try:
        platform.undeploy()
    except Exception as error:  # noqa: BLE001  what it leaves is found by its labels
        journal.say(f"teardown  {as_harness_error(error).what}")
    return remove(run)


def diagnose(run: Prepared, *, scrub: Callable[[str, str], str]) -> tuple[str, ...]:
    """Write the services' logs down, and return what a person wants to see of a failure."""
    try:
        look = read_stack(run.bed.nodes, run.target.stack, patient=True)
        logs = collect_logs(run.bed.nodes, look, run.directory / "logs", scrub=scrub)
        return (*failed_checks(run.bed.nodes, look), *diagnosis(look, logs))
    except Exception as error:  # noqa: BLE001  nothing may keep the removal from happening
        return (f"the logs could not be collected: {as_harness_error(error).what}",)


def remove(run: Prepared) -> TeardownResult:
    """Remove everything of the run, and look until it is gone."""
    began = time.monotonic()
    ledger = Ledger(run.directory / "ledger.jsonl")
    timeout = stretched(REMOVE_SECONDS)
    try:
        with suppress(OSError):  # a full disk keeps no run from being removed
            ledger.begin(Op.UNDEPLOY)
        swept = sweep(run.bed.client, run.target.run, timeout=timeout, nodes=run.bed.nodes)
        with suppress(OSError):
            ledger.end(Op.UNDEPLOY, removed=dict(swept.removed), left=list(swept.left))
    except Exception as error:  # noqa: BLE001  a teardown has its own verdict
        swept = Swept(removed={}, left=("what could not be looked at",))
        reason = f"the teardown failed: {as_harness_error(error)}"
    else:
        reason = f"could not remove {', '.join(swept.left)}" if swept.left else ""
    return TeardownResult(
        outcome=Outcome.ERROR if swept.left else Outcome.PASSED,
        reason=f"{reason}; `nox -s reap` tries again" if reason else "",
        seconds=time.monotonic() - began,
        removed=swept.removed,
        left=swept.left,
    )


def keep(run: Prepared) -> TeardownResult:
    """Leave the app up for a while, noted down so that no clean-up takes it."""
    keep = reaper.Keep(run=run.target.run, until=time.time() + KEEP_SECONDS)
    if run.locks.lease:
        keep.share(run.bed.client, run.target)
    else:
        keep.write(run.settings.cache)
    hours = KEEP_SECONDS / 3600
    reason = f"kept for {hours:g} hours; `nox -s reap -- {run.target.run}` removes it"
    return TeardownResult(outcome=Outcome.SKIPPED, reason=reason)
