"""Asking an app for a page at its own container's address, past every proxy.

The request is sent by curl from a tool container on a network that the app is on, to the address of
the very container that serves. A proxy that answers for a whole zone cannot stand in between, and
nothing is ever sent from the host, from where an overlay address leaves by the default gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import docker

from harness.docker.exec import ExecTarget
from harness.errors import ContainerUnavailableError, RecipeError

# Brackets in a URL are no range; and docker hands the proxies of its configuration to containers.
CURL = ("curl", "-sS", "-i", "--http1.1", "--globoff", "--noproxy", "*")
INFORMATIONAL = re.compile(rb"HTTP/\S+ 1(?!01)\d\d\b")  # 101 is an answer
NO_ANSWER = {
    6: "the name could not be looked up",
    7: "the connection was refused",
    28: "there was no answer in time",
    52: "the answer was empty",
    56: "the connection was cut",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request: `auth` is `name:password`, or empty for none; `body` None means none."""

    path: str = "/"
    method: str = "GET"
    auth: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    def curl_config(self, url: str, host: str) -> bytes:
        """Return the request as curl reads it from a config file (curl(1), `--config`)."""
        lines = [("url", url), ("header", f"Host: {host}")]
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
    """An HTTP answer; status 0 and `error` mean that there was none. Headers are lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    container: str
    error: str = ""

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Sends requests from a tool container.

    Args:
        client: a client of the engine that has the app's containers.
        tool: the tool container.
        network: the network that both are on.
    """

    client: docker.DockerClient
    tool: ExecTarget
    network: str = "proxy"
    timeout: float = field(default=10.0)

    def send(self, container: str, request: Request, *, port: int, host: str) -> Response:
        """Send a request to a container, and return its answer.

        Args:
            container: the id of the app's container.
            request: what to ask.
            port: the port that the app listens on inside its container.
            host: the value of the Host header.

        Raises:
            RecipeError: the container is on no network that the tool container is on.
        """
        url = f"http://{self.address(container)}:{port}/{request.path.lstrip('/')}"
        # The request goes in by standard input: passwords have no place in an argument list.
        done = self.tool.exec(
            [*CURL, "-m", f"{self.timeout:g}", "-K", "-"],
            timeout=self.timeout + 5,
            check=False,
            stdin=request.curl_config(url, host),
        )
        if done.code != 0:
            why = NO_ANSWER.get(done.code, "curl failed")
            failure = f"{why} (curl {done.code}: {done.stderr.decode(errors='replace').strip()})"
            return Response(
                url=url, status=0, headers={}, body=b"", container=container, error=failure
            )
        return _parse(done.stdout, url, container)

    def address(self, container: str) -> str:
        """Return the container's address on the shared network.

        Raises:
            ContainerUnavailableError: there is no such container any more.
            RecipeError: it is not on that network.
        """
        try:
            inspected = self.client.api.inspect_container(container)
        except docker.errors.NotFound as error:
            raise ContainerUnavailableError(f"container {container[:12]} is gone") from error
        networks = inspected["NetworkSettings"]["Networks"]
        address = networks.get(self.network, {}).get("IPAddress", "")
        if not address:
            raise RecipeError(
                f"container {container[:12]} has no address on the network {self.network}",
                cause=f"its service is on {', '.join(networks) or 'no network'} only, so no proxy "
                "could reach it either",
                hint="name the service that serves pages as HEALTH_SERVICE in recipe_meta.py",
            )
        return str(address)


def _parse(raw: bytes, url: str, container: str) -> Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    while INFORMATIONAL.match(head):  # "100 Continue" and the like stand before the real answer
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Response(
        url=url, status=int(lines[0].split()[1]), headers=headers, body=body, container=container
    )
