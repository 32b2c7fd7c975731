"""What an app's page looks like, so that it can be compared with how it looked before an op. Pure.

A page that answers may still be another one: an app that lost its configuration asks to be set up,
one without its database says so with status 200, and a web server without its files shows a page of
its own. None of that says anything by itself; that it was not so before the op does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from harness.exec.http import NOT_YET, Response

LOOKED_AT = 100_000  # characters of a page
_HIDDEN = ("script", "style", "template", "noscript")
_INLINE = ("a", "b", "code", "em", "i", "small", "span", "strong")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>")
_PASSWORD = re.compile(r"type\s*=\s*[\"']?password")
_WORD = re.compile(r"[^\W\d_]{4,}")


def _words(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{text})(?![a-z0-9])", re.IGNORECASE)


_SETUP = _words("install|installer|installation|setup|set-?up|wizard|onboarding|first-?run")
_SETUP_TITLE = _words("installer|installation|setup|set up|first[- ]run|onboarding")
_LOGIN = _words("log[- ]?in|log[- ]?on|sign[-_ ]?in|oauth2?|sso|saml2?")
_UPKEEP = _words(r"upgrade|update\.php|coreupdater|migration|maintenance")
_CANNOT = "unable to|failed to|could not|cannot|can't|couldn't"
_DATABASE = r"(?:the |a |local )*(?:database|db|mysql|mariadb|postgres\w*|redis|mongo\w*)"
_ERRORS = tuple(
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"\b(?:fatal|parse) error:\s.{1,500}?\bon line \d+",  # PHP
        r"Traceback \(most recent call last\):\s+File \"",  # Python
        r"\b\w*(?:Error|Exception)\b[^\n]*\n\s+at [\w$.<>\[\] ]+\(?[\w./:<>-]*:\d+",  # Java, JS
        r"\bpanic: [^\n]+\n+goroutine \d+ \[",  # Go
        r"\berror establishing a database connection",
        r"\bdatabase (?:connection|server)? ?(?:error|failed|failure|refused|unavailable)\b",
        rf"\b(?:{_CANNOT}) connect to {_DATABASE}\b",
        r"\bSQLSTATE\[",
        r"\b(?:connect )?ECONNREFUSED\b",
    )
)
_SERVERS_OWN = re.compile(
    r"Welcome to (?:nginx|OpenResty|CentOS)\b.*|Apache2 \w+ Default Page.*|It works!?|"
    r"Test Page for the .*|Index of /.*|Directory listing for /.*|Caddy works!.*",
    re.IGNORECASE,
)


class Seen(StrEnum):
    """What an app's answer shows."""

    PAGE = "page"
    CHECK = "health check"  # there is a page where the recipe's own health check asks
    LOGIN = "login"
    REFUSED = "refused"  # 401 or 403 and nothing that asks for a login, or another request is due
    NOTHING = "nothing"  # no page, and nothing says that there is one
    PROBLEM = "problem"


class Sign(StrEnum):
    """What a page has in it that the one before an op may not have had."""

    SETUP = "a page that sets the app up"
    LOGIN = "a login"
    FORM = "a field for a password"
    ERROR = "the error of a program"
    SERVER = "a web server's own page"
    LOST = "an address that no visitor can reach"
    AWAY = "another site"
    UPKEEP = "a page about an upgrade or maintenance"


