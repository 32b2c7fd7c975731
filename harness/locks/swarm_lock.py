"""A lock that every host of a Swarm sees: one config, changed only by compare-and-swap.

A config goes through these states, and no other::

    created, held by A  ->  held by B (expired, taken over)  ->  ...  ->  released  ->  removed

A name belongs to at most one config, and each change names the version that it changes, so that at
any moment there is at most one owner. Held configs are never removed: only released ones are, and
a released one is never held again. So a removal that comes late removes nothing that is held.

A lock has expired when its version stood still for the length of its lease on the *observer's*
monotonic clock: clocks are never compared between hosts. The holder counts from before its renewal
was sent, hence gives up before anybody else may begin.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import docker

from harness.core.errors import LockLostError, LockTimeoutError, TestBedError
from harness.core.events import EventLine, LockEvent, LockState
from harness.core.waiting import SYSTEM_CLOCK, Clock, Deadline, Interruptible, stretched
from harness.locks.file_lock import REPEAT_NOTICE_SECONDS, boot_id
from harness.swarm.configs import Config, Configs
from harness.swarm.faults import ENGINE_ERRORS, as_harness_error

LEASE_SECONDS = 60.0
LONGEST_LEASE = 3600.0
BEATS = 4  # renewals per lease
POLL_SECONDS = 0.25
TRIES = 5  # when somebody else was faster
PREFIX = "ccci-lock-"
LOCK_LABEL = "ccci.lock"  # its value is the lock's name; nothing that a sweep looks for
OWNER, HOST, RUN, PURPOSE, PLACE, SINCE, HEARTBEAT, LEASE = (
    f"{LOCK_LABEL}.{word}"
    for word in ("owner", "host", "run", "purpose", "place", "since", "heartbeat", "lease")
)
RELEASED = ""  # the owner of a lock that nobody will ever hold again

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a lock. `lease` is in seconds; `since` is by the holder's clock, for people."""

    config: Config
    name: str
    owner: str
    run: str
    host: str
    purpose: str
    place: str
    since: str
    lease: float

    @property
    def released(self) -> bool:
        """Whether it is over with this config: whoever comes by removes it."""
        return self.owner == RELEASED

    def __str__(self) -> str:
        """Return the holder as the terminal shows it."""
        return f"{self.run} on {self.host}, since {self.since}, {self.purpose}"

    @classmethod
    def of(cls, config: Config) -> Seen:
        """Read a lock.

        Raises:
            TestBedError: the config is somebody else's, which has the name of a lock.
        """
        labels = config.labels
        if OWNER not in labels or LOCK_LABEL not in labels:
            raise TestBedError(
                f"the Swarm config {config.name} has the name of a lock but is not one",
                cause="somebody made it by hand, or changed its labels",
                hint=f"docker config inspect {config.name}; remove it if nobody needs it",
            )
        words = {
            word: labels.get(f"{LOCK_LABEL}.{word}", "")
            for word in ("owner", "run", "host", "purpose", "place", "since")
        }
        lease = _lease_of(labels)
        return cls(config=config, name=labels[LOCK_LABEL], lease=lease, **words)


def _lease_of(labels: Mapping[str, str]) -> float:
    """Return how long the holder may be silent, as it promised itself."""
    with suppress(ValueError):
        lease = float(labels.get(LEASE, ""))
        if 0 < lease <= LONGEST_LEASE:
            return lease
    return LEASE_SECONDS


def config_name(name: str) -> str:
    """Return the name of the config that is the lock of that name, within Swarm's 64 characters."""
    return PREFIX + name


def look(configs: Configs, name: str) -> Seen | None:
    """Return who holds the lock of that name, or None when there is none."""
    config = configs.find(config_name(name))
    return Seen.of(config) if config else None


def every_lock(configs: Configs) -> tuple[Seen, ...]:
    """Return every lock of the Swarm."""
    found = configs.with_label(LOCK_LABEL)
    return tuple(Seen.of(config) for config in found if OWNER in config.labels)


def wanted(mode: str, client: docker.DockerClient, *, local: bool) -> bool:
    """Return whether runs have to take a Swarm lock beside the file lock.

    Args:
        mode: the setting: "auto", "local" or "swarm".
        client: a client of a manager's engine.
        local: whether the engine is behind a socket of this machine.
    """
    if mode != "auto":
        return mode == "swarm"
    return not local or len(client.api.nodes()) > 1


