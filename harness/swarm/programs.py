"""What runs in the app's containers beside their first process, and as whom.

The engine knows the first process alone. What a supervisor or a start script started beside it can
end, or begin anew again and again, while the container runs on and is healthy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

READ = "exec cat /proc/[0-9]*/stat /proc/[0-9]*/status 2> /dev/null"
LONGEST = 4096  # characters of a line of the kernel's
# Whatever a container prints is read: a program in it may pass for `cat`.
STAT = re.compile(
    r"^(?P<pid>\d{1,9}) \((?P<name>.*)\) (?P<state>\S) (?P<parent>\d{1,9}) (?:\S+ ){17}"
    r"(?P<began>\d{1,18}) "
)
STATUS = re.compile(r"^(?P<key>Pid|Uid|Gid):\t(?P<first>\d{1,10})(?:\t(?P<effective>\d{1,10}))?")
TICKS = 100  # a second: Linux tells programs no other number
STEADY_SECONDS = 3.0  # what has run for so long, and for half of its container's time, is to run on
JUDGED_SECONDS = 10.0  # how long a container has run until something may be missing in it
# Programs that start others, and what scripts call while they wait.
AROUND = re.compile(
    r"^(sh|ash|bash|dash|busybox|tini|docker-init|dumb-init|su|su-exec|gosu|runsv.*|s6-.*"
    r"|supervise|sleep|tail|cat)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of a container. `age` is in seconds, `user` is UID:GID."""

    pid: int
    parent: int
    name: str
    ended: bool  # its parent has not taken notice yet
    age: float
    user: str


def processes(text: str) -> tuple[Process, ...]:
    """Read what `READ` prints: the first process and all below it, not what was executed beside.

    The program that prints is the youngest of all, so its beginning is now.
    """
    lines = [line for line in text.splitlines() if len(line) < LONGEST]
    stats = [*filter(None, map(STAT.match, lines))]
    users = _users(lines)
    now = max((int(one["began"]) for one in stats), default=0)
    every = [
        Process(
            pid=int(one["pid"]),
            parent=int(one["parent"]),
            name=one["name"],
            ended=one["state"] in "ZX",
            age=(now - int(one["began"])) / TICKS,
            user=users.get(int(one["pid"]), ""),
        )
        for one in stats
    ]
    below: dict[int, list[int]] = {}
    for one in every:
        below.setdefault(one.parent, []).append(one.pid)
    inside, more = set[int](), [1]
    while more:
        inside.update(more)
        more = [child for pid in more for child in below.pop(pid, ())]
    return tuple(one for one in every if one.pid in inside)


def _users(lines: Iterable[str]) -> dict[int, str]:
    """Return the effective user and group of each process, by its pid."""
    found: dict[int, str] = {}
    pid = 0
    for line in filter(None, map(STATUS.match, lines)):
        if line["key"] == "Pid":
            pid = int(line["first"])
        elif line["key"] == "Uid":
            found[pid] = line["effective"] or ""
        elif pid in found:
            found[pid] += f":{line['effective'] or ''}"
    return found


@dataclass(kw_only=True)
class Programs:
    """What ran beside the first process of each service, at the last look that could tell."""

    _known: dict[str, Counter[str]] = field(default_factory=dict)

    def gone(self, service: str, seen: Sequence[Process]) -> list[str]:
        """Return the programs that a service ran and does not any more; remember what it runs.

        Args:
            service: its name.
            seen: the processes of its container.
        """
        age = age_of(seen)
        judged = age >= JUDGED_SECONDS
        found = self.missing(service, seen) if judged else []
        if age >= STEADY_SECONDS and (judged or service not in self._known):
            enough = max(STEADY_SECONDS, age / 2)
            self._known[service] = Counter(one.name for one in _leading(seen) if one.age >= enough)
        return found

    def missing(self, service: str, seen: Sequence[Process]) -> list[str]:
        """Return the programs that a service ran and does not run now, or not for long.

        One that was replaced by another, as a new release may do, is not missing.
        """
        known = self._known.get(service, Counter())
        now = Counter(one.name for one in _leading(seen) if one.age >= STEADY_SECONDS)
        lost, new = known - now, now - known
        return sorted(lost) if seen and lost.total() > new.total() else []


def age_of(seen: Sequence[Process]) -> float:
    """Return for how many seconds a container has run; 0 where that is not known."""
    return next((one.age for one in seen if one.pid == 1), 0.0)


def _leading(seen: Sequence[Process]) -> Iterator[Process]:
    """Yield the programs that run, each without the processes of its own that it started."""
    names = {one.pid: one.name for one in seen}
    for one in seen:
        if not one.ended and names.get(one.parent) != one.name and not AROUND.match(one.name):
            yield one
