"""Where an engine is, how it is asked whether it answers, and what the user's settings name.

The order in which a setting counts is that of the docker command line: ``DOCKER_HOST``, then
``DOCKER_CONTEXT``, then the current context of ``config.json``. An empty variable is an unset one.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from harness.core import proc
from harness.core.errors import EngineError, ProcessError
from harness.core.waiting import stretched
from harness.engine.ssh_tunnel import reach

DEFAULT_HOST = "unix:///var/run/docker.sock"
LOCAL_PROBE_SECONDS = 3.0
REMOTE_PROBE_SECONDS = 10.0
_ENDPOINT_VARIABLES = frozenset(
    {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker engine that can be spoken to.

    `host` is what DOCKER_HOST would say; `origin` says why this one ("DOCKER_HOST",
    "context NAME", "default socket" or "private"). `private` means that the harness started it and
    may change it. `local` means that it is reached through a socket of this machine, so that
    published ports are on 127.0.0.1. `cert_path` is a directory of TLS files; empty means no TLS.
    """

    host: str
    origin: str
    private: bool = False
    cert_path: str = ""
    tls_verify: bool = False

    @property
    def local(self) -> bool:
        """Return whether a socket of this machine leads to it."""
        return self.host.startswith("unix://")

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return `base` with the variables that make the docker command line use this engine.

        One behind ssh is reached through a tunnel, which is opened when it is first needed.

        Raises:
            EngineError: ssh does not get through.
        """
        chosen = {key: value for key, value in base.items() if key not in _ENDPOINT_VARIABLES}
        chosen["DOCKER_HOST"] = reach(self.host)
        if self.cert_path:
            chosen["DOCKER_CERT_PATH"] = self.cert_path
            chosen["DOCKER_TLS_VERIFY" if self.tls_verify else "DOCKER_TLS"] = "1"
        return chosen

    def client(self, timeout: float = 60.0) -> docker.DockerClient:
        """Return a client of the engine; each of its calls ends after `timeout` seconds.

        Raises:
            EngineError: the engine does not answer, or its TLS files cannot be read.
        """
        try:
            return self._connect(stretched(timeout))
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineError(
                f"the engine at {self.host} ({self.origin}) went away: {root_reason(error)}",
                hint=f"ask it yourself: DOCKER_HOST={self.host} docker version",
            ) from error

    def _connect(self, timeout: float) -> docker.DockerClient:
        client = docker.DockerClient(
            **kwargs_from_env(environment=self.environ({})),
            timeout=max(1, math.ceil(timeout)),
        )
        # No proxy leads to a socket; looking for one reads the whole environment at each request.
        client.api.trust_env = not self.host.startswith("unix://")
        return client


def from_host(environment: Mapping[str, str]) -> Engine | None:
    """Return the engine that DOCKER_HOST names, with its TLS settings, or None when it is unset."""
    host = environment.get("DOCKER_HOST", "")
    if not host:
        return None
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    encrypt = verify or bool(environment.get("DOCKER_TLS"))
    certificates = environment.get("DOCKER_CERT_PATH") or str(_config_directory(environment))
    return Engine(
        host=host,
        origin="DOCKER_HOST",
        cert_path=certificates if encrypt else "",
        tls_verify=verify,
    )


def from_context(
    environment: Mapping[str, str], *, run: Callable[..., proc.Completed] = proc.run
) -> Engine | None:
    """Return the engine of the docker context that the user chose, or None for the default one.

    Raises:
        EngineError: the context is not known, or names no Docker endpoint.
    """
    name = _context_name(environment)
    if name in {"", "default"}:
        return None
    try:
        said = run(["docker", "context", "inspect", name], timeout=stretched(10.0), env=environment)
        (found,) = json.loads(said.stdout)
        endpoint = found["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except (ProcessError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"the docker context '{name}' cannot be used",
            cause=(error.detail or error.what) if isinstance(error, ProcessError) else "",
            hint="docker context ls; docker context use default; or set DOCKER_HOST",
        ) from error
    tls = bool((found.get("TLSMaterial") or {}).get("docker"))
    return Engine(
        host=host,
        origin=f"context {name}",
        cert_path=str(Path(found["Storage"]["TLSPath"]) / "docker") if tls else "",
        tls_verify=tls and not endpoint.get("SkipTLSVerify"),
    )


def _context_name(environment: Mapping[str, str]) -> str:
    if environment.get("DOCKER_CONTEXT"):
        return environment["DOCKER_CONTEXT"]
    try:
        config = json.loads((_config_directory(environment) / "config.json").read_text())
        return str(config.get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        # The docker command line, too, carries on without a file that it cannot read.
        return ""


def _config_directory(environment: Mapping[str, str]) -> Path:
    if environment.get("DOCKER_CONFIG"):
        return Path(environment["DOCKER_CONFIG"])
    return Path(environment.get("HOME") or Path.home()) / ".docker"


def probe(engine: Engine) -> str:
    """Return "" when the engine answers, else the reason why not, within a few seconds."""
    scheme, _, rest = engine.host.partition("://")
    if scheme == "unix":
        return _ping_socket(rest)
    if scheme == "ssh":
        return _ping_through_tunnel(engine)
    try:
        client = engine._connect(stretched(REMOTE_PROBE_SECONDS))  # noqa: SLF001  the bare errors are wanted
        client.ping()
        client.close()
    except (DockerException, requests.RequestException, OSError) as error:
        return root_reason(error)
    return ""


def _ping_socket(path: str, seconds: float = LOCAL_PROBE_SECONDS) -> str:
    # Not by the SDK: it asks twice, and its errors bury "permission denied" three layers deep.
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(stretched(seconds))
        try:
            stream.connect(path)
            stream.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            status = stream.recv(64).split(b"\r\n")[0].split()
        except TimeoutError:
            return f"{path}: no answer within {seconds:g} s"
        except OSError as error:
            return f"{path}: {error.strerror or error}"
    if len(status) > 1 and status[0].startswith(b"HTTP/") and status[1] == b"200":
        return ""
    return f"{path}: it answered {b' '.join(status)!r}, which no engine says"


def _ping_through_tunnel(engine: Engine) -> str:
    try:
        path = reach(engine.host).removeprefix("unix://")
    except EngineError as error:
        return error.cause or error.what
    reason = _ping_socket(path, REMOTE_PROBE_SECONDS)
    return f"ssh gets through, and not to an engine's socket there: {reason}" if reason else ""


def root_reason(error: BaseException) -> str:
    """Return the innermost reason that the system gave, or the error's own first line."""
    for inner in _nested(error):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _nested(error: BaseException) -> Iterator[BaseException]:
    # Deepest first; requests and urllib3 hand the cause on as an argument, others chain it.
    seen: set[int] = set()
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            found.append(one)
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return reversed(found)
