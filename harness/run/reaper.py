"""Removing what dead runs left behind: found by label, judged by lock, removed, looked at again.

Everything that a run creates carries its id, its stack and its scope. There are two: the cache
directory (and so the file locks) and the host of whoever made it, or, for runs that hold a Swarm
lock, the Swarm. Only objects of these two are looked at; a run is dead when the lock of its stack
is free, or has expired; and a run that was kept on purpose is left alone until its time is over.
Nothing is ever found by name.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker

from harness.core.errors import LockTimeoutError, WaitTimeoutError
from harness.core.waiting import Deadline, stretched, wait_for
from harness.locks import file_lock as locks
from harness.locks import swarm_lock
from harness.locks.swarm_lock import Seen, Watch
from harness.platforms.base import Target
from harness.platforms.override import own_labels
from harness.swarm.configs import Configs, EngineConfigs
from harness.swarm.nodes import Nodes
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL, Found, Swept, find, sweep

SWEEP_SECONDS = 120.0
LONGEST_KEEP_SECONDS = 7 * 24 * 3600.0  # a note that says more was written by a wrong clock
STACK_NOTE = "stack"  # a file in a run's work directory that names its stack
DRAFT = ".new-"  # begins the name of a work directory that has no such file yet
RANDOM_LOCK = re.compile(r"stack-.+-[0-9a-f]{8}_test")  # of a domain made for one run alone
KEPT_LABEL = "ccci.kept-until"  # of a config that stands for a run which was kept
WATCH_NOTE = "swarm-locks.seen.json"  # below the lock files; what was seen of Swarm locks, and when


def scope(cache: Path) -> str:
    """Return the label value of this host's runs with this cache: 12 hex digits."""
    return hashlib.sha256(f"{socket.gethostname()}\0{cache}".encode()).hexdigest()[:12]


def stack_lock(stack: str) -> str:
    """Return the name of the lock that a run of that stack holds from its beginning to its end."""
    return f"stack-{stack}"


