"""Asking an app for a page at its own container's address, past every proxy.

The request is sent by curl from a tool container on a network that the app is on, to the address of
the very container that serves. A proxy that answers for a whole zone cannot stand in between, and
nothing is ever sent from the host, from where an overlay address leaves by the default gateway.

A container that is replaced, or that has just come up, may leave a request without an answer. That
says nothing about the app, so what is safe to send twice is sent again, to the container that
serves then. See docs/decisions/0004-exec.md.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import docker

from harness.core.errors import (
    ContainerUnavailableError,
    EngineError,
    ExecNotStartedError,
    ExecTimeoutError,
    RecipeError,
)
from harness.core.network_names import PROXY
from harness.core.waiting import Deadline, retry
from harness.exec.exec import ExecTarget
from harness.swarm.nodes import Nodes
from harness.swarm.states import ContainerState

# Brackets in a URL are no range; and docker hands the proxies of its configuration to containers.
CURL = ("curl", "-sS", "-i", "--http1.1", "--globoff", "--noproxy", "*")
SCHEMES = {"https": ("--insecure",), "h2c": ("--http2-prior-knowledge",)}
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
AUTOMATIC = 32  # zlib: tell gzip and deflate apart by their first bytes
MOST_BYTES = 4 << 20  # of an answer that are read; the rest is left
MOST_UNPACKED = 4 << 20  # bytes
STATUS = re.compile(r"\S+\s+(\d{3})\b")
INFORMATIONAL = re.compile(rb"HTTP/\S+ 1(?!01)\d\d\b")  # 101 is an answer
NO_ANSWER = {
    6: "the name could not be looked up",
    7: "the connection was refused",
    28: "there was no answer in time",
    35: "the TLS handshake failed",
    52: "the answer was empty",
    56: "the connection was cut",
}
NEVER_SENT = (6, 7)  # the codes with which curl says that there was no connection at all
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # they change nothing (RFC 9110, 9.2.1)
NOT_YET = frozenset({502, 503, 504})  # of a server whose other half is not there yet
PAUSE = 0.5  # seconds between two sendings
MOST = 1000  # sendings of one request; as a rule it is the time that ends them


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request: `auth` is `name:password`, or empty for none; `body` None means none."""

    path: str = "/"
    method: str = "GET"
    auth: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    def curl_config(self, url: str, host: str, *, resolve: str = "") -> bytes:
        """Return the request as curl reads it from a config file (curl(1), `--config`).

        `resolve` is `HOST:PORT:ADDRESS` where the URL has the host's name and not its address.
        """
        lines = [("url", url), ("header", f"Host: {host}")]
        lines += [("resolve", resolve)] if resolve else []
        lines += [] if self.method == "HEAD" else [("request", self.method)]
        lines += [("header", f"{name}: {value}") for name, value in self.headers.items()]
        if self.auth:
            lines.append(("user", self.auth))
        if self.body is not None:
            lines.append(("data-raw", self.body))  # the other kinds of data read a file after "@"
        text = "".join(f'{name} = "{_quoted(value)}"\n' for name, value in lines)
        # With `request` alone curl would wait for the body that no answer to HEAD has.
        return (text + ("head\n" if self.method == "HEAD" else "")).encode()


