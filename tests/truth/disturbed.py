"""One run of the harness that is disturbed on purpose: `python -m tests.truth.disturbed --help`.

The harness runs in this very process, with the act of a vandal at the moments that lie around every
op: a delay, a container killed or restarted, a forced update, processors kept busy. What is done
when is drawn from a seed, so a run can be repeated. `disturbed.jsonl` in the run's directory has an
entry for each act.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from docker.models.containers import Container
from docker.models.services import Service

from harness.__main__ import main as harness_main
from harness.core import event_log
from harness.core.events import Doing, Step
from harness.core.ledger import Op
from harness.core.model import Stage
from harness.run.journal import Journal
from harness.run.prepared import Prepared
from harness.stages.context import Context
from harness.stages.pages import Pages
from harness.swarm.readiness import Before
from harness.swarm.states import NAMESPACE_LABEL, StackSnapshot

TASK_LABEL = "com.docker.swarm.task.id"
SERVICE_LABEL = "com.docker.swarm.service.name"
FILE = "disturbed.jsonl"  # in the run's directory
LONGEST_DELAY = 1.0  # seconds
BURNERS = 2


class Vandal:
    """Disturbs one run; acts are drawn from the seed in the order of the moments.

    Args:
        seed: what all is drawn from.
        cycle: instead of that, kill a container after each backup and restore, and do no more: so
            does a backup program that stops what it backs up.
    """

    def __init__(self, seed: int, *, cycle: bool = False) -> None:
        self._random = random.Random(seed)  # noqa: S311  it has to be had again, not be secret
        self._cycle = cycle
        self.busy = not cycle and self._random.random() < 0.5

    def moment(self, journal: Journal, doing: Doing) -> None:
        """Do something at that step of the run, or nothing."""
        acts, run = self._acts(doing), journal.last
        if acts and isinstance(run, Prepared):
            act = self._random.choice(acts)
            done = f"{doing}: {act(run)}"
            event_log.append(run.directory / FILE, {"event": "disturbed", "act": done})
            journal.say(f"disturbed  at {done}")

    def _acts(self, doing: Doing) -> list[Callable[[Prepared], str]]:
        after_a_backup = doing.step is Step.WAIT and doing.stage is not None
        if self._cycle:
            return [self._kill] if after_a_backup else []
        if doing.step is Step.SETTLED or after_a_backup:
            # Between two ops, and between a backup or a restore and the wait that belongs to it.
            return [
                self._nothing,
                self._delay,
                self._delay,
                self._kill,
                self._restart,
                self._force_update,
            ]
        if doing == Doing(step=Step.WAIT, about=Op.DEPLOY):
            return [self._delay, self._kill]
        if doing in (Doing(step=Step.WAIT, about=Op.REDEPLOY), *_BEFORE_AN_ACT):
            # A container killed in mid-update is a failed update to Swarm, which rolls it back.
            return [self._delay]
        return []

    def _nothing(self, _run: Prepared) -> str:
        return "nothing, this time"

    def _delay(self, _run: Prepared) -> str:
        seconds = self._random.uniform(0, LONGEST_DELAY)
        time.sleep(seconds)
        return f"{seconds:.1f} s of nothing"

    def _kill(self, run: Prepared) -> str:
        container = self._container(run)
        if container is None:
            return "there was no container to kill"
        container.kill()
        return f"killed {container.name}"

    def _restart(self, run: Prepared) -> str:
        container = self._container(run)
        if container is None or not _comes_back(_service(run, container)):
            return self._kill(run)  # Swarm would take its good end for the end of its work
        container.restart(timeout=5)
        return f"restarted {container.name}"

    def _force_update(self, run: Prepared) -> str:
        services = sorted(_services(run), key=lambda service: str(service.name))
        service = self._random.choice(services)
        service.force_update()  # type: ignore[no-untyped-call]  # the stubs lack it
        return f"forced an update of {service.name}"

    def _container(self, run: Prepared) -> Container | None:
        label = f"{NAMESPACE_LABEL}={run.target.stack}"
        found = run.bed.client.containers.list(filters={"label": [label, TASK_LABEL]})
        return self._random.choice(sorted(found, key=lambda one: str(one.name))) if found else None


_BEFORE_AN_ACT = tuple(
    Doing(step=Step.OP, stage=stage) for stage in (Stage.UPGRADE, Stage.BACKUP, Stage.RESTORE)
)


def _services(run: Prepared) -> list[Service]:
    found: list[Service] = run.bed.client.services.list(
        filters={"label": f"{NAMESPACE_LABEL}={run.target.stack}"}
    )
    return found


def _service(run: Prepared, container: Container) -> Service:
    return next(s for s in _services(run) if s.name == container.labels[SERVICE_LABEL])


def _comes_back(service: Service) -> bool:
    policy = service.attrs["Spec"]["TaskTemplate"].get("RestartPolicy") or {}
    return bool(policy.get("Condition", "any") == "any")


def _burn() -> None:
    while True:
        sum(range(10_000))


def _unsettled(context: Context, _before: Before, *, timeout: float = 0.0) -> StackSnapshot:
    """Take one look instead of waiting until the stack has settled."""
    del timeout
    return context.look()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness, disturbed; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.truth.disturbed", allow_abbrev=False)
    parser.add_argument(
        "--seed", type=int, help="disturb the run; without it, nothing is disturbed"
    )
    parser.add_argument(
        "--cycle", action="store_true", help="kill the app's container after backup and restore"
    )
    parser.add_argument(
        "--burn", action="store_true", help="keep processors busy, for half of the seeds"
    )
    parser.add_argument(
        "--unsettled", action="store_true", help="leave the settle step out, to see what notices"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, help="what the harness is called with")
    options = parser.parse_args(argv)
    words = [word for word in options.words if word != "--"]
    patches: list[Any] = []
    if options.seed is not None or options.cycle:
        vandal = Vandal(options.seed or 0, cycle=options.cycle)
        original = Journal.step

        @functools.wraps(original)
        def step(journal: Journal, doing: Doing) -> None:
            original(journal, doing)
            vandal.moment(journal, doing)

        patches.append(mock.patch.object(Journal, "step", step))
        for _ in range(BURNERS if options.burn and vandal.busy else 0):
            multiprocessing.Process(target=_burn, daemon=True).start()
    if options.unsettled:
        patches.append(mock.patch.object(Context, "settle", _unsettled))
        patches.append(mock.patch.object(Pages, "wait"))
    for patch in patches:
        patch.start()
    return harness_main(words)


if __name__ == "__main__":
    sys.exit(main())
