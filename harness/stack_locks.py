"""The locks of a run's stack: a file here, and a config where other hosts can deploy, too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from harness import locks, reaper, swarm_lock
from harness.platforms.base import Target
from harness.settings import Settings
from harness.testbed import TestBed


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
    name, purpose = reaper.stack_lock(target.stack), f"running {target.run}"
    file = stack.enter_context(
        locks.hold(
            settings.cache / "locks", name, purpose=purpose,
            timeout=settings.lock_timeout, say=say, forget=target.random,
        )
    )  # fmt: skip
    shared = reaper.Shared.of(bed.client, settings.cache)
    if not swarm_lock.wanted(settings.lock, bed.client, local=bed.engine.local):
        return StackLocks(target=target, shared=shared, file=file, lease=None)
    lease = stack.enter_context(
        swarm_lock.hold(
            shared.configs, name, run=target.run, purpose=purpose,
            timeout=settings.lock_timeout, say=say, place=shared.place, watch=shared.watch,
        )
    )  # fmt: skip
    shared.held = True
    say(f"lock  {target.stack} is locked for all hosts of its Swarm")
    seen_by_all = replace(target, scope=shared.scope)
    return StackLocks(target=seen_by_all, shared=shared, file=file, lease=lease)