def _quoted(value: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return "".join(escapes.get(character, character) for character in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP answer; status 0 and `error` mean that there was none. Headers are lower case.

    `sent` is False when the request certainly did not reach the app. One that was `cut` off had
    more than `MOST_BYTES`.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    container: str
    error: str = ""
    sent: bool = True
    cut: bool = False

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Sends requests from a tool container.

    Args:
        client: a client of the engine that has the app's containers, unless `nodes` says otherwise.
        tool: the tool container.
        network: the network that both are on.
        nodes: where the app's containers may be on any node: their engines.
    """

    client: docker.DockerClient
    tool: ExecTarget
    network: str = PROXY
    timeout: float = field(default=10.0)
    nodes: Nodes | None = None

    def send(
        self, container: str, request: Request, *, port: int, host: str, scheme: str = "http"
    ) -> Response:
        """Send a request to a container, once, and return its answer.

        Args:
            container: the id of the app's container.
            request: what to ask.
            port: the port that the app listens on inside its container.
            host: the value of the Host header.
            scheme: `http`, `https`, or `h2c`.

        Raises:
            ContainerUnavailableError: there is no such container any more.
            RecipeError: the container is on no network that the tool container is on.
        """
        address = self.address(container)
        return self.send_to(
            address, request, port=port, host=host, container=container, scheme=scheme
        )

    def send_to(
        self, address: str, request: Request, *, port: int, host: str, container: str,
        scheme: str = "http",
    ) -> Response:  # fmt: skip
        """Send a request to a container's address, once, and return its answer.

        Over TLS, the app's own certificate is not verified, as a proxy does not verify it either;
        the host's name is in the handshake, as some servers want it.

        Raises:
            EngineError: curl did not start, or did not end although it limits its own time.
        """
        secure = scheme == "https"
        place = f"{host if secure else address}:{port}"
        url = f"{'https' if secure else 'http'}://{place}/{request.path.lstrip('/')}"
        # The request goes in by standard input: passwords have no place in an argument list.
        try:
            done = self.tool.exec(
                [*CURL, *SCHEMES.get(scheme, ()), "-m", f"{self.timeout:g}", "-K", "-"],
                timeout=self.timeout + 5,
                check=False,
                most=MOST_BYTES,
                cut=True,
                stdin=request.curl_config(
                    url, host, resolve=f"{place}:{address}" if secure else ""
                ),
            )
        except (ExecNotStartedError, ExecTimeoutError) as error:
            raise EngineError(
                f"could not ask for {url}: {error.what}",
                cause=f"the machine is overloaded: curl gives up after {self.timeout:g} s by "
                "itself, however slow the app is",
                hint="run fewer things at a time, or set CCCI_TIMEOUT_FACTOR=2",
                detail=error.detail,
            ) from error
        if done.code == 0 or done.cut:
            return replace(_parse(done.stdout, url, container), cut=done.cut)
        why = NO_ANSWER.get(done.code, "curl failed")
        return Response(
            url=url, status=0, headers={}, body=b"", container=container,
            error=f"{why} (curl {done.code}: {done.stderr.decode(errors='replace').strip()})",
            sent=done.code not in NEVER_SENT,
        )  # fmt: skip

    def address(self, container: str) -> str:
        """Return the container's address on the shared network.

        Raises:
            ContainerUnavailableError: there is no such container any more.
            RecipeError: it is not on that network.
        """
        try:
            client = self.nodes.having(container) if self.nodes else self.client
            inspected = client.api.inspect_container(container)
        except docker.errors.NotFound as error:
            raise ContainerUnavailableError(f"container {container[:12]} is gone") from error
        networks = inspected["NetworkSettings"]["Networks"]
        address = networks.get(self.network, {}).get("IPAddress", "")
        if not address:
            raise RecipeError(
                f"container {container[:12]} has no address on the network {PROXY}",
                cause=f"its service is on {', '.join(networks) or 'no network'} only, so no proxy "
                "could reach it either",
                hint="name the service that serves pages as HEALTH_SERVICE in recipe_meta.py",
            )
        return str(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientProber:
    """Asks the container that serves, and asks again when it was replaced or has just come up.

    A container that was handed over, still runs, and gives no answer is the app's own fault: that
    is returned as it is. Of a new container, and of one that goes away, nothing is believed but a
    real answer, for as long as the patience of `target` lasts.

    Args:
        prober: sends each request.
        target: finds the container that serves; its patience and its record are used.
        handed_over: the ids of the containers that ran when the op had settled. Without any, a
            container is new only if another one served when the request was made.
    """

    prober: Prober
    target: ExecTarget
    handed_over: tuple[str, ...] = ()

    def send(self, request: Request, *, port: int, host: str, scheme: str = "http") -> Response:
        """Send a request to the container that serves, and return its answer.

        One whose method is not safe is sent again only if it was certainly not sent before.

        Args:
            request: what to ask.
            port: the port that the app listens on inside its container.
            host: the value of the Host header.
            scheme: `http`, `https`, or `h2c`.

        Raises:
            ContainerUnavailableError: no container came up in time, or it was replaced under a
                request that must not be sent twice.
            RecipeError: the container is on no network that the tool container is on.
        """
        question = _Question(prober=self, request=request, port=port, host=host, scheme=scheme)
        tries = 0

        def once(attempt: int) -> Response:
            nonlocal tries
            tries = attempt
            return question.ask(self.target.current(deadline))

        def again(attempt: int, error: Exception) -> None:
            self.target.note(f"{question}, try {attempt}: {error}; sent again")

        deadline = Deadline.after(self.target.patience, self.target.clock)
        try:
            return retry(
                once, on=_AgainError, attempts=MOST, deadline=deadline, pause=PAUSE, note=again
            )
        except _AgainError as error:
            if error.response is not None:
                return error.response
            raise ContainerUnavailableError(
                f"{question}: no container kept up for long enough to be asked",
                cause=str(error),
                hint="look at why the service's tasks end: docker service ps",
            ) from error
        finally:
            if tries > 1:
                self.target.note(f"{question}: {tries} tries were made")

    def leaves(self, container: ContainerState) -> bool:
        """Whether a container is going, or has gone.

        A request is cut a little before the engine says that its container ended. As long as
        nothing was handed over, there is no need to wait for that: whoever waits for the app's
        first answer asks again anyhow.
        """
        if self.handed_over:
            return not self.target.stays(container)
        return not self.target.serves(container)


class _AgainError(Exception):
    """There was no answer that says anything about the app, and the request may be sent again."""

    def __init__(self, what: str, response: Response | None = None) -> None:
        super().__init__(what)
        self.response = response


@dataclass(slots=True, kw_only=True)
class _Question:
    """One request, and when each container that it met had been started, by id."""

    prober: PatientProber
    request: Request
    port: int
    host: str
    scheme: str = "http"
    seen: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.request.method} {self.request.path} of {self.prober.target.name}"

    def ask(self, container: ContainerState) -> Response:
        """Send the request to that container, and return an answer that counts.

        Raises:
            _AgainError: there was none, and the request may be sent again.
            ContainerUnavailableError: there was none, and it may have been carried out.
            RecipeError: the container is on no network that the tool container is on.
        """
        known = self.prober.handed_over or tuple(self.seen)[:1] or (container.id,)
        started = self.seen.setdefault(container.id, container.started_at)
        new = container.id not in known or container.started_at != started
        response = self._send(container)
        if response.status and response.status not in NOT_YET:
            return response
        # A status may be just what an assertion looks for, so it is not held up for a last look.
        target = self.prober.target
        left = not target.serves(container) if response.status else self.prober.leaves(container)
        if not (left or new):
            return response
        what = f"container {container.id[:12]} {'was replaced' if left else 'is a new one'}"
        what = f"{what}: {response.error or f'status {response.status}'}"
        if self.request.method in SAFE_METHODS or not response.sent:
            raise _AgainError(what, response)
        if left and not response.status:
            raise ContainerUnavailableError(
                f"{self}: the container was replaced while it was asked",
                cause=f"{what}; it was not asked again, because that may not be safe to do twice",
            )
        return response

    def _send(self, container: ContainerState) -> Response:
        prober = self.prober.prober
        try:
            address = prober.address(container.id)
        except ContainerUnavailableError as error:
            raise _AgainError(error.what) from error
        except RecipeError as error:
            # A container that ends loses its networks a little before it is gone.
            if self.prober.leaves(container):
                raise _AgainError(error.what) from error
            raise
        return prober.send_to(
            address, self.request, port=self.port, host=self.host, container=container.id,
            scheme=self.scheme,
        )  # fmt: skip


def _parse(raw: bytes, url: str, container: str) -> Response:
    start, end, rest = _head(raw, 0)
    while INFORMATIONAL.match(raw, start):  # "100 Continue" and the like: before the real answer
        start, end, rest = _head(raw, rest)
    head, body = raw[start:end], raw[rest:]
    lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    if (status := STATUS.match(lines[0])) is None:
        why = "the answer was over its limit before it had a status"
        return Response(url=url, status=0, headers={}, body=b"", container=container, error=why)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        # Each cookie has a line of its own; of other headers that occur twice, the last counts.
        more = key == "set-cookie" and key in headers
        headers[key] = f"{headers[key]}\n{value}" if more else value
    body = _unpacked(body, headers.get("content-encoding", ""))
    return Response(url=url, status=int(status[1]), headers=headers, body=body, container=container)


def _head(raw: bytes, start: int) -> tuple[int, int, int]:
    """Return where a head begins and ends, and what follows; a line may end with a feed alone."""
    found = END_OF_HEAD.search(raw, start)
    return (start, found.start(), found.end()) if found else (start, len(raw), len(raw))


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body that a server packed unasked; what cannot be unpacked stays as it is."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | AUTOMATIC).decompress(body, MOST_UNPACKED)
    except zlib.error:
        return body
