"""A picture of the app's page, as a browser shows it: headless Chromium, where there is one.

The page is other people's code. So the browser runs without privileges and always in its own
sandbox, and its only way out is a proxy that leads to the app and nowhere else. Of what it shows
one thing counts: a secret of the run in the page's text has been published. A picture cannot be
masked, so then there is none. See docs/decisions/0019-report.md.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

from harness.assertions.app import App
from harness.core import plain_files, proc, scratch
from harness.core.errors import HarnessError, ProcessError
from harness.core.measured import Screenshot
from harness.exec.exec import ExecTarget
from harness.exec.http import Prober, Request, Response
from harness.run.page_proxy import LOOPBACK, PageProxy
from harness.swarm.own_networks import own_name

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
NOBODY = "nobody"
SECONDS = 20.0
SETTLED_MS = 3000  # of the page's own time, after which it is taken as it is
MOST_BYTES = 3 * 1024**2
MOST_TEXT = 2_000_000  # characters of a page's elements that are scanned for secrets
SAID = 300  # characters of what a browser has to say for itself
WIDTH, HEIGHT = 1280, 800
DIRECTORY = "screenshots"
PNG = b"\x89PNG\r\n"
REDIRECTS = range(300, 400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """A browser's program, and what to put before it so that it runs without privileges."""

    argv: tuple[str, ...]

    @classmethod
    def find(cls) -> Browser | str:
        """Return the browser of this machine, or why there is none that may be used."""
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        if program is None:
            return f"no browser here ({', '.join(BROWSERS)}); Debian's package is chromium"
        if os.geteuid() != 0:
            return cls(argv=(program,))
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return "a browser must not run as root, and there is no setpriv to start it otherwise"
        user = pwd.getpwnam(NOBODY)
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        # What changes its user forgets that it was to end with its parent.
        return cls(argv=(setpriv, *ids, "--no-new-privs", "--pdeathsig=KILL", program))

    def shoot(self, url: str, target: Path, *, port: int, timeout: float) -> str:
        """Write a picture of that page to a file, and return its elements as they are shown.

        Args:
            url: the page.
            target: a PNG file, in a directory that is there.
            port: of the proxy on loopback, its only way out.
            timeout: seconds.

        Raises:
            ProcessError: it did not start, or not in its sandbox, or was not done in time.
        """
        with scratch.directory("ccci-browser-") as around:
            home = around / "home"
            home.mkdir(mode=0o700)
            if os.geteuid() == 0:
                around.chmod(0o711)
                shutil.chown(home, NOBODY)
            picture = home / "page.png"
            argv = [*self.argv, *options(home, picture, port=port), url]
            env = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LANG": "C.UTF-8"}
            env["TMPDIR"] = str(home)  # it leaves directories there, which go with this one
            try:
                done = proc.run(
                    argv, timeout=timeout, cwd=home, env=env, check=False, dies_too=True
                )
            except ProcessError as error:  # its message has the whole command in it
                what = f"the browser did not start, or was not done in {timeout:g} s"
                raise ProcessError(what, code=error.code) from error
            found = _read(picture)
            if not found.startswith(PNG):
                said = [line for line in done.stderr.splitlines() if "dbus" not in line.lower()]
                raise ProcessError(
                    "the browser took no picture", code=done.code, stderr="\n".join(said[-5:])
                )
            target.write_bytes(found)
            return done.stdout


def _read(picture: Path) -> bytes:
    """Return the picture's bytes; what is no plain file of a sound size is none."""
    with suppress(OSError, ValueError):
        return plain_files.read(picture, most=MOST_BYTES)
    return b""


def options(home: Path, picture: Path, *, port: int) -> Sequence[str]:
    """Return the browser's options: no way out but the proxy, and nothing of its own accord."""
    return (
        "--headless=new",
        f"--proxy-server=http://{LOOPBACK}:{port}",
        "--proxy-bypass-list=<-loopback>",  # else the page could reach what listens on this host
        f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {LOOPBACK}",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,OptimizationHints",
        "--disable-gpu",
        "--disable-sync",
        "--hide-scrollbars",
        "--metrics-recording-only",
        "--no-default-browser-check",
        "--no-first-run",
        f"--user-data-dir={home / 'profile'}",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--virtual-time-budget={SETTLED_MS}",
        f"--screenshot={picture}",
        "--dump-dom",
    )