@dataclass(kw_only=True)
class Watch:
    """How long each lock has stood still, as seen from here and by this host's monotonic clock."""

    clock: Clock = SYSTEM_CLOCK
    _first: dict[str, tuple[str, int, float]] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)

    def expired(self, seen: Seen) -> bool:
        """Take note of a look, and return whether the lock has stood still for its whole lease."""
        now = self.clock.monotonic()
        identity, version, since = self._first.get(seen.name, ("", -1, now))
        if (identity, version) != (seen.config.id, seen.config.version):
            if identity:
                self._moved.add(seen.name)
            self._first[seen.name] = (seen.config.id, seen.config.version, now)
            return False
        return now - since >= seen.lease

    def moved(self, name: str) -> bool:
        """Whether the lock of that name was seen to change: its holder is alive."""
        return name in self._moved

    @classmethod
    def load(cls, path: Path, clock: Clock = SYSTEM_CLOCK) -> Watch:
        """Return what an earlier process of this host saw; nothing after a restart of the host."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            note = json.loads(path.read_text())
            if note["boot"] == boot_id():
                now = clock.monotonic()
                first = {
                    str(name): (str(identity), int(version), min(float(since), now))
                    for name, (identity, version, since) in note["seen"].items()
                }
                return cls(clock=clock, _first=first)
        return cls(clock=clock)

    def save(self, path: Path, names: frozenset[str]) -> None:
        """Write down what was seen of those locks, for the next process on this host."""
        seen = {name: first for name, first in self._first.items() if name in names}
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        draft.write_text(json.dumps({"boot": boot_id(), "seen": seen}))
        draft.replace(path)


@dataclass(kw_only=True)
class Lease:
    """A lock that is held, renewed by a thread of its own until it is released or lost.

    Args:
        configs: the Swarm's configs.
        name: the lock's name.
        labels: what the config says of the holder.
        lease: seconds without a renewal after which others may take it over.
    """

    configs: Configs
    name: str
    labels: Mapping[str, str]
    lease: float = LEASE_SECONDS
    clock: Clock = SYSTEM_CLOCK
    _id: str = ""
    _renewed: float = 0.0
    _lost: str = ""
    # One that its own thread can take twice: a signal may strike between its taking and the block.
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _stop: Interruptible = field(default_factory=Interruptible)

    @property
    def owner(self) -> str:
        """What no other holder, of this lock or of any, has as its owner."""
        return self.labels[OWNER]

    def check(self) -> None:
        """Make sure that the lock is ours still, by renewing it.

        The renewal goes through the managers' log: it succeeds only if nobody has taken the lock
        since the last one, however long ago that was and whatever the clocks say.

        Raises:
            LockLostError: somebody took it over, or it could not be renewed for too long.
        """
        with self._guard:
            try:
                self._renew()
            except ENGINE_ERRORS as error:
                self._give_up_late(error)
                if not self._lost:
                    raise
        if self._lost:
            raise LockLostError(
                f"lost the lock '{self.name}': {self._lost}",
                cause=f"this run was suspended, or could not reach the Swarm, for {self.lease:g} s",
                hint="run again; this run's leavings are removed by their label",
            )

    def try_to_take(self, watch: Watch, place: str) -> str:
        """Take the lock if it is free, released or expired; return "" or who holds it."""
        name = config_name(self.name)
        for _ in range(TRIES):
            began = self.clock.monotonic()
            config = self.configs.find(name)
            if config is None:
                taken = self.configs.create(name, self._dated())
            else:
                seen = Seen.of(config)
                if seen.released:
                    self.configs.remove(config.id)
                    continue
                # A file lock of this place is held by the caller, so its former holder is dead.
                if not (place and seen.place == place) and not watch.expired(seen):
                    return str(seen)
                taken = config.id if self.configs.update(config, self._dated()) else ""
            if taken:
                self._id, self._renewed = taken, began
                return ""
        return "somebody who was faster"

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lock in the background for the length of the block."""
        thread = threading.Thread(target=self._beat, name=f"renew {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.interrupt()

    def release(self) -> None:
        """Give the lock back, unless somebody else has it: nothing of theirs is touched."""
        self._stop.interrupt()
        with self._guard:
            for _ in range(TRIES):
                config = self.configs.find(self._id or config_name(self.name))
                if config is None or config.labels.get(OWNER) != self.owner:
                    return
                if self.configs.update(config, {**self.labels, OWNER: RELEASED}):
                    self.configs.remove(config.id)
                    return

    def _beat(self) -> None:
        while not self._stop.pause(self.lease / BEATS):
            with self._guard:
                try:
                    self._renew()
                except ENGINE_ERRORS as error:
                    self._give_up_late(error)
                if self._lost:
                    return

    def _give_up_late(self, error: Exception) -> None:
        """Count the lock as lost when nothing was heard of it for so long that it may be."""
        if self.clock.monotonic() - self._renewed >= self.lease:
            self._lost = f"it could not be renewed: {as_harness_error(error).what}"

    def _renew(self) -> None:
        for _ in range(TRIES):
            if self._lost:
                return
            began = self.clock.monotonic()
            config = self.configs.find(self._id)
            if config is None:
                self._lost = "its config was removed"
            elif config.labels.get(OWNER) != self.owner:
                known = config.labels.get(OWNER) and LOCK_LABEL in config.labels
                self._lost = "it was taken over" + (f" by {Seen.of(config)}" if known else "")
            elif self.configs.update(config, self._dated()):
                self._renewed = began
                return
        self._lost = self._lost or "its config is changed by somebody else"

    def _dated(self) -> dict[str, str]:
        return {**self.labels, HEARTBEAT: _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def hold(
    configs: Configs,
    name: str,
    *,
    run: str,
    purpose: str,
    timeout: float,
    say: Say,
    place: str = "",
    lease: float = LEASE_SECONDS,
    watch: Watch | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Lease]:
    """Hold the Swarm's lock of that name for the length of the block.

    Args:
        configs: the Swarm's configs.
        name: the lock's name, at most 54 characters.
        run: whose lock it will be, for the reaper.
        purpose: what it is held for, shown to whoever waits.
        timeout: seconds to wait for it.
        say: is told who holds it, at first and then every 30 seconds.
        place: of the directory whose file lock of that name the caller holds, or empty.
        lease: seconds without a renewal after which others may take it over.
        watch: what was seen of it earlier.
        clock: tests hand in a fake one.

    Raises:
        LockTimeoutError: it was not free in time.
        TestBedError: a config of that name is no lock.
    """
    labels = {
        LOCK_LABEL: name, OWNER: secrets.token_hex(16), HOST: socket.gethostname(), RUN: run,
        PURPOSE: purpose, PLACE: place, SINCE: _now(), LEASE: f"{lease:g}",
    }  # fmt: skip
    held = Lease(configs=configs, name=name, labels=labels, lease=lease, clock=clock)
    try:
        _acquire(held, watch or Watch(clock=clock), place, timeout=timeout, say=say)
        with held.renewing():
            yield held
    finally:  # also when it was stopped between the Swarm's answer and our note of it
        try:
            held.release()
        except ENGINE_ERRORS as error:
            what = as_harness_error(error).what
            say(f"the lock '{name}' could not be given back, and expires: {what}")


def _acquire(held: Lease, watch: Watch, place: str, *, timeout: float, say: Say) -> None:
    deadline = Deadline.after(stretched(timeout), held.clock)
    notice = Deadline.after(0, held.clock)
    while holder := held.try_to_take(watch, place):
        if deadline.passed():
            raise LockTimeoutError(
                f"the lock '{held.name}' of the Swarm was not free within {timeout:g} s",
                cause=f"it is held by {holder}",
                hint="wait for that run to end, or allow more time with --lock-timeout SECONDS",
            )
        if notice.passed():
            wait = LockEvent(lock=held.name, state=LockState.WAITING, swarm=True, holder=holder)
            say(EventLine(wait))
            notice = Deadline.after(REPEAT_NOTICE_SECONDS, held.clock)
        # At random, so that no waiter is always the last one to ask.
        pause = POLL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311  no secret
        held.clock.sleep(min(pause, max(deadline.remaining(), 0.001)))
