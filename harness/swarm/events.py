"""Follow the engines' events about containers, so that it is known later how each one ended.

An engine remembers its last 256 events, and health checks alone make more in a minute. So a thread
per node listens from the start of a run to its end.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from harness.core.errors import WaitTimeoutError
from harness.core.waiting import Clock, Deadline, Interruptible, WokenClock, stretched, wait_for

RECONNECT_SECONDS = 0.2  # an engine that is restarted may refuse for a second only
LATE_SECONDS = 2.0  # how long a container's last event may come after the Swarm's word of its end
FILTERS = {"type": "container", "event": ["kill", "oom", "die", "health_status"]}


class Happening(StrEnum):
    """What can happen to a container, as the engine calls it."""

    KILL = "kill"
    OOM = "oom"
    DIE = "die"
    UNHEALTHY = "health_status: unhealthy"
    HEALTHY = "health_status: healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event about a container. `signal` is the number of a kill's, else 0."""

    what: Happening
    signal: int = 0

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self | None:
        """Read one element of the answer of `/events`; None for what is not of interest."""
        attributes = (raw.get("Actor") or {}).get("Attributes") or {}
        try:
            return cls(what=Happening(raw["Action"]), signal=int(attributes.get("signal") or 0))
        except (KeyError, ValueError):
            return None


class EventLog:
    """What happened to the containers of every node that is followed, in order."""

    def __init__(self) -> None:
        self.judged: dict[str, bool] = {}  # whether a container was killed, once that is known
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._gaps: list[tuple[float, float]] = []  # when an engine did not answer, on the clock
        self.restarted = False  # whether an engine refused to answer, and came back
        self._since = math.inf  # in Unix time: events from before were not heard
        self._closed = Interruptible()
        self._clocks: dict[tuple[str, str], WokenClock] = {}

    @property
    def killed(self) -> tuple[str, ...]:
        """The ids of the containers that are known to have been ended from outside."""
        return tuple(sorted(name for name, killed in self.judged.items() if killed))

    def follow(self, connect: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Listen in a thread until the log is closed.

        Args:
            connect: begins to stream the events of one engine, as `filters=FILTERS` and
                `decode=True` have it. It is called again where the stream breaks.
        """
        self._since = min(self._since, time.time())
        threading.Thread(target=self._listen, args=(connect,), daemon=True).start()

    def close(self) -> None:
        """Stop listening; a stream that waits ends with the process."""
        self._closed.interrupt()

    def of(self, container: str, *, ended: float) -> tuple[Event, ...]:
        """Return what happened to a container that has ended.

        The Swarm may know of its end a moment before the event comes, so that is waited for.

        Args:
            container: its id.
            ended: when it ended, in Unix time; 0 where that is not known.
        """
        if ended >= self._since:
            with suppress(WaitTimeoutError):
                wait_for(
                    lambda: any(e.what is Happening.DIE for e in self._events.get(container, ())),
                    what=f"the event of the end of {container}",
                    deadline=Deadline.after(stretched(LATE_SECONDS)),
                )
        return tuple(self._events.get(container, ()))

    def clock_of(self, label: str, value: str) -> Clock:
        """Return a clock whose sleep ends when something happens to a container so labelled."""
        return self._clocks.setdefault((label, value), WokenClock())

    def out_of_memory(self) -> Mapping[str, int]:
        """Return how often the kernel killed in which container for memory, by its id."""
        counts = {
            name: sum(event.what is Happening.OOM for event in events)
            for name, events in self._events.copy().items()
        }
        return {name: count for name, count in counts.items() if count}

    def add(self, raw: Mapping[str, Any]) -> None:
        """Remember an event, as the engine tells it."""
        event = Event.parse(raw)
        if event is not None:
            self._events[str(raw.get("id") or raw["Actor"]["ID"])].append(event)
            attributes = (raw.get("Actor") or {}).get("Attributes") or {}
            for (label, value), clock in self._clocks.copy().items():
                if attributes.get(label) == value:
                    clock.wake()

    def silent_at(self, moment: float, *, within: float) -> bool:
        """Whether an engine went away within so many seconds around a moment, in Unix time."""
        return any(gone - within <= moment <= back + within for gone, back in self._gaps)

    def _listen(self, connect: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        gone, refused = 0.0, False
        while not self._closed.pause(0.0):
            connected = False
            with suppress(Exception):  # whatever needs an engine that is away reports it
                stream = connect()
                connected = True
                if gone:
                    self._gaps.append((gone, time.time()))
                    self.restarted = self.restarted or refused
                    gone, refused = 0.0, False
                for raw in stream:
                    self.add(raw)
            gone = gone or time.time()  # not the last of several calls that were refused
            refused = refused or not connected  # else only the stream was cut
            self._closed.pause(RECONNECT_SECONDS)
