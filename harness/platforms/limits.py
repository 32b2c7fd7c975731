"""Limits that are laid over each service, so that no app takes the whole machine.

A limit of the recipe's own holds where it is lower. A label names those that are not the recipe's:
an app that meets one of them has met the size of this machine, and is not at fault for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker.errors import DockerException
from docker.utils import parse_bytes

from harness.core.measured import size
from harness.platforms.stackfile import numbers
from harness.recipes.compose import Service
from harness.swarm.own_limits import MEMORY, PIDS

MEMORY_SHARE = 0.75  # of the smallest node's memory
MOST_PIDS = 4096  # systemd gives a service about as many; a large Java server needs some hundreds
LOG_MIB = 100
LOG_FILES = 2
MOST_LOG_FILES = 100  # the engine renames each of them whenever one is full
ROTATED = ("json-file", "local")  # the log drivers that know a size
GIBIBYTE, MEBIBYTE = 1024**3, 1024**2
PIDS_SINCE = (3, 9)  # the file format that has `deploy.resources.limits.pids`


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What each container may take.

    Attributes:
        memory: bytes of memory.
        pids: processes and threads.
        log: bytes of log that the engine keeps; 0 where its log driver knows no size.
    """

    memory: int
    pids: int
    log: int

    @classmethod
    def of(cls, raised: Mapping[str, float], *, memory: int, log_driver: str) -> Limits:
        """Return the limits for one recipe.

        Args:
            raised: what its meta says in `LIMITS`: `memory_gib`, `pids`, `log_mib`.
            memory: bytes of memory of the smallest node.
            log_driver: the engine's default log driver.
        """
        gib = raised.get("memory_gib")
        return cls(
            memory=int(gib * GIBIBYTE if gib else memory * MEMORY_SHARE),
            pids=int(raised.get("pids", MOST_PIDS)),
            log=int(raised.get("log_mib", LOG_MIB)) * MEBIBYTE if log_driver in ROTATED else 0,
        )

    def __str__(self) -> str:
        """Return them as a report states them."""
        log = f", and {size(self.log)} of log" if self.log else ""
        return f"at most {size(self.memory)} of memory, {self.pids} processes{log}"

    def over(self, service: Service, *, pids: bool) -> Laid:
        """Return what is laid over a service.

        Args:
            service: the service as the recipe has it.
            pids: whether the file's format knows a limit of processes.
        """
        resources: Mapping[str, Any] = (service.raw.get("deploy") or {}).get("resources") or {}
        own = _limits(service)
        reserved = _bytes((resources.get("reservations") or {}).get(MEMORY))
        laid: dict[str, Any] = {}
        most = max(self.memory, reserved)  # docker takes no limit below what is reserved
        if not 0 < _bytes(own.get(MEMORY)) <= most:
            laid[MEMORY] = str(most)
        if pids and not 0 < _whole(own.get(PIDS)) <= self.pids:
            laid[PIDS] = self.pids
        changed = {"resources": {**resources, "limits": {**own, **laid}}} if laid else {}
        return Laid(names=tuple(laid), deploy=changed, logging=self._logging(service))

    def _logging(self, service: Service) -> Mapping[str, Any]:
        own: Mapping[str, Any] = service.raw.get("logging") or {}
        options: Mapping[str, Any] = own.get("options") or {}
        files = _whole(options.get("max-file", 1))  # 0 is what docker alone can read, such as +9
        kept = _bytes(options.get("max-size")) * files
        fits = 0 < kept <= self.log and files <= MOST_LOG_FILES
        if not self.log or (own.get("driver") or ROTATED[0]) not in ROTATED or fits:
            return {}
        each = {"max-size": str(self.log // LOG_FILES), "max-file": str(LOG_FILES)}
        return {**own, "options": {**options, **each}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """What is laid over a service; `names` are those of the limits, for a label."""

    names: tuple[str, ...]
    deploy: Mapping[str, Any]
    logging: Mapping[str, Any]


def knows_pids(version: str) -> bool:
    """Whether a file format has a limit of processes; no format, and "3", are the newest."""
    return version in ("", "3") or numbers(version) >= PIDS_SINCE


def _limits(service: Service) -> Mapping[str, Any]:
    """Return the limits that the recipe itself sets."""
    resources: Mapping[str, Any] = (service.raw.get("deploy") or {}).get("resources") or {}
    return resources.get("limits") or {}


def _bytes(value: object) -> int:
    """Return a size in bytes, or 0 if there is none or docker has to say what is wrong with it."""
    try:
        return int(parse_bytes(str(value))) if value else 0
    except (DockerException, ValueError):
        return 0


def _whole(value: object) -> int:
    return int(str(value)) if str(value).isdecimal() else 0
