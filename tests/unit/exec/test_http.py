"""Asking an app for a page: what is handed to curl, what its answer means, when to ask again."""

import gzip
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.core.errors import (
    ContainerUnavailableError,
    EngineError,
    ExecNotStartedError,
    ExecTimeoutError,
    HarnessError,
    RecipeError,
)
from harness.exec import http
from harness.exec.exec import DEATH_SECONDS, ExecResult, ExecTarget
from harness.exec.http import PatientProber, Prober, Request, Response
from tests.unit.fake_clock import FakeClock

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
    error: HarnessError | None = None

    def exec(
        self, argv: list[str], *, timeout: float, check: bool, stdin: bytes, most: int, cut: bool
    ) -> ExecResult:
        """Take the request, and answer."""
        assert not check
        assert cut
        self.argv, self.given, self.timeout = argv, stdin, timeout
        if self.error:
            raise self.error
        return ExecResult(
            argv=tuple(argv), stdout=self.stdout[:most], stderr=self.stderr, code=self.code,
            container="t", cut=len(self.stdout) > most,
        )  # fmt: skip


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


def test_lines_may_end_with_a_line_feed_alone() -> None:
    """As those of small servers do."""
    got = ask(FakeTool(stdout=b"HTTP/1.0 302 Found\nLocation: /a\xc2\x85b\n\none\n\ntwo"))
    assert (got.status, got.body) == (302, b"one\n\ntwo")
    assert got.headers == {"location": "/a\xc2\x85b"}


def test_a_body_that_was_packed_unasked_is_unpacked() -> None:
    """A marker is looked for in what a browser shows; what is not packed stays as it is."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    assert ask(FakeTool(stdout=head + gzip.compress(b"the page"))).text == "the page"
    assert ask(FakeTool(stdout=head + b"not packed")).text == "not packed"


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
    assert got.sent == (code not in {6, 7})
    assert got.error.endswith(f"(curl {code}: curl: (x) why)")


@pytest.mark.parametrize("kind", [ExecNotStartedError, ExecTimeoutError])
def test_a_curl_that_hangs_accuses_the_machine(kind: type[HarnessError]) -> None:
    """It limits its own time, so no app can make it hang, however slow that is."""
    with pytest.raises(EngineError, match=r"could not ask for http://10\.0\.1\.7:8080/: it hung"):
        ask(FakeTool(error=kind("it hung")))


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


@dataclass
class Answer:
    """How one request ends: curl's code or a status, and what becomes of the container then."""

    status: int = 200
    curl: int = 0
    then: str = ""  # "replaced", "restarted", "retired" (it runs on) or "" for nothing
    looks: int = 0  # how many looks later that shows


REFUSED, CUT = Answer(curl=7), Answer(curl=56)
SAFE, UNSAFE = Request(path="/p"), Request(path="/p", method="POST")


@dataclass
class World:
    """A service whose container answers as told; without more answers, with the last one."""

    answers: list[Answer]
    serving: int = 1
    started: int = 1
    retired: list[str] = field(default_factory=list)
    off_network: str = ""  # the container that is on no network
    flickers: bool = False  # every second look finds no container
    looked: int = 0
    coming: tuple[str, int] = ("", 0)
    asked: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def resolve(self) -> str:
        """Return which container serves."""
        return f"c{self.serving}"

    def inspect_container(self, identity: str) -> dict[str, Any]:
        """Answer for those that live."""
        what, looks = self.coming
        if looks:
            self.coming = (what, looks - 1)
            if looks == 1:
                self.become(what)
        self.looked += 1
        gone = self.flickers and self.looked % 2 == 0
        if gone or identity not in {self.resolve(), *self.retired}:
            raise NotFound("No such container")
        state = {
            "Running": True,
            "Status": "running",
            "ExitCode": 0,
            "StartedAt": f"t{self.started}",
        }
        on = {} if identity == self.off_network else {"proxy": {"IPAddress": f"ip-{identity}"}}
        return {"Id": identity, "State": state, "NetworkSettings": {"Networks": on}}

    def become(self, what: str) -> None:
        """Replace, retire or restart the container."""
        if what == "retired":
            self.retired.append(self.resolve())
        if what in {"replaced", "retired"}:
            self.serving += 1
        if what == "restarted":
            self.started += 1

    def exec(
        self, argv: list[str], *, timeout: float, check: bool, stdin: bytes, **limits: int
    ) -> ExecResult:
        """Answer as curl in the tool container does."""
        assert argv
        assert limits == {"most": http.MOST_BYTES, "cut": True}
        assert timeout
        assert not check
        self.asked.append(stdin.decode().partition("://")[2].partition(":")[0])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.looks:
            self.coming = (answer.then, answer.looks)
        else:
            self.become(answer.then)
        stdout = f"HTTP/1.1 {answer.status} x\r\n\r\n".encode()
        return ExecResult(argv=(), stdout=stdout, stderr=b"", code=answer.curl, container="t")

    def ask(self, request: Request, *handed_over: str, patience: float = 20.0) -> Response:
        """Ask the service."""
        client: Any = SimpleNamespace(api=self)
        tool: Any = self
        target = ExecTarget(
            client=client, name="app", resolve=self.resolve, patience=patience, clock=self.clock,
            note=self.noted.append,
        )  # fmt: skip
        prober = Prober(client=client, tool=tool)
        patient = PatientProber(prober=prober, target=target, handed_over=handed_over)
        return patient.send(request, port=80, host="h")


