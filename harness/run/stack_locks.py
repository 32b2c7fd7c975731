"""The locks of a run's stack, and of what all runs share on an engine, such as its backup bot.

Each is a file here, and a config where other hosts can deploy, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from harness.core.errors import UsageError
from harness.core.events import EventLine, LockEvent, LockState
from harness.core.settings import Settings
from harness.locks import file_lock as locks
from harness.locks import swarm_lock
from harness.platforms.base import Target
from harness.run import reaper
from harness.run.testbed import TestBed
from harness.swarm.states import NAMESPACE_LABEL
from harness.swarm.sweep import find


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLocks:
    """What a run holds. `target` has the scope of all who may find the run's leftovers."""

    target: Target
    shared: reaper.Shared
    file: locks.Held
    lease: swarm_lock.Lease | None

    def check(self) -> None:
        """Look whether the stack is still ours.

        Raises:
            LockLostError: somebody else may be at work on it by now.
        """
        self.file.check()
        if self.lease:
            self.lease.check()


def hold(
    stack: ExitStack,
    bed: TestBed,
    settings: Settings,
    target: Target,
    *,
    say: Callable[[str], None],
) -> StackLocks:
    """Take the locks of the target's stack, in the order that is the same for every run.

    Args:
        stack: gives them back, the last one first.
        bed: where the run is going to deploy.
        settings: which locks, where, and for how long to wait.
        target: the run's names.
        say: is told whom it waits for.

    Raises:
        LockTimeoutError: another run held one for too long.
    """
    shared = reaper.Shared.of(bed.client, settings.cache)
    reach = swarm_lock.wanted(settings.lock, bed.client, local=bed.engine.local)
    file, lease = _take(
        stack, reaper.stack_lock(target.stack), purpose=f"running {target.run}", run=target.run,
        shared=shared if reach else None, settings=settings, say=say, forget=target.random,
    )  # fmt: skip
    if lease is None:
        return StackLocks(target=target, shared=shared, file=file, lease=None)
    shared.held = True
    seen_by_all = replace(target, scope=shared.scope)
    return StackLocks(target=seen_by_all, shared=shared, file=file, lease=lease)


def refuse_foreign_stack(bed: TestBed, target: Target) -> None:
    """Refuse to deploy over something that is there already, and is not ours to remove.

    Raises:
        UsageError: there is a stack of that name.
    """
    there = find(bed.client, f"{NAMESPACE_LABEL}={target.stack}", nodes=bed.nodes)
    if there:
        raise UsageError(
            f"there is already a stack {target.stack}: {', '.join(str(item) for item in there)}",
            cause="somebody deployed it, or an earlier run kept it on purpose",
            hint="choose another --domain, or leave it out; `nox -s reap -- RUN` ends a kept run",
        )


@contextmanager
def hold_shared(
    name: str, held: StackLocks, settings: Settings, *, say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock of something that the runs on an engine share, for the length of the block.

    It reaches as far as the lock of the run's stack does.

    Args:
        name: the lock's name, safe as a file name.
        held: the locks of the run's stack.
        settings: where file locks lie, and for how long to wait.
        say: is told whom it waits for.

    Raises:
        LockTimeoutError: another run held it for too long.
    """
    run = held.target.run
    with ExitStack() as stack:
        _take(
            stack, name, purpose=f"the {name} for {run}", run=run,
            shared=held.shared if held.lease else None, settings=settings, say=say,
        )  # fmt: skip
        yield


def _take(
    stack: ExitStack,
    name: str,
    *,
    purpose: str,
    run: str,
    shared: reaper.Shared | None,
    settings: Settings,
    say: Callable[[str], None],
    forget: bool = False,
) -> tuple[locks.Held, swarm_lock.Lease | None]:
    """Take the lock of that name here, and in the Swarm where it is shared, in this order."""
    file = stack.enter_context(
        locks.hold(
            settings.cache / "locks", name, purpose=purpose,
            timeout=settings.lock_timeout, say=say, forget=forget,
        )
    )  # fmt: skip
    if shared is None:
        return file, None
    lease = stack.enter_context(
        swarm_lock.hold(
            shared.configs, name, run=run, purpose=purpose,
            timeout=settings.lock_timeout, say=say, place=shared.place, watch=shared.watch,
        )
    )  # fmt: skip
    say(EventLine(LockEvent(lock=name, state=LockState.HELD, swarm=True)))
    return file, lease
