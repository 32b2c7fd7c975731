"""A way to an engine behind ssh: a socket of this machine, forwarded by one ssh process.

Docker's own `ssh://` starts a program for each connection, and its Python SDK hands out pipes
where a command's input and output need a connection that they share. Through a forwarded socket
every program speaks to such an engine as to one of this machine.

The ssh program is asked, not a library: it knows the user's keys, agents and jump hosts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.core import proc
from harness.core.errors import EngineError, HarnessError, WaitTimeoutError
from harness.core.scratch import directory
from harness.core.waiting import Deadline, stretched, wait_for
from harness.core.with_parent import with_parent

SCHEME = "ssh://"
SOCKET = "/var/run/docker.sock"  # the engine's on its host, where the address names no other
OPEN_SECONDS = 15.0
PREFIX = "ccci-ssh-"
OPTIONS = (
    "BatchMode=yes",  # nobody is there to type a password
    "ControlMaster=no",  # a connection of our own, which ends with us
    "ControlPath=none",
    "ExitOnForwardFailure=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


class Tunnels:
    """The tunnels of this process: one for each address, opened when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: dict[str, str] = {}
        self._workers: list[proc.Worker] = []
        self._directory: Path | None = None
        self._stack = ExitStack()

    def reach(self, host: str, environ: Mapping[str, str] | None = None) -> str:
        """Return what DOCKER_HOST has to say to reach an engine: a socket here, for an ssh:// one.

        The first call for an address has to come from the main thread: a tunnel ends with the
        thread that opened it.

        Args:
            host: the address; one that is not ssh:// is returned as it is.
            environ: what ssh gets for its environment; None means this process's own.

        Raises:
            EngineError: the address is wrong, or ssh did not get through.
        """
        if not host.startswith(SCHEME):
            return host
        with self._lock:
            if host not in self._sockets:
                self._sockets[host] = self._open(host, os.environ if environ is None else environ)
            return self._sockets[host]

    def close(self) -> None:
        """End all tunnels; the next call opens new ones."""
        with self._lock:
            for worker in self._workers:
                worker.close()
            self._workers.clear()
            self._sockets.clear()
            self._stack.close()
            self._directory = None

    def _open(self, host: str, environ: Mapping[str, str]) -> str:
        if shutil.which("ssh", path=environ.get("PATH")) is None:
            raise EngineError(
                f"the engine at {host} cannot be reached: there is no ssh program here",
                hint="install it: apt-get install openssh-client",
            )
        if self._directory is None:
            self._directory = self._stack.enter_context(directory(PREFIX))
        number = len(self._workers)
        path, log = self._directory / f"{number}.sock", self._directory / f"{number}.log"
        worker = proc.Worker(with_parent(command(host, path)), log=log, env=environ)
        self._workers.append(worker)
        try:
            wait_for(
                lambda: _accepts(path),
                what=f"the ssh connection of {host}",
                deadline=Deadline.after(stretched(OPEN_SECONDS)),
                ready=bool,
                failed=lambda _: _ended(worker, host, log),
                interval=0.05,
            )
        except HarnessError as error:
            worker.close()
            if isinstance(error, WaitTimeoutError):
                seconds = stretched(OPEN_SECONDS)
                said = f"no connection within {seconds:g} s; ssh said: {_last_line(log)}"
                raise _not_reached(host, said) from error
            raise
        return f"unix://{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """An ssh:// address in its parts: no port is 0, no user is empty."""

    user: str
    name: str
    port: int
    path: str

    @property
    def words(self) -> list[str]:
        """What of it the ssh program takes as options."""
        login = ["-l", self.user] if self.user else []
        return [*login, *(["-p", str(self.port)] if self.port else [])]


def command(host: str, path: Path) -> list[str]:
    """Return the ssh command that lets `path` lead to the engine at `host`.

    Raises:
        EngineError: the address is wrong.
    """
    address = _parse(host)
    options = [word for option in OPTIONS for word in ("-o", option)]
    forward = f"{path}:{address.path}"
    return ["ssh", "-nNT", *options, *address.words, "-L", forward, "--", address.name]


def _parse(host: str) -> _Address:
    try:
        parts = urlsplit(host)
        address = _Address(
            user=parts.username or "",
            name=parts.hostname or "",
            port=parts.port or 0,
            path=parts.path if parts.path.strip("/") else SOCKET,
        )
    except ValueError as error:
        raise _malformed(host) from error
    if not address.name or parts.password is not None or parts.query or parts.fragment:
        raise _malformed(proc.scrub(host, [parts.password or ""]))
    return address


def _malformed(host: str) -> EngineError:
    return EngineError(
        f"{host} is no address of an engine",
        cause="behind ssh that is ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET], with no password",
        hint="put keys and the like into ~/.ssh/config, and try: ssh HOST docker version",
    )


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as stream, suppress(OSError):
        stream.connect(str(path))
        return True
    return False


def _ended(worker: proc.Worker, host: str, log: Path) -> HarnessError | None:
    return None if worker.poll() is None else _not_reached(host, _last_line(log))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def _not_reached(host: str, reason: str) -> EngineError:
    address = _parse(host)
    return EngineError(
        f"the engine at {host} cannot be reached over ssh",
        cause=reason,
        hint="it must get through without a question: "
        f"{' '.join(['ssh', *address.words, address.name])} docker version",
    )


_OURS = Tunnels()
atexit.register(_OURS.close)
reach = _OURS.reach