@pytest.mark.parametrize("handed_over", [(), ("c1",), ("c0",)])
def test_an_answer_is_an_answer(handed_over: tuple[str, ...]) -> None:
    """Whatever its status, and whoever gave it: it is asked for once, and nothing is noted."""
    for status in (200, 401, 404, 500):
        world = World([Answer(status=status, then="replaced")])
        assert world.ask(SAFE, *handed_over).status == status
        assert (world.asked, world.noted, world.clock.now) == (["ip-c1"], [], 0.0)


@pytest.mark.parametrize("ends", [REFUSED, CUT, Answer(curl=28), Answer(curl=52)])
def test_a_container_that_was_handed_over_and_gives_no_answer_is_broken(ends: Answer) -> None:
    """It is looked at for a moment, since its end may show late, and then that is how it is."""
    world = World([ends])
    got = world.ask(SAFE, "c0", "c1")
    assert (got.status, got.container) == (0, "c1")
    assert (world.asked, world.noted) == (["ip-c1"], [])
    assert DEATH_SECONDS <= world.clock.now < DEATH_SECONDS + 0.2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_status_of_a_container_that_was_handed_over_is_its_word(status: int) -> None:
    """An assertion may be looking for it: it comes at once."""
    world = World([Answer(status=status)])
    assert world.ask(SAFE, "c1").status == status
    assert (len(world.asked), world.clock.now) == (1, 0.0)


@pytest.mark.parametrize("then", ["replaced", "retired", "restarted"])
@pytest.mark.parametrize("looks", [0, 4])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_container_that_is_replaced_under_a_safe_request_costs_a_try(
    method: str, looks: int, then: str
) -> None:
    """The new one is asked, also when the old one's end shows late; each try is in the record."""
    world = World([Answer(curl=52, then=then, looks=looks), REFUSED, Answer()])
    got = world.ask(Request(path="/p", method=method), "c1")
    new = "c1" if then == "restarted" else "c2"
    assert (got.status, got.container) == (200, new)
    assert world.asked == ["ip-c1", f"ip-{new}", f"ip-{new}"]
    assert [line.partition(": ")[0] for line in world.noted] == [
        f"{method} /p of app, try 1",
        f"{method} /p of app, try 2",
        f"{method} /p of app",
    ]
    assert "container c1 was replaced: the answer was empty" in world.noted[0]
    assert f"container {new} is a new one: the connection was refused" in world.noted[1]
    assert "3 tries" in world.noted[2]


@pytest.mark.parametrize(
    "ends", [REFUSED, CUT, *(Answer(status=status) for status in (502, 503, 504))]
)
def test_a_container_that_was_not_handed_over_may_still_be_coming_up(ends: Answer) -> None:
    """It has as long as the patience lasts; then its last word counts."""
    world = World([ends, ends, ends, Answer()])
    assert world.ask(SAFE, "c0").status == 200
    assert len(world.asked) == 4
    world = World([ends])
    got = world.ask(SAFE, "c0", patience=10.0)
    assert got.status == (0 if ends.curl else ends.status)
    assert 10.0 <= world.clock.now < 10.0 + DEATH_SECONDS + 0.6


def test_a_service_that_is_leaving_may_say_503() -> None:
    """A server that was told to stop often does; the new one is asked then."""
    world = World([Answer(status=503, then="retired"), Answer()])
    assert world.ask(SAFE, "c1").container == "c2"


def test_with_nothing_handed_over_only_a_change_makes_a_container_new() -> None:
    """A seed hook, or whoever waits for the first answer, is told at once that there is none."""
    world = World([REFUSED])
    assert world.ask(SAFE).status == 0
    assert (len(world.asked), world.clock.now) == (1, 0.0)
    assert World([Answer(status=503)]).ask(SAFE).status == 503
    world = World([Answer(curl=56, then="replaced"), REFUSED, Answer(status=503), Answer()])
    assert (world.ask(SAFE).status, len(world.asked)) == (200, 4)