class _Text(HTMLParser):
    """What of a page's elements may be seen: texts, as one, and the values of attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.values: list[str] = []
        self._unseen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen = tag == "script"
        self.values += [value for _, value in attrs if value]

    def handle_endtag(self, tag: str) -> None:
        self._unseen = self._unseen and tag != "script"

    def handle_data(self, data: str) -> None:
        self.texts += [] if self._unseen else [data]


def text_of(elements: str) -> str:
    """Return the text of a page, with no element between its letters, and attributes' values."""
    page = _Text()
    page.feed(elements)
    page.close()
    return "\n".join(["".join(page.texts), *page.values])


def withheld(elements: str, place: str, mask: Callable[[str, str], str]) -> str:
    """Return why a picture must not be kept; empty when its page shows no secret.

    Args:
        elements: of the page, as HTML.
        place: what the picture is called where a leak is told.
        mask: takes the run's secrets out of a text, and notes down that they were at a place.
    """
    if not elements:
        return "the browser did not tell the page's text, so it could not be scanned for secrets"
    if len(elements) > MOST_TEXT:
        return "the page is too long to be scanned for secrets"
    text = text_of(elements)
    return "" if mask(text, place) == text else "the page shows a secret of the run"


def take(
    app: App, directory: Path, *, mask: Callable[[str, str], str], factor: float = 1.0
) -> Screenshot:
    """Take a picture of the app's page, and return where it is, or why there is none.

    Args:
        app: the app, which is up.
        directory: the run's directory.
        mask: as of `withheld`.
        factor: multiplies the time-out.
    """
    service, none = app.facts.health.service, Screenshot(stage=str(app.facts.stage))
    browser = Browser.find()
    if isinstance(browser, str):
        return replace(none, said=browser)
    container = app.container(service) if service else None
    if container is None:
        up = f"no container of {service} is up" if service else "the app has no page"
        return replace(none, said=up)
    try:
        proxy = _proxy(app, container, factor=factor)
        path, first = _page(proxy, app.facts.health.path)
        none = replace(none, url=f"http://{app.domain}/{path.lstrip('/')}", status=first.status)
        if why := _no_page(first):
            return replace(none, said=why)
        target = directory / DIRECTORY / f"{none.stage}.png"
        target.parent.mkdir(exist_ok=True)
        with proxy.serving():
            page = browser.shoot(none.url, target, port=proxy.port, timeout=SECONDS * factor)
    except HarnessError as error:
        return replace(none, said=f"{error.what} {error.detail}".strip()[:SAID])
    if why := withheld(page, f"{DIRECTORY}/{target.name}", mask):
        target.unlink()
        return replace(none, said=f"the picture was not kept: {why}")
    refused = f"not asked: {', '.join(sorted(proxy.refused))}" if proxy.refused else ""
    return replace(none, file=f"{DIRECTORY}/{target.name}", said=refused)


def _proxy(app: App, container: str, *, factor: float) -> PageProxy:
    """Return the proxy that asks this container, from the tool container as assertions do."""
    tool = ExecTarget(client=app.client, name="the tool container", resolve=lambda: app.reader)
    prober = Prober(
        client=app.client, tool=tool, timeout=10.0 * factor, nodes=app.nodes,
        network=own_name(app.facts.stack),
    )  # fmt: skip
    address, health = prober.address(container), app.facts.health

    def fetch(request: Request) -> Response:
        return prober.send_to(
            address, request, port=health.port, host=app.domain, container=container,
            scheme=health.scheme,
        )  # fmt: skip

    return PageProxy(host=app.domain, fetch=fetch)


def _page(proxy: PageProxy, health_path: str) -> tuple[str, Response]:
    """Return the path of the app's page and its answer: its front page, else its health page."""
    front = proxy.ask(Request(path="/"))
    if health_path == "/" or not _no_page(front):
        return "/", front
    other = proxy.ask(Request(path=health_path))
    return ("/", front) if _no_page(other) else (health_path, other)


def _no_page(answer: Response) -> str:
    """Return why an answer is nothing for a browser; empty when it is a page, or leads to one."""
    if not answer.status:
        return f"no answer: {answer.error}"
    kind = answer.headers.get("content-type", "no content type")
    if "html" in kind or answer.status in REDIRECTS:
        return ""
    return f"it serves no page: {kind}"