def note_of(run: str) -> str:
    """Return the name of the config that stands for a run which was kept."""
    return f"ccci-kept-{hashlib.sha256(run.encode()).hexdigest()[:12]}"


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
        """Write the note down, by the wall clock and by the one that nobody can set."""
        path = self.path(cache, self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        ticks = time.clock_gettime(time.CLOCK_BOOTTIME) + self.until - time.time()
        note = {
            "run": self.run, "until": self.until, "boot": locks.boot_id(), "ticks": ticks
        }  # fmt: skip
        path.write_text(json.dumps(note))

    @classmethod
    def holds(cls, cache: Path, run: str) -> bool:
        """Whether that run is to be left alone still, however the host's clock was set since."""
        try:
            note = json.loads(cls.path(cache, run).read_text())
            if note.get("boot") == locks.boot_id():
                return time.clock_gettime(time.CLOCK_BOOTTIME) < float(note["ticks"])
            return 0 < float(note["until"]) - time.time() <= LONGEST_KEEP_SECONDS
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def share(self, client: docker.DockerClient, target: Target) -> None:
        """Write the note down where every host of the Swarm reads it; it goes with the run."""
        name = note_of(target.run)
        EngineConfigs(client).create(name, {**own_labels(target), KEPT_LABEL: str(self.until)})

    @staticmethod
    def shared(run: str, found: tuple[Found, ...]) -> bool:
        """Whether one of a run's objects is such a note, and its time is not over.

        A label of that name on anything else was written by a recipe, and says nothing.
        """
        for item in found:
            if item.kind == "config" and item.name == note_of(run):
                with suppress(ValueError):
                    left = float(item.labels.get(KEPT_LABEL, "")) - time.time()
                    return 0 < left <= LONGEST_KEEP_SECONDS
        return False


@dataclass(kw_only=True)
class Shared:
    """What all hosts of a Swarm see of each other's runs.

    Args:
        configs: the Swarm's configs, which hold its locks.
        scope: the label value of runs that hold a Swarm lock: 12 hex digits of the Swarm's id.
        directory: where this host's file locks lie.
        held: whether the caller holds the Swarm lock of its stack, too.
        patient: whether to watch silent locks until it is known which of them have expired.
    """

    configs: Configs
    scope: str
    directory: Path
    held: bool = False
    patient: bool = False
    place: str = field(init=False)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        """Read what earlier calls on this host saw."""
        self.place = locks.place_of(self.directory)
        self.watch = Watch.load(self.directory / WATCH_NOTE)

    @classmethod
    def of(cls, client: docker.DockerClient, cache: Path, *, patient: bool = False) -> Shared:
        """Return what is shared on the Swarm of that manager."""
        swarm = client.api.inspect_swarm()["ID"]
        value = hashlib.sha256(f"swarm\0{swarm}".encode()).hexdigest()[:12]
        return cls(
            configs=EngineConfigs(client), scope=value, directory=cache / "locks", patient=patient
        )

    def locks(self) -> tuple[Seen, ...]:
        """Return the locks of stacks; released ones, left by whoever died there, are removed."""
        prefix = stack_lock("")
        every = [s for s in swarm_lock.every_lock(self.configs) if s.name.startswith(prefix)]
        for seen in every:
            if seen.released:
                self.configs.remove(seen.config.id)
        return tuple(seen for seen in every if not seen.released)

    def may_be_dead(self, stack: str) -> bool:
        """Whether nobody holds the Swarm lock of that stack, as far as is known here and now.

        A lock of our own place counts, too: the file lock decides.
        """
        seen = swarm_lock.look(self.configs, stack_lock(stack))
        if seen is None or seen.released or seen.place == self.place:
            return True
        return self.watch.expired(seen)

    def observe(self, seen: tuple[Seen, ...], say: Callable[[str], None]) -> None:
        """Take note of locks; if we are to be patient, until each moved, went away or expired."""

        def undecided() -> list[str]:
            return [
                one.name
                for one in (swarm_lock.look(self.configs, name) for name in names)
                if one and not (one.released or self.watch.expired(one))
                if not self.watch.moved(one.name)
            ]

        names = [s.name for s in seen if s.place != self.place and not self.watch.expired(s)]
        if not (names and self.patient):
            return
        longest = max(one.lease for one in seen)
        say(f"watching {len(names)} lock(s) of the Swarm, for {longest:g} s at most")
        deadline = Deadline.after(longest + 1.0, self.watch.clock)
        with suppress(WaitTimeoutError):
            wait_for(
                undecided, what="a sign of life", deadline=deadline,
                ready=lambda left: not left, interval=swarm_lock.POLL_SECONDS,
            )  # fmt: skip


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
    if work.exists():
        raise FileExistsError(work)
    # Whoever is killed here leaves a directory whose name says which lock it was made under.
    draft = work.with_name(DRAFT + target.stack)
    draft.mkdir(parents=True, exist_ok=True, mode=0o700)
    (draft / STACK_NOTE).write_text(target.stack)
    draft.rename(work)
    return work


def reap(
    client: docker.DockerClient,
    *,
    cache: Path,
    dry_run: bool = False,
    kept_too: frozenset[str] = frozenset(),
    held: str = "",
    shared: Shared | None = None,
    nodes: Nodes | None = None,
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
        shared: what runs on any host of the Swarm share; None looks at our own scope only.
        nodes: where there are other nodes, whose containers and volumes are looked at too.
        timeout: seconds for each run; what is still there then is listed.
        say: is told of every run that is reaped.
    """
    reaper = _Reaper(
        client=client, cache=cache, dry_run=dry_run, kept_too=kept_too, held=held,
        nodes=nodes, timeout=stretched(timeout),
    )  # fmt: skip
    reaped = reaper.each(_left_here(client, cache, nodes), None, say)
    if shared is not None:
        left = _left_on_the_swarm(client, shared, nodes, say)
        reaped += reaper.each(left, shared, say)
        names = frozenset(seen.name for seen in shared.locks())
        with suppress(OSError):  # it only saves the next one a wait
            shared.watch.save(shared.directory / WATCH_NOTE, names)
    if not dry_run:
        _forget(cache)
    return tuple(reaped)


def _forget(cache: Path) -> None:
    """Remove the notes and the locks of runs that died before they had made anything else."""
    locks.forget_dead(
        cache / "locks", f"{stack_lock('')}*", never_again=lambda n: bool(RANDOM_LOCK.fullmatch(n))
    )
    for path in (cache / "kept").glob("*.json"):
        if not Keep.holds(cache, path.stem):
            path.unlink(missing_ok=True)


_Runs = dict[tuple[str, str], list[Found]]  # by run and stack


def _left_here(client: docker.DockerClient, cache: Path, nodes: Nodes | None) -> _Runs:
    """Return what there is of this host's and this cache's runs."""
    runs = _by_run(find(client, f"{SCOPE_LABEL}={scope(cache)}", nodes=nodes))
    for work in (cache / "work").glob("*"):
        checkout = Found(kind="checkout", id=work.name, name=str(work), labels={})
        with suppress(OSError):  # a run that ends beside us removes its own
            drafted = work.name.startswith(DRAFT)
            stack = work.name.removeprefix(DRAFT) if drafted else (work / STACK_NOTE).read_text()
            runs[work.name, stack].append(checkout)
    return runs


def _left_on_the_swarm(
    client: docker.DockerClient, shared: Shared, nodes: Nodes | None, say: Callable[[str], None]
) -> _Runs:
    """Return what there is of runs that hold, or held, a Swarm lock; their locks included."""
    runs = _by_run(find(client, f"{SCOPE_LABEL}={shared.scope}", nodes=nodes))
    held = shared.locks()
    shared.observe(held, say)
    for seen in held:
        lock = Found(kind="lock", id=seen.config.id, name=seen.config.name, labels={})
        runs[seen.run, seen.name.removeprefix(stack_lock(""))].append(lock)
    return runs


def _by_run(found: tuple[Found, ...]) -> _Runs:
    runs: _Runs = defaultdict(list)
    for item in found:
        runs[item.labels.get(RUN_LABEL, ""), item.labels.get(STACK_LABEL, "")].append(item)
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reaper:
    """One call of `reap`, with what it was given."""

    client: docker.DockerClient
    cache: Path
    dry_run: bool
    kept_too: frozenset[str]
    held: str
    nodes: Nodes | None
    timeout: float

    def each(self, runs: _Runs, shared: Shared | None, say: Callable[[str], None]) -> list[Reaped]:
        """Reap each of these runs that is dead, and return what was found of it."""
        reaped = []
        for (run, stack), found in sorted(runs.items()):
            result = self._one(run, stack, tuple(found), shared) if run and stack else None
            if result is not None:
                say(str(result))
                reaped.append(result)
        return reaped

    def _one(
        self, run: str, stack: str, found: tuple[Found, ...], shared: Shared | None
    ) -> Reaped | None:
        """Reap one run, or return None when it is kept, or alive: somebody holds its lock."""
        directory, name = self.cache / "locks", stack_lock(stack)
        ours = stack == self.held
        ours_on_the_swarm = shared is None or (ours and shared.held)
        # Looked at first, because a file lock of each live run elsewhere would be made here.
        if shared and not ours_on_the_swarm and not shared.may_be_dead(stack):
            return None
        if ours_on_the_swarm and shared and all(item.kind == "lock" for item in found):
            return None  # the caller's own lock
        if self.dry_run:
            free = ours or locks.is_free(directory, name)
            spared = not free or self._kept(run, found)
            return None if spared else Reaped(run=run, stack=stack, found=found, swept=None)
        purpose = f"removing what {run} left"
        try:
            with ExitStack() as stacked:
                if not ours:
                    stacked.enter_context(
                        locks.hold(
                            directory, name, purpose=purpose, timeout=0, say=lambda _: None,
                            forget=f"-{run.rpartition('-')[2]}_" in stack,
                        )
                    )  # fmt: skip
                if shared and not ours_on_the_swarm:
                    stacked.enter_context(
                        swarm_lock.hold(
                            shared.configs, name, run=run, purpose=purpose, timeout=0,
                            say=lambda _: None, place=shared.place, watch=shared.watch,
                        )
                    )  # fmt: skip
                # Asked under the lock: a run says that it is kept just before it frees its own.
                if self._kept(run, find(self.client, f"{RUN_LABEL}={run}")):
                    return None
                swept = sweep(self.client, run, timeout=self.timeout, nodes=self.nodes)
                shutil.rmtree(self.cache / "work" / run, ignore_errors=True)
        except LockTimeoutError:
            return None
        Keep.path(self.cache, run).unlink(missing_ok=True)
        return Reaped(run=run, stack=stack, found=found, swept=swept)

    def _kept(self, run: str, found: tuple[Found, ...]) -> bool:
        """Whether a run is left alone because somebody wanted to keep it."""
        if run in self.kept_too:
            return False
        return Keep.holds(self.cache, run) or Keep.shared(run, found)
