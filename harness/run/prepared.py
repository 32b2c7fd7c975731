"""All that a run needs before it touches the recipe: what deploys, the engine, the locks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import AbraError
from harness.core.events import Doing, Step
from harness.core.settings import Settings
from harness.core.signals import Stopper
from harness.platforms.abra.platform import SERVER
from harness.platforms.abra.program import Abra, detect
from harness.run import reaper, stack_locks, testbed
from harness.run.asked import Asked
from harness.run.journal import Journal
from harness.run.stack_locks import StackLocks
from harness.run.testbed import TestBed

REAP_SECONDS = 15.0  # for each dead run: what cannot be removed must not hold up the living


@dataclass(frozen=True, kw_only=True)
class Chosen(Asked):
    """And what deploys it: abra, or None for the harness itself."""

    abra: Abra | None


@dataclass(frozen=True, kw_only=True)
class Found(Chosen):
    """And the engine that it is deployed on."""

    bed: TestBed


@dataclass(frozen=True, kw_only=True)
class Prepared(Found):
    """And the locks of its stack, with a directory of the run's own."""

    locks: StackLocks
    work: Path


def prepare(asked: Asked, journal: Journal, stack: ExitStack, stopper: Stopper) -> Prepared:
    """Return the run with all that it needs; the stack gives the locks back at its end.

    Raises:
        HarnessError: something of it cannot be had.
        UsageError: a stack of that name is there already.
    """
    settings, say = asked.settings, journal.say
    abra = abra_for(settings, asked.environ, say=say)
    chosen = journal.finished(Chosen(**vars(asked), abra=abra))
    if abra:
        say(f"platform  {abra} deploys")
    journal.step(Doing(step=Step.ENGINE))
    bed = testbed.prepare(settings, asked.environ, say=say)
    found = journal.finished(Found(**vars(chosen), bed=bed))
    rows = [f"{row.name} {row.value}" for row in bed.preflight.rows]
    say(f"preflight  all well: {'; '.join(rows)}")
    held = stack_locks.hold(stack, bed, settings, asked.target, say=say)
    target = held.target
    stopper.allow(settings.run_timeout * settings.timeout_factor)
    reaper.reap(
        bed.client, cache=settings.cache, held=target.stack, shared=held.shared,
        nodes=bed.nodes, timeout=REAP_SECONDS, say=lambda line: say(f"left over  {line}"),
    )  # fmt: skip
    stack_locks.refuse_foreign_stack(bed, target)
    work = reaper.make_work(settings.cache, target)
    stack.callback(shutil.rmtree, work, ignore_errors=True)
    known = {**vars(found), "target": target}
    return journal.finished(Prepared(**known, locks=held, work=work))


def abra_for(
    settings: Settings, environ: Mapping[str, str], *, say: Callable[[str], None]
) -> Abra | None:
    """Return the abra that is to deploy, or None where the harness does so itself.

    Raises:
        AbraError: it was asked for by name, and is missing or of no use.
    """
    if settings.platform == "swarm":
        return None
    if settings.platform == "abra":
        return detect(environ, settings.cache)
    if not _has_server(environ):
        return None
    try:
        return detect(environ, settings.cache)
    except AbraError as error:
        say(f"platform  swarm: {error.what}")
        return None


def _has_server(environ: Mapping[str, str]) -> bool:
    """Whether `abra server add --local` was called here: a server that is this machine's engine."""
    home = Path(environ.get("HOME", "/root"))
    directory = Path(environ.get("ABRA_DIR") or home / ".abra")
    return (directory / "servers" / SERVER).is_dir()
