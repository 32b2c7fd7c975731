"""The browser's only way out: to the app, to look, and nowhere else."""

import http.client
import socket
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from harness.core.errors import ContainerUnavailableError
from harness.core.waiting import Deadline, wait_for
from harness.exec.http import Request, Response
from harness.run.page_proxy import LOOPBACK, PageProxy

HOST = "made.test"


def answer(status: int = 200, body: bytes = b"<h1>", **headers: str) -> Response:
    """Return what the app says."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(url="u", status=status, headers=names, body=body, container="c")


class App:
    """An app that gives one answer, and remembers what it was asked."""

    def __init__(self, said: Response | Exception) -> None:
        self.said = said
        self.asked: list[Request] = []

    def fetch(self, request: Request) -> Response:
        """Answer."""
        self.asked.append(request)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def ask(
    app: App, path: str = f"http://{HOST}/", *, method: str = "GET", **headers: str
) -> tuple[int, Mapping[str, str], bytes, set[str]]:
    """Ask the proxy as a browser does: status, headers, body, and what was refused."""
    proxy = PageProxy(host=HOST, fetch=app.fetch)
    with proxy.serving():
        connection = http.client.HTTPConnection(LOOPBACK, proxy.port, timeout=60)
        connection.request(method, path, headers=headers)
        got = connection.getresponse()
        body = got.read()
        connection.close()
        return got.status, dict(got.getheaders()), body, proxy.refused


def test_a_request_is_handed_on_and_its_answer_comes_back() -> None:
    """With its query, and with the headers that change what a page looks like; no others."""
    app = App(answer(content_type="text/html", set_cookie="a=1", transfer_encoding="chunked"))
    status, headers, body, refused = ask(
        app, f"http://{HOST}/a/b?c=d%20e", Cookie="s=1", Authorization="x", Accept="text/html"
    )
    (asked,) = app.asked
    assert (asked.path, asked.method) == ("/a/b?c=d%20e", "GET")
    assert asked.headers == {"Cookie": "s=1", "Accept": "text/html"}
    assert (status, body, refused) == (200, b"<h1>", set())
    assert (headers["content-type"], headers["set-cookie"]) == ("text/html", "a=1")
    assert (headers["Content-Length"], "transfer-encoding" in headers) == ("4", False)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("http://127.0.0.1:80/", "GET"),
        ("http://made.test.evil.test/", "GET"),
        ("http://made.test@evil.test/", "GET"),
        ("/etc/passwd", "GET"),
        ("evil.test:443", "CONNECT"),
        ("made.test:443", "CONNECT"),
        (f"http://{HOST}/", "POST"),
        (f"http://{HOST}/", "DELETE"),
    ],
)
def test_nothing_else_is_handed_on(path: str, method: str) -> None:
    """No other host, no tunnel, nothing that might change something: a picture only looks."""
    app = App(answer())
    status, _, _, refused = ask(app, path, method=method)
    assert app.asked == []
    assert status >= 400
    assert HOST not in refused
    assert ("evil.test" in refused) == ("@evil" in path or path.startswith("evil"))


def test_what_the_browser_asks_by_itself_is_no_news_of_the_page() -> None:
    """It is refused like all else."""
    status, _, _, refused = ask(App(answer()), "update.googleapis.com:443", method="CONNECT")
    assert (status, refused) == (403, set())


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (f"https://{HOST}/in", f"http://{HOST}/in"),
        (f"https://{HOST}", f"http://{HOST}"),
        (f"https://{HOST}.evil.test/", f"https://{HOST}.evil.test/"),
        ("/in", "/in"),
    ],
)
def test_an_app_that_wants_tls_is_asked_without(location: str, expected: str) -> None:
    """Its certificate is the business of a proxy that is not there."""
    policy = "default-src 'self'; upgrade-insecure-requests"
    app = App(answer(302, location=location, content_security_policy=policy))
    _, headers, _, _ = ask(app)
    assert headers["location"] == expected
    assert headers["content-security-policy"] == "default-src 'self'; "


@pytest.mark.parametrize(
    "said", [ContainerUnavailableError("gone"), ValueError("x"), answer(0, b"")]
)
def test_an_app_that_does_not_answer_is_a_bad_gateway(said: Any) -> None:  # noqa: ANN401
    """The browser goes on without."""
    assert ask(App(said))[0] == 502


def test_a_head_has_no_body() -> None:
    """Else the next answer would begin in the middle."""
    status, _, body, _ = ask(App(answer()), method="HEAD")
    assert (status, body) == (200, b"")


def test_a_browser_that_leaves_early_is_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    """It closes what it no longer needs; the run's output has no traceback of that."""
    gone = threading.Event()

    def fetch(_: Request) -> Response:
        assert gone.wait(60)
        return answer(body=b"x" * (1 << 24))  # more than sockets hold, so it has to notice

    proxy = PageProxy(host=HOST, fetch=fetch)
    with proxy.serving():
        leaving = socket.create_connection((LOOPBACK, proxy.port), timeout=60)
        leaving.sendall(f"GET http://{HOST}/ HTTP/1.1\r\n\r\n".encode())
        wait_for(_serving, what="the request", deadline=Deadline.after(60), ready=bool)
        leaving.close()
        gone.set()
        for thread in _serving():
            thread.join(60)
    assert capfd.readouterr().err == ""


def test_a_fault_of_our_own_is_not_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    """Only a connection that ended is passed over."""
    nothing: Any = None
    proxy = PageProxy(host=HOST, fetch=lambda _: nothing)
    with proxy.serving(), socket.create_connection((LOOPBACK, proxy.port), timeout=60) as asking:
        asking.sendall(f"GET http://{HOST}/ HTTP/1.1\r\n\r\n".encode())
        while asking.recv(1024):
            pass
        for thread in _serving():
            thread.join(60)
    assert "AttributeError" in capfd.readouterr().err


def _serving() -> list[threading.Thread]:
    """Return the threads that serve a request and have been started."""
    found = threading.enumerate()
    return [one for one in found if "process_request_thread" in one.name and one.is_alive()]