FAILS = {  # each with the likely cause
    Sign.SETUP: "it lost its configuration or its data, or cannot reach its database",
    Sign.ERROR: "a setting, a file or a database that it needs is missing",
    Sign.SERVER: "its files or its server's configuration are gone",
    Sign.LOST: "it does not know its domain, or that a proxy stands before it",
    Sign.LOGIN: "its settings changed: visitors could open the page",
}
WARNS = (Sign.UPKEEP, Sign.AWAY)
# An account that was made turns a page that sets the app up into a login: nothing was lost.
EXPLAINED = {Sign.LOGIN: (Sign.SETUP, Sign.FORM)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What came of asking an app for its page.

    Attributes:
        seen: what the answer shows.
        url: what was asked last; empty where nothing was asked.
        status: the last status; 0 for no answer at all.
        problem: what is wrong with it, for people; empty when nothing is.
        empty: whether the answer's body holds nothing.
        routed: whether a router of the recipe takes the app's domain.
        title: its title, or empty.
        signs: what it has in it.
        unlike: whether the problem is that it differs from the page of before.
        changed: how it differs from that page, where that may well be meant; or empty.
        unbalanced: why Traefik's own health check would keep all visitors from it, or empty.
    """

    seen: Seen
    url: str
    status: int
    problem: str = ""
    empty: bool = False
    routed: bool = False
    title: str = ""
    signs: tuple[Sign, ...] = ()
    unlike: bool = False
    changed: str = ""
    unbalanced: str = ""

    @property
    def answered(self) -> bool:
        """Whether the app answers; a server whose other half is missing does not yet."""
        return self.status not in (0, *NOT_YET)

    @property
    def good(self) -> bool:
        """Whether the path that its users open shows a page."""
        return self.seen is Seen.PAGE


class _Reader:
    """Reads what a visitor sees of a page, and whether there is anything to fill in.

    It reads a page once from its begin to its end, whatever the page is: the parser of Python's own
    library takes minutes for 100,000 characters of tags that are never closed.
    """

    def __init__(self, markup: str) -> None:
        self.said: dict[str, list[str]] = {"title": [], "h1": []}
        self.seen: list[str] = []
        self.fields, self.password = False, False
        self._inside = ""
        text, *rest = _TAG.split(_without_comments(markup))
        self._text(text)
        for closing, tag, attributes, following in zip(*[iter(rest)] * 4, strict=True):
            self._tag(closing, tag.lower(), attributes.lower())
            self._text(following)

    def _tag(self, closing: str, tag: str, attributes: str) -> None:
        self.seen.append("" if tag in _INLINE else "\n")
        if closing:
            self._inside = "" if tag == self._inside else self._inside
        elif self._inside not in _HIDDEN:
            self._inside = tag if tag in _HIDDEN or self.said.get(tag) == [] else self._inside
            self.fields = self.fields or tag in ("input", "button", "select")
            self.password = self.password or bool(tag == "input" and _PASSWORD.search(attributes))

    def _text(self, text: str) -> None:
        if self._inside in _HIDDEN:
            return
        self.seen.append(text)
        if self._inside:
            self.said[self._inside].append(text)

    @property
    def text(self) -> str:
        """All visible text; what stands in elements of their own is on lines of its own."""
        return html.unescape("".join(self.seen))

    def named(self, tag: str) -> str:
        """Return the first title or heading, on one line."""
        return " ".join(html.unescape("".join(self.said[tag])).split())


def _without_comments(markup: str) -> str:
    before, *comments = markup.split("<!--")
    return before + "".join(comment.partition("-->")[2] for comment in comments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An answer's page: its title, its visible text, and its signs, each with where it was seen."""

    title: str
    text: str
    signs: Mapping[Sign, str]

    @classmethod
    def of(cls, answer: Response, at: SplitResult, away: str) -> Look:
        """Look at an answer.

        Args:
            answer: the last one, after redirects inside the app.
            at: the address in the app at which a visitor is then.
            away: where it leads out of the app, or empty.
        """
        read = _Reader(answer.text[:LOOKED_AT])
        signs = dict(_signs(read, at))
        if away:
            signs[Sign.LOST if _is_lost(urlsplit(away), at) else Sign.AWAY] = away
        return cls(title=read.named("title"), text=read.text, signs=signs)

    def worse(self, earlier: Page, stage: str) -> str:
        """Return what it has that a visitor would regret and the earlier page had not, or empty.

        Args:
            earlier: the page of before.
            stage: the stage after which that was seen.
        """
        new = list(self._new(tuple(FAILS), earlier))
        told = [f"it shows {sign} ({self.signs[sign]}), and did not after {stage}" for sign in new]
        return "; ".join([*told, *(f"likely cause: {FAILS[sign]}" for sign in new)])

    def changed(self, earlier: Page) -> str:
        """Return how it differs from the earlier page, where that may well be meant; or empty."""
        new = "; ".join(f"it shows {s} ({self.signs[s]})" for s in self._new(WARNS, earlier))
        if new or not earlier.title or self.title == earlier.title:
            return new
        known = {word.lower() for word in _WORD.findall(earlier.title)}
        still = {word.lower() for word in _WORD.findall(f"{self.title} {self.text}")}
        if not known or known & still:
            return ""
        return f"its title was '{earlier.title}' and is '{self.title}'; no word of it is left"

    def _new(self, wanted: tuple[Sign, ...], earlier: Page) -> Iterator[Sign]:
        for sign in wanted:
            if sign in self.signs and {sign, *EXPLAINED.get(sign, ())}.isdisjoint(earlier.signs):
                yield sign


def _signs(read: _Reader, at: SplitResult) -> Iterator[tuple[Sign, str]]:
    # What follows a login is where it leads then, and not where a visitor is.
    query = "" if _LOGIN.search(at.path) else at.query
    where = f"{at.path}?{query}".rstrip("?")
    title, heading = read.named("title"), read.named("h1")
    if read.password:
        yield Sign.FORM, where
    for sign, in_path, in_title in (
        (Sign.SETUP, _SETUP, _SETUP_TITLE),
        (Sign.LOGIN, _LOGIN, _LOGIN),
    ):
        if in_path.search(where):
            yield sign, where
        elif read.fields and in_title.search(title):
            yield sign, f"'{title}'"
    if said := next((one for one in (where, title, heading) if _UPKEEP.search(one)), ""):
        yield Sign.UPKEEP, f"'{said}'"
    text = read.text
    if found := next((match for one in _ERRORS if (match := one.search(text))), None):
        yield Sign.ERROR, " ".join(found[0].split())[:120]
    if own := next((one for one in (title, heading) if _SERVERS_OWN.fullmatch(one)), ""):
        yield Sign.SERVER, f"'{own}'"


def _is_lost(away: SplitResult, at: SplitResult) -> bool:
    """Whether no visitor gets to an address: it is inside a machine, or past the proxy's ports."""
    host = away.hostname or ""
    if host == at.hostname:
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))
