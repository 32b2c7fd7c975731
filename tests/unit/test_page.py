"""What an app's answers show: redirects inside the app, logins, a page that is there no more."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.assertions import page
from harness.assertions.health import page_warning
from harness.assertions.page import Asked, Page, Seen
from harness.assertions.protocol import Health
from harness.docker.http import Request, Response
from harness.model import WarningCode
from harness.recipes.doors import Door
from harness.recipes.meta import RecipeMeta

APP = Door(service="app", why="the HTTP router a")
API = Door(service="api", port=81, prefix="/api", path="/api", why="the HTTP router b")
FORM = "<form><input name='p' type='password'></form>"


@dataclass
class FakeApp:
    """An app that answers by service and path; what is not listed is 404."""

    answers: dict[str, Any]
    health: Health = field(default_factory=lambda: Health(doors=(APP, API)))
    asked: list[tuple[str, Request]] = field(default_factory=list)
    domain: str = "a.test"

    @property
    def facts(self) -> Any:  # noqa: ANN401  the part of it that is read
        """The facts of which only these are read."""
        return SimpleNamespace(health=self.health, recipe="made")

    def ask(self, request: Request, door: Door) -> Response:
        """Answer from the table: a status, or a status with the headers or the body."""
        self.asked.append((door.service, request))
        found = self.answers.get(f"{door.service} {request.path}", 404)
        found = found(request) if callable(found) else found
        status, more = found if isinstance(found, tuple) else (found, {})
        headers, body = (more, "") if isinstance(more, dict) else ({}, more)
        return Response(
            url=f"http://10.0.0.1:{door.port}{request.path}", status=status, headers=headers,
            body=body.encode(), container="c", error="" if status else "refused",
        )  # fmt: skip


def asked(answers: dict[str, Any], **health: Any) -> Page:  # noqa: ANN401  of several types
    """Ask an app that answers so for its page."""
    fake = FakeApp(answers)
    fake.health = replace(fake.health, **health)
    return page.ask(cast("Asked", fake))


def to(where: str, status: int = 302) -> tuple[int, dict[str, str]]:
    """Return a redirect."""
    return status, {"location": where}


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_page_is_a_page(status: int) -> None:
    """Whatever is below 400 and leads nowhere."""
    assert asked({"app /": status}).good


@pytest.mark.parametrize("status", [500, 503, 404, 400, 0])
def test_no_page_is_a_problem(status: int) -> None:
    """An app that answers 500 does not work, however well its health check does."""
    found = asked({"app /": status, "app /ok": 200})
    assert (found.seen, found.status) == (Seen.PROBLEM, status)
    assert f"status {status} instead of" in found.problem
    with_check = asked({"app /": status, "app /ok": 200}, check="/ok")
    assert with_check.seen is (Seen.CHECK if status in (404, 400) else Seen.PROBLEM)


def test_a_404_says_what_to_type() -> None:
    """An API has no page at `/`."""
    assert 'HEALTH_PATH = "/api/health", in tests/made/recipe_meta.py' in asked({}).problem


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("stage", ["install", "upgrade"])
def test_a_page_that_was_there_and_is_gone_is_a_problem(status: int, stage: str) -> None:
    """Even where it asks for a login now, or its health check is well."""
    answer = (status, {"www-authenticate": "Basic"})
    found = asked({"app /": answer, "app /ok": 200}, check="/ok", answered=stage)
    assert found.seen is Seen.PROBLEM
    assert f"the page was there after {stage}" in found.problem


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ((401, {"www-authenticate": "Basic realm=x"}), Seen.LOGIN),
        ((403, FORM), Seen.LOGIN),
        ((401, FORM), Seen.LOGIN),
        (401, Seen.REFUSED),
        ((403, "<h1>403 Forbidden</h1>"), Seen.REFUSED),
    ],
)
def test_a_first_refusal_is_a_login_or_is_said(answer: Any, seen: Seen) -> None:  # noqa: ANN401  see FakeApp
    """A fresh app may ask for a login; one that merely refuses showed nothing."""
    found = asked({"app /": answer})
    assert (found.seen, found.problem) == (seen, "")
    warning = page_warning(found, Health(), RecipeMeta())
    assert (warning and warning.code) == (
        WarningCode.PAGE_REFUSED if seen is Seen.REFUSED else None
    )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"app /": to("/login"), "app /login": 200}, (Seen.PAGE, 200)),
        ({"app /": to("login?next=%2F"), "app /login?next=%2F": 200}, (Seen.PAGE, 200)),
        ({"app /": to("http://a.test/x#top"), "app /x": 200}, (Seen.PAGE, 200)),
        ({"app /": to("/login"), "app /login": 500}, (Seen.PROBLEM, 500)),
        ({"app /": to("/login"), "app /login": 404}, (Seen.PROBLEM, 404)),
        # another host is an answer, and so are an address that is none and a redirect to nowhere
        ({"app /": to("https://sso.test/login")}, (Seen.PAGE, 302)),
        ({"app /": to("http://[bad")}, (Seen.PAGE, 302)),
        ({"app /": to("mailto:x@a.test")}, (Seen.PAGE, 302)),
        ({"app /": (302, {})}, (Seen.PAGE, 302)),
        # the router of another service takes the new path
        ({"app /": to("/api/x"), "api /api/x": 200}, (Seen.PAGE, 200)),
        ({"app /": to("/apiary"), "app /apiary": 200}, (Seen.PAGE, 200)),
        # circles
        ({"app /": to("/")}, (Seen.PROBLEM, 302)),
        ({"app /": to("/a"), "app /a": to("/")}, (Seen.PROBLEM, 302)),
        ({"app /": to("https://a.test/")}, (Seen.PAGE, 302)),
    ],
)
def test_redirects_are_followed_inside_the_app(
    answers: dict[str, Any], expected: tuple[Seen, int]
) -> None:
    """To the end, and no further; a server that trusts no proxy may insist on https for ever."""
    found = asked(answers)
    assert (found.seen, found.status) == expected


def test_a_redirect_to_https_is_asked_as_a_proxy_asks_that_ended_tls() -> None:
    """The container speaks http; the proxy says in a header that its visitor does not."""

    def answer(request: Request) -> object:
        secure = request.headers.get("X-Forwarded-Proto") == "https"
        return 200 if secure else to("https://a.test/")

    assert asked({"app /": answer}).good


def test_cookies_are_kept_on_the_way() -> None:
    """Some apps look whether a cookie came back before they show a login."""

    def answer(request: Request) -> object:
        there = request.headers.get("Cookie") == "s=1; t=2"
        return 200 if there else (302, {"location": "/b", "set-cookie": "s=1; Path=/\nt=2"})

    assert asked({"app /": answer, "app /b": answer}).good


def test_a_status_that_is_asked_for_is_that_of_the_first_answer() -> None:
    """It may be that of a redirect."""
    answers = {"app /": to("/login"), "app /login": 200}
    assert asked(answers, status=302).good
    assert asked(answers, status=200).seen is Seen.PROBLEM
    assert asked({"app /": 401}, status=401).good


def test_the_marker_may_stand_on_any_page_of_the_way() -> None:
    """In the text, or in a header."""
    answers = {"app /": to("/login"), "app /login": (200, "Gitea")}
    assert asked(answers, marker="Gitea").good
    assert asked(answers, marker="location: /login").good
    assert "the marker 'Forgejo'" in asked(answers, marker="Forgejo").problem


def test_where_nothing_says_that_there_is_a_page_silence_is_no_problem() -> None:
    """Unless a page was there before; and what answers is judged."""
    guess = {"certain": False}
    assert asked({"app /": 0}, **guess).seen is Seen.NOTHING
    assert asked({"app /": 0}, **guess, answered="install").seen is Seen.PROBLEM
    assert asked({"app /": 500}, **guess).seen is Seen.PROBLEM
    assert asked({}, service="").seen is Seen.NOTHING
    assert "nothing answers by http on port 80 of service app" in asked({"app /": 0}).problem


def test_that_no_page_was_asked_for_is_said_and_the_meta_may_accept_it() -> None:
    """Not where the recipe's own files name a page."""
    nothing = Page(seen=Seen.NOTHING, url="", status=0)
    none = RecipeMeta(HEALTH_SERVICE=None)
    for meta, doors, accepted in (
        (RecipeMeta(), (), False),
        (none, (), True),
        (none, (APP,), False),
    ):
        warning = page_warning(nothing, Health(service="", doors=doors), meta)
        assert warning
        assert (warning.code, bool(warning.accepted)) == (WarningCode.NO_PAGE, accepted)


