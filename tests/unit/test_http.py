"""Asking an app for a page: what is handed to curl, and what its answer means."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.docker.exec import ExecResult
from harness.docker.http import Prober, Request, Response
from harness.errors import ContainerUnavailableError, RecipeError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-App:  it: self \r\n\r\n"


@dataclass
class FakeTool:
    """A tool container whose curl answers as told."""

    code: int = 0
    stdout: bytes = OK
    stderr: bytes = b""
    argv: list[str] = field(default_factory=list)
    given: bytes = b""
    timeout: float = 0.0

    def exec(self, argv: list[str], *, timeout: float, check: bool, stdin: bytes) -> ExecResult:
        """Take the request, and answer."""
        assert not check
        self.argv, self.given, self.timeout = argv, stdin, timeout
        return ExecResult(
            argv=tuple(argv), stdout=self.stdout, stderr=self.stderr, code=self.code, container="t"
        )


def prober(tool: FakeTool, networks: dict[str, Any] | None = None) -> Prober:
    """Return a prober for an engine that has the container `c1` on those networks."""

    def inspect(identity: str) -> dict[str, Any]:
        if identity != "c1":
            raise NotFound("No such container")
        on = {"proxy": {"IPAddress": "10.0.1.7"}} if networks is None else networks
        return {"NetworkSettings": {"Networks": on}}

    client: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect))
    fake: Any = tool
    return Prober(client=client, tool=fake, timeout=3.0)


def ask(tool: FakeTool, request: Request | None = None) -> Response:
    """Send a request to `c1`, port 8080."""
    return prober(tool).send("c1", request or Request(), port=8080, host="a.test")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", '"plain"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\new", r'"C:\\new"'),
        ('\\"', r'"\\\""'),
        ("two\nlines", r'"two\nlines"'),
        ("a\r\n\tb", r'"a\r\n\tb"'),
        ("@/etc/passwd", '"@/etc/passwd"'),
        ("", '""'),
    ],
)
def test_a_body_reaches_curl_as_it_is(value: str, quoted: str) -> None:
    """A quote must not end the value, a newline must not begin an option, `@` names no file."""
    config = Request(method="POST", body=value).curl_config("http://x/", "h").decode()
    assert config.splitlines()[-1] == f"data-raw = {quoted}"


def test_no_value_of_a_request_can_become_an_option_of_curl() -> None:
    """One option per line, whatever is in the headers, the path or the password."""
    evil = 'x"\nupload-file = "/etc/passwd'
    request = Request(method=evil, auth=evil, headers={evil: evil}, body=evil)
    lines = request.curl_config(f"http://x/{evil}", evil).decode().splitlines()
    names = [line.partition(" = ")[0] for line in lines]
    assert names == ["url", "header", "request", "header", "user", "data-raw"]


def test_a_plain_request_has_neither_a_user_nor_a_body() -> None:
    """An empty Authorization header or body would be another request."""
    config = Request().curl_config("http://10.0.1.7:80/", "a.test").decode()
    assert config.splitlines() == [
        'url = "http://10.0.1.7:80/"',
        'header = "Host: a.test"',
        'request = "GET"',
    ]


def test_head_does_not_wait_for_a_body() -> None:
    """With `request = HEAD` curl waits for the body that never comes, until its time is up."""
    lines = Request(method="HEAD").curl_config("http://x/", "h").decode().splitlines()
    assert "head" in lines
    assert not any(line.startswith("request") for line in lines)


def test_the_request_goes_to_the_container_itself_and_never_on_argv() -> None:
    """Its own address and port, past every proxy; passwords only by standard input."""
    tool = FakeTool()
    ask(tool, Request(path="a/b?c=[1-2]", auth="me:hunter22"))
    assert b'url = "http://10.0.1.7:8080/a/b?c=[1-2]"\n' in tool.given
    assert b'user = "me:hunter22"\n' in tool.given
    assert not any("hunter22" in word or "10.0.1.7" in word for word in tool.argv)
    assert tool.argv == [
        "curl", "-sS", "-i", "--http1.1", "--globoff", "--noproxy", "*", "-m", "3", "-K", "-",
    ]  # fmt: skip
    assert tool.timeout > 3.0


def test_an_answer_is_taken_apart() -> None:
    """Header names are lower case and values whole; the body is bytes, blank lines included."""
    got = ask(FakeTool(stdout=OK + b"one\r\n\r\ntwo\xff"))
    assert (got.status, got.error, got.container) == (200, "", "c1")
    assert got.headers == {"content-type": "text/html", "x-app": "it: self"}
    assert got.body == b"one\r\n\r\ntwo\xff"
    assert got.text == "one\r\n\r\ntwo\ufffd"


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    ],
)
def test_what_stands_before_the_answer_is_not_the_answer(before: bytes) -> None:
    """`100 Continue` is no status of the app's."""
    got = ask(FakeTool(stdout=before + OK + b"body"))
    assert (got.status, got.headers["content-type"], got.body) == (200, "text/html", b"body")


def test_an_upgrade_of_the_protocol_is_an_answer() -> None:
    """101 is what a web socket's assertion waits for."""
    assert ask(FakeTool(stdout=b"HTTP/1.1 101 Switching Protocols\r\n\r\n")).status == 101


def test_a_status_without_words_is_a_status() -> None:
    """The reason phrase may be missing; a body may too."""
    got = ask(FakeTool(stdout=b"HTTP/1.1 404\r\n\r\n"))
    assert (got.status, got.body) == (404, b"")


@pytest.mark.parametrize(
    ("code", "words"),
    [(7, "refused"), (28, "in time"), (52, "empty"), (56, "cut"), (6, "looked up"), (3, "failed")],
)
def test_no_answer_is_said_and_is_no_status(code: int, words: str) -> None:
    """Whoever asserts a status sees why there is none; nothing half-read is taken for an answer."""
    got = ask(FakeTool(code=code, stdout=OK, stderr=b"curl: (x) why\n"))
    assert (got.status, got.headers, got.body) == (0, {}, b"")
    assert words in got.error
    assert got.error.endswith(f"(curl {code}: curl: (x) why)")


def test_a_container_that_is_gone_is_no_verdict_on_the_recipe() -> None:
    """It was replaced between two looks."""
    with pytest.raises(ContainerUnavailableError):
        prober(FakeTool()).address("c2")


@pytest.mark.parametrize("networks", [{}, {"other": {"IPAddress": "10.9.9.9"}}, {"proxy": {}}])
def test_a_container_on_another_network_is_not_asked(networks: dict[str, Any]) -> None:
    """No proxy could reach it either; and the request would leave by the default gateway."""
    tool = FakeTool()
    with pytest.raises(RecipeError, match="no address on the network proxy") as caught:
        prober(tool, networks).send("c1", Request(), port=80, host="h")
    assert ("other" in caught.value.cause) == ("other" in networks)
    assert tool.argv == []
