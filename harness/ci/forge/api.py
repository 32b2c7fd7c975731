"""HTTP with a forge's API: who gets the token, what is tried again, what each refusal means."""

from __future__ import annotations

import ipaddress
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from harness.ci.forge.token import Token
from harness.core import proc
from harness.core.errors import ForgeBusyError, ForgeError, UsageError
from harness.core.waiting import SYSTEM_CLOCK, Clock, Deadline, retry, stretched

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # between two bytes of an answer
ATTEMPTS = 3
PATIENCE = 60.0  # the longest pause that a forge may ask for
TOTAL_SECONDS = 180.0  # seconds after which nothing is tried again
PAUSE = 2.0
PAGES = 100  # of a list; more comments than these hold are not looked through
REDIRECTS = 3
DETAIL = 500  # characters of a forge's own words that a message shows
MOST_BYTES = 16 << 20  # of an answer
PIECE = 65536

_TOO_MANY = 429
_SERVER = 500
_CAUSES: Mapping[int, tuple[str, str]] = {
    400: ("it takes the request for wrong", "see its own words below"),
    401: (
        "the token is missing, wrong, or expired",
        "put a valid one into a file: --token-file FILE",
    ),
    403: (
        "the token may not do that",
        "give it the right to read pull requests, and, to post, to write statuses and comments",
    ),
    404: (
        "there is no such thing, or the token may not see it: forges answer the same to both",
        "check the address and the number; for a private repository, --token-file FILE",
    ),
    405: ("that is not its API's address", "give it with --forge and --forge-api"),
    409: ("somebody else is changing the same thing", "try again"),
    410: ("it was removed, or is switched off there", "check the address"),
    422: (
        "it knows no such commit, or a text is too long for it",
        "post with the run's own pull request; for another one, name its commit with --on SHA",
    ),
}