def test_a_server_may_set_a_cookie_and_ask_again() -> None:
    """A redirect to the page itself is not a circle while the cookies change."""

    def cookie_wall(request: Request) -> object:
        again = {"location": "/", "set-cookie": "seen=1; Path=/"}
        return 200 if request.headers.get("Cookie") == "seen=1" else (302, again)

    assert asked({"app /": cookie_wall}).good


def test_the_same_cookie_again_is_a_circle() -> None:
    """One that is never content ends."""
    found = asked({"app /": (302, {"location": "/", "set-cookie": "seen=1"})})
    assert "it redirects in a circle" in found.problem


@pytest.mark.parametrize("where", ["/caf\xc3\xa9 1", "/caf%C3%A9%201"])
def test_an_address_is_encoded_as_browsers_do(where: str) -> None:
    """Bytes of a header are read one by one; those of UTF-8 are what the server means."""
    assert asked({"app /": to(where), "app /caf%C3%A9%201": 200}).good


@pytest.mark.parametrize("status", [405, 406, 415, 426])
def test_a_server_that_wants_another_request_works(status: int) -> None:
    """An API, a web socket, gRPC: that there is no page is said; one that was there is lost."""
    found = asked({"app /": status})
    assert found.seen is Seen.REFUSED
    warning = page_warning(found, Health(), RecipeMeta())
    assert warning is not None
    assert f"status {status}" in warning.text
    assert asked({"app /": status}, answered="install").seen is Seen.PROBLEM