def test_a_request_that_changes_something_is_never_sent_twice() -> None:
    """It may have been carried out; so neither an answer nor a verdict can be had."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "MKCALENDAR"):
        for looks in (0, 4):
            world = World([Answer(curl=52, then="replaced", looks=looks), Answer()])
            with pytest.raises(ContainerUnavailableError, match=f"{method} /p of app"):
                world.ask(Request(path="/p", method=method), "c1")
            assert world.asked == ["ip-c1"]
    for ends in (CUT, Answer(status=503), Answer(status=503, then="replaced")):
        world = World([ends, Answer()])
        assert world.ask(UNSAFE, "c0").status == ends.status * (not ends.curl)
        assert world.asked == ["ip-c1"]


def test_a_request_that_was_certainly_not_sent_may_be_sent() -> None:
    """Nobody took the connection, so nothing was carried out."""
    for handed_over, ends in (("c1", Answer(curl=7, then="replaced")), ("c0", REFUSED)):
        world = World([ends, REFUSED, Answer(status=201)])
        assert (world.ask(UNSAFE, handed_over).status, len(world.asked)) == (201, 3)
    world = World([REFUSED])
    assert (world.ask(UNSAFE, "c1").status, len(world.asked)) == (0, 1)


@pytest.mark.parametrize("request_", [SAFE, UNSAFE], ids=["safe", "unsafe"])
def test_a_container_that_is_gone_before_it_is_asked_costs_a_try(request_: Request) -> None:
    """Its address cannot be had any more: nothing was sent."""
    world = World([Answer()], coming=("replaced", 2))
    assert world.ask(request_, "c1").container == "c2"
    assert world.asked == ["ip-c2"]
    assert "container c1 is gone" in world.noted[0]


def test_a_container_without_an_address_may_be_ending() -> None:
    """Its networks are taken from it first; one that stays is on the wrong network."""
    world = World([Answer()], off_network="c1")
    with pytest.raises(RecipeError, match="no address on the network proxy"):
        world.ask(SAFE, "c1")
    world = World([Answer()], off_network="c1", coming=("replaced", 4))
    assert world.ask(SAFE, "c1").container == "c2"


def test_containers_that_come_and_go_for_ever_are_no_verdict_on_the_recipe() -> None:
    """None of them could be asked, for as long as the patience lasts."""
    world = World([Answer()], flickers=True)
    with pytest.raises(ContainerUnavailableError, match="long enough to be asked"):
        world.ask(SAFE, "c1", patience=20.0)
    assert world.asked == []
    assert 20.0 <= world.clock.now < 21.0


def test_over_tls_the_hosts_name_is_in_the_handshake_and_the_certificate_is_not_verified() -> None:
    """A proxy asks `scheme=https` so; the app's certificate is its own."""
    tool = FakeTool()
    found = prober(tool).send("c1", Request(path="/x"), port=8443, host="a.test", scheme="https")
    assert found.url == "https://a.test:8443/x"
    assert "--insecure" in tool.argv
    assert 'resolve = "a.test:8443:10.0.1.7"' in tool.given.decode()


def test_http_2_without_tls_is_spoken_where_a_label_says_so() -> None:
    """`scheme=h2c`; else nothing but HTTP/1.1, and a certificate is not asked for."""
    tool = FakeTool(stdout=b"HTTP/2 200 \r\n\r\n")
    found = prober(tool).send("c1", Request(), port=1, host="a.test", scheme="h2c")
    assert (found.status, found.url) == (200, "http://10.0.1.7:1/")
    assert "--http2-prior-knowledge" in tool.argv
    ask(tool)
    assert not {"--http2-prior-knowledge", "--insecure"} & set(tool.argv)


def test_every_cookie_of_an_answer_is_kept() -> None:
    """Each has a line of its own."""
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-A: 1\r\nset-cookie: b=2\r\nX-A: 2\r\n\r\n"
    assert ask(FakeTool(stdout=answer)).headers == {"set-cookie": "a=1\nb=2", "x-a": "2"}


def test_an_endless_page_is_read_as_far_as_its_limit() -> None:
    """It answers, and what was read of it can be judged; curl may still be at it."""
    answer = ask(FakeTool(code=141, stdout=OK + b"x" * 2 * http.MOST_BYTES))
    assert (answer.status, answer.cut) == (200, True)
    assert len(OK) + len(answer.body) == http.MOST_BYTES
    assert not ask(FakeTool(stdout=OK + b"x")).cut


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 103 E\r\nLink: a\r\n\r\n", b"X: a\r\n"]
)
def test_a_head_of_the_largest_size_is_read_at_once(piece: bytes) -> None:
    """Whatever it is made of: the time that it takes grows with its length, and no faster."""
    began = time.process_time()
    raw = b"HTTP/1.1 200 OK\r\n" + piece if piece.startswith(b"X") else piece
    answer = ask(FakeTool(stdout=raw + piece * (http.MOST_BYTES // len(piece) + 1)))
    assert (answer.status, answer.cut) == (200 if piece.startswith(b"X") else 0, True)
    assert bool(answer.error) == (answer.status == 0)
    assert time.process_time() - began < 10
