"""Removing what dead runs left behind: found by label, judged by lock, removed, looked at again.

Everything that a run creates carries its id, its stack and the scope: the cache directory (and so
the locks) and the host of whoever made it. Only objects of our own scope are looked at; a run is
dead when the lock of its stack is free; and a run that was kept on purpose is left alone until its
time is over. Nothing is ever found by name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import docker

from harness import locks
from harness.docker.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL, Found, Swept, find, sweep
from harness.errors import LockTimeoutError
from harness.platforms.base import Target

SWEEP_SECONDS = 120.0
STACK_NOTE = "stack"  # a file in a run's work directory that names its stack


def scope(cache: Path) -> str:
    """Return the label value of this host's runs with this cache: 12 hex digits."""
    return hashlib.sha256(f"{socket.gethostname()}\0{cache}".encode()).hexdigest()[:12]


def stack_lock(stack: str) -> str:
    """Return the name of the lock that a run of that stack holds from its beginning to its end."""
    return f"stack-{stack}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """A run that was left up on purpose, until that moment (seconds since 1970)."""

    run: str
    until: float

    @classmethod
    def path(cls, cache: Path, run: str) -> Path:
        """Return where the note about it lies."""
        return cache / "kept" / f"{run}.json"

    def write(self, cache: Path) -> None:
        """Write the note down."""
        path = self.path(cache, self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run": self.run, "until": self.until}))

    @classmethod
    def holds(cls, cache: Path, run: str) -> bool:
        """Whether that run is to be left alone still."""
        try:
            until = float(json.loads(cls.path(cache, run).read_text())["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return time.time() < until


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """One dead run: what there was of it, and what the sweep did (None when it was only looked)."""

    run: str
    stack: str
    found: tuple[Found, ...]
    swept: Swept | None

    def __str__(self) -> str:
        """Return it as one line."""
        if self.swept is None:
            return f"{self.run}: would remove {', '.join(str(item) for item in self.found)}"
        removed = ", ".join(f"{n} {kind}(s)" for kind, n in self.swept.removed.items()) or "nothing"
        left = f"; could not remove {', '.join(self.swept.left)}" if self.swept.left else ""
        return f"{self.run}: removed {removed}{left}"


def running(cache: Path) -> tuple[str, ...]:
    """Return the stacks that somebody is running right now, by their locks."""
    directory, prefix, suffix = cache / "locks", stack_lock(""), locks.lock_path(Path(), "").name
    names = sorted(path.name.removesuffix(suffix) for path in directory.glob(f"{prefix}*{suffix}"))
    return tuple(name.removeprefix(prefix) for name in names if not locks.is_free(directory, name))


def make_work(cache: Path, target: Target) -> Path:
    """Make the directory for a run's checkout, which is removed with the run, and return it."""
    work = cache / "work" / target.run
    work.mkdir(parents=True, mode=0o700)
    (work / STACK_NOTE).write_text(target.stack)
    return work


def reap(
    client: docker.DockerClient,
    *,
    cache: Path,
    dry_run: bool = False,
    kept_too: frozenset[str] = frozenset(),
    held: str = "",
    timeout: float = SWEEP_SECONDS,
    say: Callable[[str], None],
) -> tuple[Reaped, ...]:
    """Remove everything of dead runs, and return what was found of each.

    Args:
        client: a client of a manager's engine.
        cache: the cache directory, with the locks.
        dry_run: only look.
        kept_too: runs that are removed although they were kept on purpose.
        held: the stack whose lock the caller holds, so that nobody else can be running it.
        timeout: seconds for each run; what is still there then is listed.
        say: is told of every run that is reaped.
    """
    runs: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for item in find(client, f"{SCOPE_LABEL}={scope(cache)}"):
        runs[item.labels.get(RUN_LABEL, ""), item.labels.get(STACK_LABEL, "")].append(item)
    for note in (cache / "work").glob("*/" + STACK_NOTE):
        checkout = Found(kind="checkout", id=note.parent.name, name=str(note.parent), labels={})
        with suppress(FileNotFoundError):  # a run that ends beside us removes its own
            runs[note.parent.name, note.read_text()].append(checkout)
    reaped = []
    for (run, stack), found in sorted(runs.items()):
        if not run or not stack:
            continue
        result = _reap_one(
            client, cache, run, stack, tuple(found),
            dry_run=dry_run, held=stack == held, kept_too=run in kept_too, timeout=timeout,
        )  # fmt: skip
        if result is not None:
            say(str(result))
            reaped.append(result)
    return tuple(reaped)


def _reap_one(
    client: docker.DockerClient,
    cache: Path,
    run: str,
    stack: str,
    found: tuple[Found, ...],
    *,
    dry_run: bool,
    held: bool,
    kept_too: bool,
    timeout: float,
) -> Reaped | None:
    """Reap one run, or return None when it is kept, or alive: somebody holds its stack's lock."""
    directory, name = cache / "locks", stack_lock(stack)
    if dry_run:
        free = held or locks.is_free(directory, name)
        spared = not free or (Keep.holds(cache, run) and not kept_too)
        return None if spared else Reaped(run=run, stack=stack, found=found, swept=None)
    try:
        lock = locks.hold(
            directory, name, purpose=f"removing what {run} left", timeout=0, say=lambda _: None
        )
        with nullcontext() if held else lock:
            # Asked under the lock: a run says that it is to be kept just before it frees its own.
            if Keep.holds(cache, run) and not kept_too:
                return None
            swept = sweep(client, run, timeout=timeout)
            shutil.rmtree(cache / "work" / run, ignore_errors=True)
    except LockTimeoutError:
        return None
    Keep.path(cache, run).unlink(missing_ok=True)
    if f"-{run.rpartition('-')[2]}_" in stack and not held:
        locks.forget(directory, name)
    return Reaped(run=run, stack=stack, found=found, swept=swept)
