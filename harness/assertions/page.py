"""Asking an app for its page as its proxy would, and judging the answer.

Redirects are followed inside the app: to its own host names, over http and https alike, and to the
service whose router takes the new path. One that leads to another host is an answer in itself, for
many apps send a visitor to a login elsewhere. A path without a page (404 and the like) is accepted
where the recipe's own health check asks another path of that port, and that one answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from harness.assertions.look import Look, Page, Seen
from harness.assertions.protocol import Facts, Health
from harness.exec.http import Request, Response
from harness.recipes.doors import Door

if TYPE_CHECKING:
    from collections.abc import Mapping

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_HOPS = 10
SHOWN = 500  # characters of a page in a message
LOOKED_AT = 1 << 18  # characters of a page, where more than the marker is looked for
UNAUTHORISED, FORBIDDEN, NOT_FOUND = 401, 403, 404
# The server works and wants another request than a visitor's: an API, a web socket, gRPC.
OTHER_REQUESTS = frozenset({405, 406, 415, 426})
EMPTY_BY_RULE = frozenset({204, 205})  # statuses of answers without a body
IN_ADDRESSES = "%/:?#[]@!$&'()*+,;=~-._"  # what a browser leaves as it is in a Location header
LOGIN_FORM = re.compile(r"<input[^>]{1,500}?type\s*=\s*[\"']?password", re.IGNORECASE)


class Asked(Protocol):
    """The part of an app's handle that is needed here."""

    @property
    def facts(self) -> Facts:
        """What the run knows."""

    @property
    def domain(self) -> str:
        """The app's domain."""

    def ask(self, request: Request, door: Door) -> Response:
        """Send a request to the container behind a door."""


def ask(app: Asked) -> Page:
    """Ask the app for its page, and judge what it answers. See `Page`."""
    routed = any(door.routes(app.domain) for door in app.facts.health.doors)
    earlier = app.facts.health.earlier
    if earlier and earlier.routed and not routed:
        return Page(seen=Seen.PROBLEM, url="", status=0, problem=_unreachable(app))
    page = replace(_judged(app), routed=routed)
    return replace(page, unbalanced=_unbalanced(app)) if page.good else page


def _unbalanced(app: Asked) -> str:
    """Return what the path answers by which Traefik takes a server for dead; or empty."""
    door = door_of(app.facts.health)
    if not door.balance.startswith("/"):
        return ""
    answer = app.ask(Request(path=door.balance), door)
    well = 0 < answer.status < 400  # noqa: PLR2004  as Traefik has it
    return "" if well else f"{door.balance} answers with status {answer.status}"


def _judged(app: Asked) -> Page:
    health = app.facts.health
    if not health.service:
        return Page(seen=Seen.NOTHING, url="", status=0)
    visit = Visit(app=app)
    last = visit.to(health.path)
    if not (problem := _problem(visit.answers, health, visit.circle)):
        return _compared(visit, last, health)
    if not last.status and not health.certain and not health.answered:
        return Page(seen=Seen.NOTHING, url=last.url, status=0)
    if health.status is None and last.status and not health.answered and not visit.circle:
        if page := _at_check(app, last):
            return page
        if refused := _refused(last):
            return Page(seen=refused, url=last.url, status=last.status)
    problem = _explained(problem, last, app.facts)
    return Page(seen=Seen.PROBLEM, url=last.url, status=last.status, problem=problem)


def _compared(visit: Visit, last: Response, health: Health) -> Page:
    """Return a page that answers well, compared with the one of before the op.

    Where the meta says which status or which text shows that the app works, that alone counts.
    """
    page = Page(seen=Seen.PAGE, url=last.url, status=last.status, empty=not last.body.strip())
    if health.status is not None or health.marker:
        return page
    look = Look.of(last, visit.at, visit.away)
    page = replace(page, title=look.title, signs=tuple(look.signs))
    if health.earlier is None:
        return page
    if worse := look.worse(health.earlier, health.answered):
        problem = f"{last.url}: {worse}; {_MEANT}"
        return replace(page, seen=Seen.PROBLEM, problem=problem, unlike=True)
    return replace(page, changed=look.changed(health.earlier))


_MEANT = (
    "next: look at its log; if the head is meant to do so, name a text of its page as MARKER in "
    "recipe_meta.py, or the status as HEALTH_STATUS"
)


