"""The end of a run: keep what is worth keeping of the app, then remove it, whatever came before.

A teardown has its own verdict, and nothing that goes wrong in it is raised: it would hide what went
wrong in the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.core.ledger import Ledger, Op
from harness.core.model import Outcome, TeardownResult
from harness.core.settings import Settings
from harness.core.waiting import stretched
from harness.platforms.base import Target
from harness.run import reaper
from harness.run.testbed import TestBed
from harness.swarm.diagnose import collect_logs, diagnosis, failed_checks
from harness.swarm.faults import as_harness_error
from harness.swarm.snapshot import read_stack
from harness.swarm.sweep import Swept, sweep

REMOVE_SECONDS = 120.0
KEEP_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Teardown:
    """Ends one run.

    Args:
        bed: the engine that it ran on.
        target: where it was deployed.
        settings: what was asked for.
        directory: the run's directory.
        shared: whether other hosts clean up after this run, so that they have to be told.
    """

    bed: TestBed
    target: Target
    settings: Settings
    directory: Path
    shared: bool = False

    def diagnose(self, *, scrub: Callable[[str, str], str]) -> tuple[str, ...]:
        """Write the services' logs down, and return what a person wants to see of a failure."""
        try:
            look = read_stack(self.bed.nodes, self.target.stack, patient=True)
            logs = collect_logs(self.bed.nodes, look, self.directory / "logs", scrub=scrub)
            return (*failed_checks(self.bed.nodes, look), *diagnosis(look, logs))
        except Exception as error:  # noqa: BLE001  nothing may keep the removal from happening
            return (f"the logs could not be collected: {as_harness_error(error).what}",)

    def remove(self) -> TeardownResult:
        """Remove everything of the run, and look until it is gone."""
        began = time.monotonic()
        ledger = Ledger(self.directory / "ledger.jsonl")
        timeout = stretched(REMOVE_SECONDS)
        try:
            with suppress(OSError):  # a full disk keeps no run from being removed
                ledger.begin(Op.UNDEPLOY)
            swept = sweep(self.bed.client, self.target.run, timeout=timeout, nodes=self.bed.nodes)
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

    def keep(self) -> TeardownResult:
        """Leave the app up for a while, noted down so that no clean-up takes it."""
        keep = reaper.Keep(run=self.target.run, until=time.time() + KEEP_SECONDS)
        if self.shared:
            keep.share(self.bed.client, self.target)
        else:
            keep.write(self.settings.cache)
        hours = KEEP_SECONDS / 3600
        reason = f"kept for {hours:g} hours; `nox -s reap -- {self.target.run}` removes it"
        return TeardownResult(outcome=Outcome.SKIPPED, reason=reason)
