"""What runs in the app's containers beside their first process, and as whom.

The engine knows the first process alone. What a supervisor or a start script started beside it can
end, or begin anew again and again, while the container runs on and is healthy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

READ = "exec cat /proc/[0-9]*/stat /proc/[0-9]*/status 2> /dev/null"
STAT = re.compile(r"^(\d+) \((.*)\) (\S) (\d+) (.*)$")
BEGAN = 17  # the index of `starttime` among the fields of `stat` behind the parent's pid
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
    stats = [match for line in text.splitlines() if (match := STAT.match(line))]
    users = _users(text)
    began = {int(one[1]): int(one[5].split()[BEGAN]) / TICKS for one in stats}
    now = max(began.values(), default=0.0)
    every = [
        Process(
            pid=int(one[1]),
            parent=int(one[4]),
            name=one[2],
            ended=one[3] in "ZX",
            age=now - began[int(one[1])],
            user=users.get(int(one[1]), ""),
        )
        for one in stats
    ]
    inside = {1}
    for _ in every:
        inside |= {one.pid for one in every if one.parent in inside}
    return tuple(one for one in every if one.pid in inside)


def _users(text: str) -> dict[int, str]:
    """Return the effective user and group of each process, by its pid."""
    found: dict[int, str] = {}
    pid = 0
    for line in text.splitlines():
        key, _, value = line.partition(":\t")
        if key == "Pid":
            pid = int(value)
        elif key == "Uid":
            found[pid] = value.split("\t")[1]
        elif key == "Gid" and pid in found:
            found[pid] += ":" + value.split("\t")[1]
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