class _Auth(AuthBase):
    """Sets the token's header, and is there without a token, too.

    For a session without any of these, requests would send a login that it finds in `~/.netrc`.
    """

    def __init__(self, header: Mapping[str, str]) -> None:
        self._header = dict(header)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._header)
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: the JSON, and the headers (whatever the case of their names)."""

    content: Any
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Api:
    """An API's address and who calls.

    Args:
        base: the address, without a slash at its end.
        token: what to show, or None.
        sign: the header that carries a token, in this dialect.
        headers: what else each request has.
        say: is told of every request that is tried again.
    """

    base: str
    token: Token | None
    sign: Callable[[str], Mapping[str, str]]
    headers: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    clock: Clock = SYSTEM_CLOCK
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self._check_host()
        self.session.headers.update({"User-Agent": "cc-ci", "Accept": "application/json"})
        self.session.headers.update(self.headers)
        self.session.auth = _Auth(self.sign(self.token.value) if self.token else {})

    def get(self, path: str, **query: str | int) -> Reply:
        """Ask for something."""
        return self.send("GET", path, query=query)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        once: bool = False,
    ) -> Reply:
        """Make a request, and once or twice more where that may help.

        Args:
            method: GET, POST, PATCH or PUT.
            path: below the API's address, quoted.
            query: what comes after the question mark.
            body: is sent as JSON.
            once: never make it twice, except where the forge said that it did not do it.

        Raises:
            ForgeBusyError: the forge was not reached, is overloaded, or failed, to the last try.
            ForgeError: it refused.
        """

        def call(_attempt: int) -> Reply:
            try:
                return self._call(method, self.base + path, query, body)
            except ForgeBusyError as error:
                if once and not error.undone:
                    raise _Final(error) from error
                raise

        def note(attempt: int, error: Exception) -> None:
            pause = error.after if isinstance(error, ForgeBusyError) else 0.0
            self.say(f"forge  try {attempt} of {ATTEMPTS}: {str(error).splitlines()[0]}")
            self.clock.sleep(max(pause - PAUSE, 0.0))

        deadline = Deadline.after(stretched(TOTAL_SECONDS), self.clock)
        try:
            return retry(
                call, on=ForgeBusyError, attempts=ATTEMPTS, deadline=deadline, pause=PAUSE,
                note=note,
            )  # fmt: skip
        except _Final as final:
            raise final.error from None

    def pages(self, path: str, *, size: str, last: Callable[[Reply], bool]) -> Iterator[Any]:
        """Return the items of a list, page by page.

        Args:
            path: of the list.
            size: what the parameter for a page's size is called.
            last: whether a page says that it is the last one.

        Raises:
            ForgeError: what comes is no list.
        """
        seen: set[object] = set()
        for page in range(1, PAGES + 1):
            reply = self.get(path, **{size: 100, "page": page})
            if not isinstance(reply.content, list):
                raise self._no_api("GET", path)
            # A forge may ignore the page's number, and send the same once more.
            new = [one for one in reply.content if isinstance(one, dict)]
            new = [one for one in new if one.get("id") not in seen]
            yield from new
            seen.update(one.get("id") for one in new)
            if not new or last(reply):
                return
        self.say(f"forge  more than {PAGES} pages below {path}: the rest was not read")

    def _check_host(self) -> None:
        parts = urlsplit(self.base)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
            raise UsageError("that is no API's address", hint="--forge-api https://host/api/v1")
        if not self.token:
            return
        if parts.scheme == "http" and not _is_loopback(host):
            raise UsageError(
                f"the token is not sent to {host} over plain http, where anybody could read it",
                hint="give an address that begins with https://",
            )
        if self.token.host and self.token.host not in (host, parts.netloc.lower()):
            raise UsageError(
                f"the token in the file is for {self.token.host}, and the API is at {host}",
                hint="check the pull request's address, or take another file",
            )

    def _call(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, object] | None,
    ) -> Reply:
        for _ in range(REDIRECTS + 1):
            response, content = self._exchange(method, url, query, body)
            if not response.is_redirect:
                return self._read(method, response, content)
            url, query = self._next(method, url, response), None
        raise ForgeError(f"{_shown(method, url)}: too many redirects (more than {REDIRECTS})")

    def _exchange(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, object] | None,
    ) -> tuple[requests.Response, bytes]:
        what = _shown(method, url)
        try:
            with self.session.request(
                method, url, params=query or None, json=body, allow_redirects=False, stream=True,
                timeout=(stretched(CONNECT_SECONDS), stretched(SILENCE_SECONDS)),
            ) as response:  # fmt: skip
                return response, _content(what, response)
        except requests.exceptions.SSLError as error:
            raise ForgeError(
                f"{what}: the host's certificate is not trusted here",
                hint="name the certificate authority's file in REQUESTS_CA_BUNDLE",
            ) from error
        except requests.exceptions.ConnectionError as error:
            raise ForgeBusyError(
                f"{what}: the forge's API cannot be reached from this machine",
                hint="check the address, the network and https_proxy",
                undone=isinstance(error, requests.exceptions.ConnectTimeout),
            ) from error
        except requests.exceptions.Timeout as error:
            raise ForgeBusyError(
                f"{what}: no answer in {stretched(SILENCE_SECONDS):g} s"
            ) from error
        except requests.exceptions.RequestException as error:
            raise ForgeError(f"{what}: {type(error).__name__}") from error

    def _next(self, method: str, url: str, response: requests.Response) -> str:
        """Return where to go on: only there where the token was meant for, and only to look."""
        target = urljoin(url, response.headers["location"])
        host = urlsplit(target).hostname or "nowhere"
        if method != "GET":
            raise ForgeError(
                f"{_shown(method, url)}: it sends the request on to another address",
                cause="the repository was renamed or moved, or http:// should be https://",
                hint="give the pull request's address as the browser shows it now",
            )
        if _origin(target) != _origin(url):
            raise ForgeError(
                f"{_shown(method, url)}: it sends the request on to {host}, which is not followed",
                cause="the token must not reach another host",
                hint="if that is right, give the API's address there with --forge-api",
            )
        return target

    def _read(self, method: str, response: requests.Response, content: bytes) -> Reply:
        if response.status_code >= 400:  # noqa: PLR2004  all refusals
            raise self._refusal(method, response, content.decode(errors="replace")[:DETAIL])
        try:
            found = json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise self._no_api(method, response.url) from None
        return Reply(content=found, headers=response.headers)

    def _no_api(self, method: str, url: str) -> ForgeError:
        return ForgeError(
            f"{_shown(method, url)}: the response is not from a forge's API",
            cause="the URL serves a web page, or another kind of forge",
            hint="say which with --forge and --forge-api",
        )

    def _refusal(self, method: str, response: requests.Response, said: str) -> ForgeError:
        code = response.status_code
        what = f"{_shown(method, response.url)}: the forge answered {code}"
        said = proc.scrub(said, [self.token.value] if self.token else [])
        limited = code == _TOO_MANY or (code == 403 and _is_limited(response))  # noqa: PLR2004
        if not limited and code < _SERVER:
            cause, hint = _CAUSES.get(code, ("", ""))
            return ForgeError(what, cause=cause, hint=hint, detail=said, status=code)
        pause = _pause(response)
        if pause > PATIENCE:
            return ForgeError(
                what, status=code, detail=said, cause="rate limit exceeded",
                hint=f"try again in {math.ceil(pause / 60)} min, or with a token of your own",
            )  # fmt: skip
        return ForgeBusyError(
            what, status=code, after=pause, undone=limited, detail=said,
            cause="rate limit exceeded" if limited else "the forge had a server error",
            hint="try again later",
        )  # fmt: skip


class _Final(Exception):  # noqa: N818  a way out of the retries, that nobody sees
    def __init__(self, error: ForgeBusyError) -> None:
        super().__init__()
        self.error = error


def _content(what: str, response: requests.Response) -> bytes:
    """Return an answer's body.

    Raises:
        ForgeError: it is larger than an answer may be.
    """
    content = bytearray()
    for piece in response.iter_content(PIECE):
        content += piece
        if len(content) > MOST_BYTES:
            raise ForgeError(
                f"{what}: the answer is larger than {MOST_BYTES} bytes, the limit of one",
                cause="the response is not from a forge's API",
                hint="check the address, or say which forge it is with --forge and --forge-api",
            )
    return bytes(content)


def _shown(method: str, url: str) -> str:
    return f"{method} {url.partition('?')[0]}"


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    standard = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or standard


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_limited(response: requests.Response) -> bool:
    left = response.headers.get("x-ratelimit-remaining")
    return left == "0" or "retry-after" in response.headers


def _pause(response: requests.Response) -> float:
    """Return the seconds that the forge asks to wait: 0 when it says nothing of it."""
    if asked := response.headers.get("retry-after", ""):
        try:
            return float(Retry().parse_retry_after(asked))
        except (InvalidHeader, ValueError, OverflowError):  # or of no year that there is
            return 0.0
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        return max(float(reset) - time.time(), 0.0) if reset.isdigit() else 0.0
    return 0.0
