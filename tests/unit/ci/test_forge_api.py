"""HTTP with a forge: who gets the token, what is tried again, what a refusal says."""

import logging
from pathlib import Path

import pytest
import requests

from harness.ci.forge import gitea, gitlab
from harness.ci.forge.api import ATTEMPTS, MOST_BYTES, PAUSE, Api
from harness.ci.forge.token import Token, load
from harness.core.errors import ForgeBusyError, ForgeError, UsageError
from tests.unit.fake_clock import FakeClock
from tests.unit.fake_forge import FakeForge

SECRET = "s3cret-token"  # noqa: S105  of no real forge
BASE = "https://git.example.org/api/v1"


@pytest.fixture
def wire() -> FakeForge:
    return FakeForge()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(wire: FakeForge, clock: FakeClock) -> Api:
    token = Token(value=SECRET)
    return Api(base=BASE, token=token, sign=gitlab.sign, session=wire.session(), clock=clock)


@pytest.mark.parametrize(
    ("code", "told"),
    [(400, "wrong"), (401, "expired"), (403, "may not"), (404, "may not see"), (405, "address"),
     (409, "somebody else"), (410, "removed"), (422, "no such commit")],
)  # fmt: skip
def test_a_refusal_is_told_and_not_tried_again(
    wire: FakeForge, api: Api, code: int, told: str
) -> None:
    """Each with what is likely wrong; asking again would change nothing."""
    wire.answer({"message": f"no, {SECRET} is bad"}, code)
    with pytest.raises(ForgeError, match=told) as raised:
        api.get("/x")
    assert raised.value.status == code
    assert len(wire.sent) == 1
    assert SECRET not in str(raised.value)
    assert "**** is bad" in raised.value.detail
    assert raised.value.hint


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_trouble_of_the_forge_is_tried_again_a_few_times(
    wire: FakeForge, api: Api, code: int
) -> None:
    """And no more often."""
    for _ in range(ATTEMPTS):
        wire.answer("<html>", code)
    with pytest.raises(ForgeBusyError):
        api.get("/x")
    assert len(wire.sent) == ATTEMPTS


def test_a_forge_that_recovers_is_fine(wire: FakeForge, api: Api) -> None:
    """After a broken connection, too."""
    wire.fail(requests.exceptions.ConnectionError("reset"))
    wire.answer({}, 502)
    wire.answer({"a": 1})
    assert api.get("/x").content == {"a": 1}


@pytest.mark.parametrize("code", [500, 502])
def test_what_may_have_been_done_is_not_done_twice(wire: FakeForge, api: Api, code: int) -> None:
    """A comment that was made before the gateway gave up would be there twice."""
    wire.answer({}, code)
    with pytest.raises(ForgeBusyError):
        api.send("POST", "/x", body={}, once=True)
    assert len(wire.sent) == 1


def test_what_was_surely_not_done_is_done_again(wire: FakeForge, api: Api) -> None:
    """A forge that says 429 did nothing."""
    wire.answer({}, 429)
    wire.answer({}, 201)
    api.send("POST", "/x", body={}, once=True)
    assert len(wire.sent) == 2


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("30", 30),
        ("Fri, 31 Dec 1999 23:59:59 GMT", PAUSE),
        ("soon", PAUSE),
        ("Wed, 21 Oct 99999 07:28:00 GMT", PAUSE),
        (f"Wed, 21 Oct {'9' * 21} 07:28:00 GMT", PAUSE),
    ],
)
def test_a_pause_that_is_asked_for_is_made(
    wire: FakeForge, api: Api, clock: FakeClock, asked: str, pause: float
) -> None:
    """Asking sooner would only be refused again; a moment that is over asks nothing."""
    wire.answer({}, 429, retry_after=asked)
    wire.answer({})
    api.get("/x")
    assert sum(clock.slept) == pause


def test_a_pause_that_is_too_long_ends_it(wire: FakeForge, api: Api, clock: FakeClock) -> None:
    """The message says how long it would be."""
    wire.answer({"message": "API rate limit exceeded"}, 403, retry_after="1800")
    with pytest.raises(ForgeError, match="30 min"):
        api.get("/x")
    assert clock.slept == []


@pytest.mark.parametrize("target", ["https://evil.example.net/x", "http://git.example.org/x",
                                    "https://git.example.org:8443/x"])  # fmt: skip
def test_the_token_goes_to_no_other_host(wire: FakeForge, api: Api, target: str) -> None:
    """Another scheme or port is another host. The token is in a header that no library drops."""
    wire.answer("", 302, location=target)
    with pytest.raises(ForgeError, match="not followed"):
        api.get("/x")
    assert len(wire.sent) == 1


