"""Where the private engine of a cache directory lies, and who may touch it at a time."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.engine import processes
from harness.engine.endpoint import DEFAULT_HOST, Engine
from harness.locks import file_lock as locks

COMMAND = "python -m harness engine"  # what a user types, followed by status, start, stop or purge
DEFAULT_ENGINE = Engine(host=DEFAULT_HOST, origin="default socket")
LOCK_SECONDS = 180.0
# The kernel takes 107 bytes (unix(7)), containerd 104, and waits in vain for a longer one.
SOCKET_PATH_BYTES = 104
_LONGEST_SOCKET = "exec/containerd/containerd.sock.ttrpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the private engine of a cache directory lies.

    `root` holds what lasts, `runtime` the sockets. They are one directory, unless the names of
    sockets below it would be too long for the kernel: then `runtime` is a short one under /run.
    """

    root: Path
    runtime: Path

    @classmethod
    def of(cls, cache: Path, run: Path = Path("/run")) -> Paths:
        """Return the paths of the cache directory, the same ones by whatever way it is named."""
        root = cache.resolve() / "engine"
        if len(os.fsencode(root / _LONGEST_SOCKET)) <= SOCKET_PATH_BYTES:
            return cls(root=root, runtime=root)
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        return cls(root=root, runtime=run / f"ccci-{digest}")

    @property
    def data(self) -> Path:
        """Return the engine's data-root: images, volumes, the swarm's state."""
        return self.root / "data"

    @property
    def exec(self) -> Path:
        """Return the engine's exec-root: what is meaningless once it has ended."""
        return self.runtime / "exec"

    @property
    def socket(self) -> Path:
        """Return the engine's socket."""
        return self.runtime / "docker.sock"

    @property
    def pidfile(self) -> Path:
        """Return the file into which dockerd writes its process id."""
        return self.runtime / "pid"

    @property
    def log(self) -> Path:
        """Return the log of the engine's present or last start; the one before is beside it."""
        return self.root / "log"

    @property
    def owned(self) -> tuple[Path, Path]:
        """Return the directories that only our own processes name on their command lines."""
        return self.data, self.exec

    @property
    def engine(self) -> Engine:
        """Return the engine that answers there, if it does."""
        return Engine(host=f"unix://{self.socket}", origin="private", private=True)

    @property
    def config(self) -> Path:
        """Return the configuration that dockerd is given in place of the machine's own."""
        return self.root / "daemon.json"

    def dockerd(self) -> int | None:
        """Return the process id of the engine, or None when none is seen."""
        running = processes.belonging_to(self.owned)
        return next((one.pid for one in running if one.program == "dockerd"), None)


def locked(
    cache: Path, purpose: str, say: Callable[[str], None]
) -> AbstractContextManager[locks.Held]:
    """Return the lock under which the cache's engine is started, stopped or removed."""
    return locks.hold(
        cache / "locks", "engine-start", purpose=purpose, timeout=LOCK_SECONDS, say=say
    )


def link_exists(name: str) -> bool:
    """Return whether this network namespace has a network interface of that name."""
    # Not by /sys: what is mounted there shows the namespace in which it was mounted.
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False
