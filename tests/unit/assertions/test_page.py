"""What an app's answers show: redirects inside the app, logins, a page that is there no more."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.assertions import page
from harness.assertions.health import page_warning
from harness.assertions.look import Page, Seen, Sign
from harness.assertions.page import Asked
from harness.assertions.protocol import Health
from harness.core.model import WarningCode
from harness.exec.http import Request, Response
from harness.recipes.doors import Door
from harness.recipes.meta import RecipeMeta

APP = Door(service="app", why="the HTTP router a")
API = Door(service="api", port=81, prefix="/api", path="/api", why="the HTTP router b")
FIRST = Page(seen=Seen.PAGE, url="http://10.0.0.1/", status=200)
AFTER: dict[str, Any] = {"answered": "install", "earlier": FIRST}
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


def test_a_prefix_that_the_proxy_adds_is_added_to_where_a_redirect_leads() -> None:
    """The proxy adds it to whatever a visitor asks for."""
    door = Door(service="app", path="/web/", why="the HTTP router a")
    found = asked({"app /web/": to("/in"), "app /web/in": 200}, doors=(door,), path="/web/")
    assert (found.seen, found.status) == (Seen.PAGE, 200)


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
        ((200, " \n"), AFTER, False),
        ((200, "x"), AFTER, True),
        ((200, ""), {**AFTER, "earlier": replace(FIRST, empty=True)}, True),  # it was empty before
        ((200, ""), {}, True),
        ((204, ""), AFTER, True),
        (to("https://login.example/"), AFTER, True),
        ((200, ""), {**AFTER, "status": 200}, True),
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
    before = {"answered": "install", "earlier": replace(FIRST, routed=True, empty=True)}
    found = asked({"app /": 200}, doors=doors, service=service, **before)
    assert found.seen is Seen.PROBLEM
    assert "no HTTP router of the recipe takes a.test any more" in found.problem
    elsewhere = replace(APP, host="other.test")
    assert not asked({"app /": 200}, doors=(elsewhere,), **before).good
    own = replace(APP, host="a.test")
    assert asked({"app /": 200}, doors=(elsewhere, own), **before).good
    assert asked({"app /": 200}, doors=(own,)).routed
    assert not asked({"app /": 200}, doors=(elsewhere,)).routed


def page_of(title: str = "Bread and salt", body: str = "<p>Welcome, baker</p>") -> str:
    """Return a page."""
    return f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"


LONG = "<input name='site'><button>Go</button>"
PHP = (
    "<br />\n<b>Fatal error</b>:  Uncaught RuntimeException: APP_SECRET in /var/www/index.php:17\n"
    "Stack trace:\n#0 {main}\n  thrown in <b>/var/www/index.php</b> on line <b>17</b><br />"
)
PYTHON = 'Traceback (most recent call last):\n  File "/app/x.py", line 3, in <module>\nKeyError'
JAVA = "java.lang.NullPointerException: x\n\tat org.example.App.main(App.java:10)"
NODE = "Error: Cannot find module 'x'\n    at Module.load (node:internal/modules:1:23)"
GO = "panic: no such table\n\ngoroutine 1 [running]:\nmain.main()"
HIDDEN = f"<script>say('{PYTHON}'); x = 'Error establishing a database connection'</script>"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        # what a visitor would regret
        (to("/install.php"), "sets the app up (/install.php)"),
        (to("/setup/start?step=1"), "sets the app up (/setup/start?step=1)"),
        (to("/index.php?module=Installation"), "sets the app up"),
        (to("/wp-admin/install.php", 301), "sets the app up"),
        (to("/onboarding.html"), "sets the app up"),
        ((200, page_of("Bread setup", LONG)), "sets the app up ('Bread setup')"),
        (to("/login"), "a login (/login)"),
        (to("/users/sign_in?next=/"), "a login (/users/sign_in)"),
        (to("/wp-login.php"), "a login"),
        ((200, page_of("Log in", FORM)), "a login ('Log in')"),
        ((200, PHP), "the error of a program (Fatal error: Uncaught RuntimeException"),
        ((200, page_of(body=f"<pre>{PYTHON}</pre>")), "the error of a program (Traceback"),
        ((200, page_of(body=PYTHON.replace('"', "&quot;"))), "the error of a program"),
        ((200, JAVA), "the error of a program"),
        ((200, NODE), "the error of a program"),
        ((200, GO), "the error of a program"),
        ((200, page_of(body="<h1>Error establishing a database connection</h1>")), "of a program"),
        ((200, page_of(body="Database connection error")), "the error of a program"),
        ((200, "could not connect to the database"), "the error of a program"),
        ((200, '{"error": "connect ECONNREFUSED 10.0.0.3:5432"}'), "the error of a program"),
        ((200, "SQLSTATE[HY000] [2002] Connection refused"), "the error of a program"),
        ((200, page_of("Welcome to nginx!")), "a web server's own page ('Welcome to nginx!')"),
        ((200, page_of("", "<h1>It works!</h1>")), "a web server's own page"),
        ((200, page_of("Index of /")), "a web server's own page"),
        ((200, page_of("Apache2 Debian Default Page: It works")), "a web server's own page"),
        (to("http://localhost:3000/"), "no visitor can reach (http://localhost:3000/)"),
        (to("https://127.0.0.1/"), "no visitor can reach"),
        (to("http://10.0.3.7/x"), "no visitor can reach"),
        (to("http://web/"), "no visitor can reach"),
        (to("http://a.test:8080/"), "no visitor can reach"),
        # and what says nothing
        ((200, page_of()), ""),
        ((200, page_of("Bread and pepper")), ""),
        ((200, page_of(body=f"{HIDDEN}<p>Welcome</p>")), ""),
        ((200, page_of(body="<p>How to install it, and a setup that works</p>")), ""),
        ((200, page_of(body=f"<h1>Install the app</h1>{LONG}")), ""),
        ((200, page_of(body=f"<p>Welcome</p>{FORM}")), ""),  # a login beside the page
        ((200, page_of("Setup guide", "<p>Read on</p>")), ""),  # nothing to fill in
        (to("/en/"), ""),
        (to("/reinstalled"), ""),
        (to("/blogging"), ""),
        (to("https://www.example.org/"), ""),
    ],
)
def test_a_page_that_became_another_one_is_lost(answer: Any, why: str) -> None:  # noqa: ANN401  see FakeApp
    """An installer, a login, an error with status 200: only if the page of before was none."""
    answers = {"app /": (200, page_of())}
    before = asked(answers)
    assert before.good
    after = {"app /": answer, "app /en/": 200, "app /reinstalled": 200, "app /blogging": 200}
    path = answer[1].get("location", "") if isinstance(answer[1], dict) else ""
    after |= {f"app {path}": (200, page_of())} if path.startswith("/") else {}
    found = asked(after, answered="install", earlier=before)
    assert (found.good, found.unlike) == (not why, bool(why))
    assert why in found.problem
    if why:
        assert "and did not after install" in found.problem
        assert "MARKER" in found.problem
        # it was so before, or nothing is known of before, or the meta says what counts
        same = asked(after)
        assert same.good
        assert asked(after, answered="install", earlier=same).good
        assert asked(after, answered="install", earlier=before, marker="").seen is Seen.PROBLEM
        first = answer[0]
        assert asked(after, answered="install", earlier=before, status=first).good


def test_a_marker_goes_before_what_a_page_looks_like() -> None:
    """The meta says what proves that it works."""
    before = asked({"app /": (200, page_of())})
    after = {"app /": to("/login"), "app /login": (200, page_of("Log in", FORM + "Bread 2"))}
    assert not asked(after, answered="install", earlier=before).good
    assert asked(after, answered="install", earlier=before, marker="Bread 2").good


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ("/setup", "/login", True),  # an account was made
        ("/login", "/login?next=/setup", True),
        ("/login", "/setup", False),
        ("/login", "/", True),
        ("/install", "/install", True),
        ("/setup", "/maintenance", True),
    ],
)
def test_which_page_may_follow_which(before: str, after: str, good: bool) -> None:  # noqa: FBT001  a result
    """What was set up asks for a login; what asks to be set up again was lost."""

    def leads(where: str) -> dict[str, Any]:
        return {"app /": to(where), f"app {where}": 200} if where != "/" else {"app /": 200}

    earlier = asked(leads(before))
    assert asked(leads(after), answered="install", earlier=earlier).good is good


def test_a_login_form_beside_the_page_explains_a_login() -> None:
    """The form was there before; that it has an address of its own now loses nothing."""
    before = asked({"app /": (200, page_of(body=FORM))})
    after = {"app /": to("/login"), "app /login": (200, page_of("Log in", FORM))}
    assert asked(after, answered="install", earlier=before).good


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (to("/update.php"), "a page about an upgrade or maintenance ('/update.php')"),
        ((200, page_of("Bread", "<h1>Under maintenance</h1>")), "('Under maintenance')"),
        (to("https://login.example.org/"), "another site (https://login.example.org/)"),
        ((200, page_of("Adminer", "<p>Server</p>")), "its title was 'Bread and salt' and is"),
        ((200, page_of("Adminer", "<p>made by Bread</p>")), ""),
        ((200, page_of("Bread 2")), ""),
        ((200, page_of()), ""),
        ((200, '{"status": "ok"}'), "its title was 'Bread and salt' and is ''"),
    ],
)
def test_a_page_that_changed_and_may_be_meant_is_a_warning(answer: Any, told: str) -> None:  # noqa: ANN401  see FakeApp
    """It stands beside the verdict, with how the page looked before."""
    before = asked({"app /": (200, page_of())})
    after = {"app /": answer, "app /update.php": (200, "x")}
    found = asked(after, answered="install", earlier=before)
    assert found.good
    assert told in found.changed
    assert bool(told) == bool(found.changed)
    warning = page_warning(found, Health(answered="install", earlier=before), RecipeMeta())
    assert (warning and warning.code) == (WarningCode.PAGE_CHANGED if told else None)
    assert not asked({"app /": answer, "app /update.php": 200}).changed


def test_an_error_on_the_first_page_is_a_warning() -> None:
    """Nothing is known of how it looked before, and a page may quote an error."""
    found = asked({"app /": (200, PHP)})
    assert found.signs == (Sign.ERROR,)
    warning = page_warning(found, Health(), RecipeMeta())
    assert warning is not None
    assert warning.code is WarningCode.PAGE_SHOWS_ERROR
    after = Health(answered="install", earlier=found)
    assert page_warning(found, after, RecipeMeta()) is None, "once is enough"
    assert page_warning(asked({"app /": (200, page_of())}), Health(), RecipeMeta()) is None


def test_a_page_of_any_size_is_looked_at_quickly() -> None:
    """Pages may be hostile: what never ends is read once."""
    for part in ("<script>", "<title>", "<!--", "fatal error: ", "<h1 ", "Traceback ", "&quot;"):
        assert asked({"app /": (200, part * 40_000)}).good


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, ""), (302, ""), (404, "status 404"), (500, "status 500"), (0, "status 0")],
)
def test_a_server_that_traefik_takes_for_dead_is_warned_of(status: int, told: str) -> None:
    """traefik/traefik, issue 3417: its page is well, and all visitors get a 503."""
    door = replace(APP, balance="/health")
    found = asked({"app /": 200, "app /health": status}, doors=(door,))
    assert (found.good, bool(found.unbalanced)) == (True, bool(told))
    warning = page_warning(found, Health(service="app"), RecipeMeta())
    assert (warning and warning.code) == (WarningCode.ROUTER_DROPPED if told else None)
    assert told in (warning.text if warning else "")
    assert not asked({"app /": 500, "app /health": status}, doors=(door,)).unbalanced


def test_the_message_names_the_router_that_traefik_drops() -> None:
    """It is why no visitor gets there."""
    door = replace(APP, host="a.test", dropped="no label gives the port of its service")
    before = {"answered": "install", "earlier": replace(FIRST, routed=True)}
    problem = asked({"app /": 200}, doors=(door,), **before).problem
    assert "(Traefik drops the HTTP router a: no label gives the port of its service)" in problem