def test_a_look_is_sent_on_within_the_same_host(wire: FakeForge, api: Api) -> None:
    """A repository that was renamed; what changes something is never sent on."""
    wire.answer("", 301, location="/api/v1/repositories/5")
    wire.answer({"a": 1})
    assert api.get("/x").content == {"a": 1}
    assert wire.lines[1] == "GET https://git.example.org/api/v1/repositories/5"
    wire.answer("", 307, location="/api/v1/repositories/5")
    with pytest.raises(ForgeError, match="browser shows it now"):
        api.send("POST", "/x", body={})


def test_a_circle_ends(wire: FakeForge, api: Api) -> None:
    """Sent on for ever."""
    for _ in range(4):
        wire.answer("", 302, location="/api/v1/x")
    with pytest.raises(ForgeError, match="more than 3"):
        api.get("/x")


@pytest.mark.parametrize("content", ["<html>log in</html>", "{"])
def test_a_page_for_people_is_no_answer(wire: FakeForge, api: Api, content: str) -> None:
    """A wrong address often answers 200."""
    wire.answer(content)
    with pytest.raises(ForgeError, match="not from a forge's API"):
        api.get("/x")


def test_a_certificate_that_is_not_trusted_ends_it(wire: FakeForge, api: Api) -> None:
    """There is no way to go on without; it is not tried again."""
    wire.fail(requests.exceptions.SSLError("self-signed"))
    with pytest.raises(ForgeError, match="certificate is not trusted"):
        api.get("/x")


def test_the_token_is_not_sent_in_the_clear() -> None:
    """But to this machine itself, for a forge in a test."""
    token = Token(value=SECRET)
    with pytest.raises(UsageError, match="plain http"):
        Api(base="http://git.example.org/api/v1", token=token, sign=gitea.sign)
    Api(base="http://127.0.0.1:3000/api/v1", token=token, sign=gitea.sign)
    Api(base="http://git.example.org/api/v1", token=None, sign=gitea.sign)


def test_a_token_for_one_host_goes_to_no_other() -> None:
    """However the address got into the command line."""
    token = Token(value=SECRET, host="git.example.org")
    Api(base=BASE, token=token, sign=gitea.sign)
    with pytest.raises(UsageError, match=r"for git\.example\.org"):
        Api(base="https://evil.example.net/api/v1", token=token, sign=gitea.sign)


def test_a_login_in_netrc_is_not_sent(
    wire: FakeForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would put it in the place of the token."""
    (tmp_path / "netrc").write_text("machine git.example.org login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in (None, Token(value=SECRET)):
        wire.answer({})
        Api(base=BASE, token=token, sign=gitea.sign, session=wire.session()).get("/x")
    assert [one.headers.get("Authorization") for one in wire.sent] == [None, f"token {SECRET}"]


def test_the_token_is_in_no_log(
    wire: FakeForge, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in what the objects look like."""
    caplog.set_level(logging.DEBUG)
    wire.answer({})
    api.get("/x")
    assert SECRET not in caplog.text + repr(api)


def test_a_token_file(tmp_path: Path) -> None:
    """Only its owner should be able to read it, and nobody else to change it."""
    path, said = tmp_path / "token", list[str]()
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    assert load(path, said.append) == Token(value=SECRET)
    assert said == []
    path.chmod(0o644)
    load(path, said.append)
    assert "chmod 600" in said[0]
    assert SECRET not in said[0]
    path.chmod(0o620)
    with pytest.raises(UsageError, match="changed by others"):
        load(path, said.append)
    path.chmod(0o600)
    path.write_text(f"Git.Example.org {SECRET}")
    assert load(path, said.append) == Token(value=SECRET, host="git.example.org")


@pytest.mark.parametrize(
    "text", ["", "short", "a b c-d-e-f-g-h", "t\u00f6ken-token", "x" * 5000, "bad/host long-token"]
)
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    """Without showing it: it may be one, wrongly written."""
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="holds no token") as raised:
        load(path, lambda _: None)
    assert not text or text not in str(raised.value)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    """The option is named."""
    with pytest.raises(UsageError, match="--token-file"):
        load(tmp_path / "none", lambda _: None)


def test_an_answer_has_a_limit(wire: FakeForge, api: Api) -> None:
    """Whatever is at that address may send without end, or nest what it sends."""
    wire.answer("[" + " " * MOST_BYTES + "]")
    with pytest.raises(ForgeError, match=f"larger than {MOST_BYTES} bytes"):
        api.get("/x")
    wire.answer("[" * 100_000)
    with pytest.raises(ForgeError, match="not from a forge's API"):
        api.get("/x")