@pytest.mark.parametrize(
    ("answer", "health", "good"),
    [
        ((200, " \n"), {"answered": "install", "was_filled": True}, False),
        ((200, "x"), {"answered": "install", "was_filled": True}, True),
        ((200, ""), {"answered": "install"}, True),  # it was empty before
        ((200, ""), {}, True),
        ((204, ""), {"answered": "install", "was_filled": True}, True),
        (to("https://login.example/"), {"answered": "install", "was_filled": True}, True),
        ((200, ""), {"answered": "install", "was_filled": True, "status": 200}, True),
    ],
)
def test_a_page_that_became_empty_is_lost(answer: Any, health: Any, good: bool) -> None:  # noqa: ANN401, FBT001  see FakeApp
    """A program that dies without a word often leaves a status of 200."""
    found = asked({"app /": answer}, **health)
    assert found.good is good
    assert good or "an empty body; there was text after install" in found.problem


@pytest.mark.parametrize("doors", [(), (Door(service="app", why="its health check"),)])
@pytest.mark.parametrize("service", ["app", ""])
def test_a_router_that_is_gone_is_a_problem(doors: tuple[Door, ...], service: str) -> None:
    """Nothing leads to the app from outside, however well its container answers."""
    before = {"answered": "install", "was_routed": True}
    found = asked({"app /": 200}, doors=doors, service=service, **before)
    assert found.seen is Seen.PROBLEM
    assert "no HTTP router of the recipe takes a.test any more" in found.problem
    elsewhere = replace(APP, host="other.test")
    assert not asked({"app /": 200}, doors=(elsewhere,), **before).good
    own = replace(APP, host="a.test")
    assert asked({"app /": 200}, doors=(elsewhere, own), **before).good
    assert asked({"app /": 200}, doors=(own,)).routed
    assert not asked({"app /": 200}, doors=(elsewhere,)).routed
