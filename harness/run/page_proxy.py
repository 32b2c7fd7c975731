"""A proxy on loopback that leads a browser to the app's own container, and nowhere else.

A browser on the host must not send to overlay addresses: from there they leave by the default
gateway. So each of its requests is handed to whoever asks the app from a container of the run. What
the page asks of any other host is refused, and so is what might change something.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from harness.exec.http import Request, Response

LOOPBACK = "127.0.0.1"
AT_A_TIME = 4  # each request is a program started in the tool container
HANDED_ON = ("Accept", "Accept-Language", "Cookie", "Referer", "Range", "User-Agent")
OF_ONE_HOP = {
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
    *("transfer-encoding", "content-length", "strict-transport-security"),
}
# What Chromium asks by itself, whatever the options say; it is refused, and no news of the page.
BY_ITSELF = {
    *("accounts.google.com", "clients2.google.com", "update.googleapis.com"),
    *("safebrowsing.googleapis.com", "optimizationguide-pa.googleapis.com"),
    *("content-autofill.googleapis.com", "android.clients.google.com", "mtalk.google.com"),
}
LOWEST = 100  # an HTTP status


@dataclass(kw_only=True)
class PageProxy:
    """Answers for one host name; `refused` are the others that the page asked for.

    Args:
        host: the app's domain.
        fetch: asks the app.
    """

    host: str
    fetch: Callable[[Request], Response]
    port: int = 0
    refused: set[str] = field(default_factory=set)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_A_TIME))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve on a free port of loopback meanwhile."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        server = _Server((LOOPBACK, 0), Handler)
        self.port = int(server.server_address[1])
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def ask(self, request: Request) -> Response:
        """Ask the app, with not too many requests at a time."""
        with self._slots:
            return self.fetch(request)


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as the base
        """Say nothing of a browser that left before it had its answer: that is nobody's fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    owner: PageProxy

    def do_GET(self) -> None:
        """Hand a request to the app."""
        self._hand_on()

    def do_HEAD(self) -> None:
        """Hand a request to the app."""
        self._hand_on()

    def do_CONNECT(self) -> None:
        """Refuse what is not plain HTTP: to other hosts, all of it; the app's own is asked past."""
        host = self.path.rpartition(":")[0]
        self._refuse(host)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as above
        """Say nothing."""

    def _refuse(self, host: str) -> None:
        if host != self.owner.host and host not in BY_ITSELF:
            self.owner.refused.add(host)
        self.send_error(HTTPStatus.FORBIDDEN)

    def _hand_on(self) -> None:
        url = urlsplit(self.path)
        if url.hostname != self.owner.host:
            self._refuse(url.hostname or self.path)
            return
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {name: self.headers[name] for name in HANDED_ON if name in self.headers}
        try:
            answer = self.owner.ask(Request(path=path, method=self.command, headers=headers))
        except Exception:  # noqa: BLE001  whatever it is, the page goes without
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        if answer.status < LOWEST:
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self._answer(answer)

    def _answer(self, answer: Response) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name not in OF_ONE_HOP:
                self.send_header(name, self._without_tls(name, value))
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _without_tls(self, name: str, value: str) -> str:
        """Lead back to the app where it sends its visitors to whoever has its certificate."""
        own = f"https://{self.owner.host}"
        if name == "location" and (value + "/").startswith(f"{own}/"):
            return "http" + value.removeprefix("https")
        if name == "content-security-policy":
            return value.replace("upgrade-insecure-requests", "")
        return value