@dataclass(slots=True, kw_only=True)
class Visit:
    """One way through the app, from a path to where its redirects end.

    `answers` has each hop, `at` is the address at which a visitor is in the end, and `away` is
    where the last answer leads out of the app, or empty.
    """

    app: Asked
    answers: list[Response] = field(default_factory=list)
    circle: bool = False
    at: SplitResult = field(default_factory=lambda: urlsplit(""))
    away: str = ""
    _cookies: dict[str, str] = field(default_factory=dict)

    def to(self, path: str) -> Response:
        """Ask for a path, follow redirects inside the app, and return the last answer."""
        door = door_of(self.app.facts.health)
        host = door.host or self.app.domain
        self.at, asked = urlsplit(f"http://{host}{path}"), path
        seen = set[tuple[str, str, tuple[str, ...]]]()
        while True:
            seen.add(self._state(self.at, door))
            answer = self.app.ask(self._request(asked, self.at), door)
            self.answers.append(answer)
            self._remember(answer)
            led = self._led(answer)
            if led is None:
                return answer
            door = self._door(led, door)
            if self._state(led, door) in seen or len(self.answers) > MOST_HOPS:
                # A server that trusts no proxy sends each visitor to https again: that is its word.
                self.circle = led.scheme != "https" or led.geturl() != self.at.geturl()
                return answer
            self.at, asked = led, _inside(door, led)

    def _state(self, at: SplitResult, door: Door) -> tuple[str, str, tuple[str, ...]]:
        """Return what a server can tell requests apart by: some set a cookie, and ask again."""
        return at.geturl(), door.service, tuple(self._cookies.values())

    def _request(self, path: str, at: SplitResult) -> Request:
        headers = {"Cookie": "; ".join(self._cookies.values())} if self._cookies else {}
        if at.scheme == "https":  # as a proxy says it that has ended TLS itself
            headers |= {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
            headers["X-Forwarded-Host"] = at.hostname or self.app.domain
        return Request(path=path, headers=headers)

    def _remember(self, answer: Response) -> None:
        for line in answer.headers.get("set-cookie", "").split("\n"):
            pair = line.partition(";")[0].strip()
            if "=" in pair:
                self._cookies[pair.partition("=")[0]] = pair

    def _led(self, answer: Response) -> SplitResult | None:
        """Return where an answer leads inside the app; None where it leads nowhere, or away."""
        where = answer.headers.get("location", "")
        if answer.status not in REDIRECTS or not where:
            return None
        where = quote(where.encode("latin-1", "replace"), safe=IN_ADDRESSES)  # as browsers do
        try:
            led = urlsplit(urljoin(self.at.geturl(), where))
            port = led.port
        except ValueError:  # an address that no browser understands
            return None
        if led.scheme not in ("http", "https"):
            return None
        if (led.hostname or "") not in self._own_hosts() or port not in (*_PORTS, self.at.port):
            self.away = led.geturl()
            return None
        return led._replace(fragment="", path=led.path or "/")

    def _own_hosts(self) -> set[str]:
        doors = self.app.facts.health.doors
        return {self.app.domain, *(door.host for door in doors if door.host)}

    def _door(self, led: SplitResult, current: Door) -> Door:
        """Return the door whose router takes that address: the longest path wins, as in Traefik."""
        host = led.hostname or ""
        fitting = [d for d in self.app.facts.health.doors if d.serves(host, led.path)]
        if not fitting or (current in fitting and len(fitting) == 1):
            return current
        longest = max(len(door.prefix) for door in fitting)
        best = [door for door in fitting if len(door.prefix) == longest]
        return current if current in best else best[0]


_PORTS = (None, 80, 443)


def door_of(health: Health) -> Door:
    """Return the door that is asked first."""
    for door in health.doors:
        if (door.service, door.port, door.scheme) == (health.service, health.port, health.scheme):
            return door
    return Door(service=health.service, port=health.port, scheme=health.scheme)


def _inside(door: Door, led: SplitResult) -> str:
    """Return the path that the container is asked for: middlewares may take a prefix away."""
    path = led.path
    if door.path != (door.prefix or "/") and path.startswith(door.prefix):
        path = f"{door.path.rstrip('/')}/{path.removeprefix(door.prefix).lstrip('/')}"
    return f"{path}?{led.query}" if led.query else path


def _problem(answers: list[Response], health: Health, circle: bool) -> str:  # noqa: FBT001  a fact
    first, last = answers[0], answers[-1]
    judged = first if health.status is not None else last
    if circle:
        return f"{last.url}: it redirects in a circle, to {last.headers.get('location')}"
    if not health.accepts(judged.status):
        wanted = health.status or "one below 400"
        return f"{judged.url}: status {judged.status} instead of {wanted}"
    if not any(health.marker in _whole(answer) for answer in answers):
        return f"{last.url}: the marker '{health.marker}' is not in it"
    was_filled = health.earlier is not None and not health.earlier.empty
    if was_filled and _blank(last) and health.status is None:
        return (
            f"{last.url}: status {last.status} and an empty body; there was text after "
            f"{health.answered}"
        )
    return ""


def _blank(answer: Response) -> bool:
    """Whether an answer should have a body and has none; a redirect that leads away needs none."""
    success = 200 <= answer.status < 300  # noqa: PLR2004  as HTTP has it
    return success and answer.status not in EMPTY_BY_RULE and not answer.body.strip()


def _unreachable(app: Asked) -> str:
    health = app.facts.health
    dropped = {f"Traefik drops {door.why}: {door.dropped}" for door in health.doors if door.dropped}
    why = f" ({'; '.join(sorted(dropped))})" if dropped else ""
    return (
        f"no HTTP router of the recipe takes {app.domain} any more{why}, so its page cannot be "
        "reached; "
        f"it was there after {app.facts.health.answered}; next: correct the labels of its router: "
        "the rule, traefik.enable, the network `proxy`, and that they stand under deploy"
    )


def _whole(answer: Response) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return f"{headers}\n\n{answer.text}"


def _at_check(app: Asked, last: Response) -> Page | None:
    """Return the page that the recipe's own health check asks, where the path has none."""
    health = app.facts.health
    client_error = 400 <= last.status < 500  # noqa: PLR2004  as HTTP has it
    if not client_error or not health.check or health.check == health.path or _login(last):
        return None
    visit = Visit(app=app)
    found = visit.to(health.check)
    if _problem(visit.answers, health, visit.circle):
        return None
    return Page(seen=Seen.CHECK, url=found.url, status=found.status)


def _login(answer: Response) -> bool:
    """Whether an answer asks for a login: by HTTP, or by a form."""
    refused = answer.status in (UNAUTHORISED, FORBIDDEN)
    asks = "www-authenticate" in answer.headers or LOGIN_FORM.search(answer.text[:LOOKED_AT])
    return refused and bool(asks)


def _refused(answer: Response) -> Seen | None:
    if _login(answer):
        return Seen.LOGIN
    refused = answer.status in (UNAUTHORISED, FORBIDDEN, *OTHER_REQUESTS)
    return Seen.REFUSED if refused else None


def _explained(problem: str, last: Response, facts: Facts) -> str:
    """Add the likely cause, what to type, and what was said, all on the one line that is shown."""
    said = last.error or " ".join(last.text[:LOOKED_AT].split())[:SHOWN]
    parts = [problem, *_advice(last, facts), f"the answer: {said}" if said else ""]
    return "; ".join(part for part in parts if part)


def _advice(last: Response, facts: Facts) -> tuple[str, ...]:
    health, meta = facts.health, f"tests/{facts.recipe}/recipe_meta.py"
    if health.answered and last.status in (UNAUTHORISED, FORBIDDEN, NOT_FOUND):
        return (
            (
                f"the page was there after {health.answered}, and its files are gone, belong to "
                "another user, or were moved"
            ),
            f'next: if the head moved it, set HEALTH_PATH = "/its/new/path" in {meta}',
        )
    if last.status == NOT_FOUND:
        return (
            f"the app has no page at {health.path}",
            f'next: name a page that answers, such as HEALTH_PATH = "/api/health", in {meta}',
        )
    if not last.status:
        why = door_of(health).why or "nothing in the recipe names another"
        return (
            (
                f"nothing answers by {health.scheme} on port {health.port} of service "
                f"{health.service} ({why})"
            ),
            (
                f"next: correct the port label of its router, or set HEALTH_SERVICE and "
                f"HEALTH_PORT in {meta} (HEALTH_SERVICE = None: the app has no page)"
            ),
        )
    return ()


def page_facts(page: Page) -> Mapping[str, object]:
    """Return what is written down of it in a stage's facts."""
    return {"seen": str(page.seen), "url": page.url, "status": page.status}
