"""A real browser that tests steer: it opens pages, presses keys, and says what it shows.

It is steered through a pair of pipes by Chromium's own protocol, which works whatever a page's
content security policy says. It runs without privileges, in its sandbox, and knows no network.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.run.screenshot import NOBODY, Browser

SECONDS = 60.0
# Chromium reads from descriptor 3 and writes to 4; whoever starts it may have other things there.
SHIM = "import os, sys; os.dup2({}, 3); os.dup2({}, 4); os.execvp(sys.argv[1], sys.argv[1:])"
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


@dataclass
class Window:
    """One page of a browser that is up; `folder` is where files are that it may read."""

    to: int
    answers: int
    folder: Path
    session: str = ""
    _last: int = 0
    _rest: bytes = b""
    _events: list[Mapping[str, Any]] = field(default_factory=list)

    def ask(self, method: str, **params: object) -> Mapping[str, Any]:
        """Call a method of Chromium's protocol and return what it answers."""
        self._last += 1
        call = {"id": self._last, "method": method, "params": params}
        if self.session:
            call["sessionId"] = self.session
        os.write(self.to, json.dumps(call).encode() + b"\0")
        while (said := self._next()).get("id") != self._last:
            self._events.append(said)
        assert "error" not in said, f"{method}: {said['error']}"
        result: Mapping[str, Any] = said["result"]
        return result

    def _next(self) -> Mapping[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self.answers, 1 << 16)
            assert piece, "the browser is gone"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        said: Mapping[str, Any] = json.loads(line)
        return said

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of that size, on a machine that prefers light or dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self._events):
            self._events.append(self._next())

    def value(self, script: str) -> Any:  # noqa: ANN401  any JSON value
        """Return what an expression comes to in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, as a person at a keyboard does."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        common = {"key": key, "windowsVirtualKeyCode": KEYS[key], "code": key}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self) -> bytes:
        """Return a PNG of the whole page."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(found["data"])


@contextmanager
def window(browser: Browser) -> Iterator[Window]:
    """Start a browser of its own, with one window, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="ccci-window-") as name:
        home, folder = Path(name) / "home", Path(name) / "pages"
        home.mkdir()
        folder.mkdir()
        if os.geteuid() == 0:
            home.parent.chmod(0o711)
            shutil.chown(home, NOBODY)
        theirs, to = os.pipe()
        answers, ours = os.pipe()
        argv = (*browser.argv, *OPTIONS, f"--user-data-dir={home / 'profile'}", "about:blank")
        process = subprocess.Popen(  # noqa: S603  the browser of this machine
            [sys.executable, "-c", SHIM.format(theirs, ours), *argv], pass_fds=(theirs, ours),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={
                "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home),
                "LANG": "C.UTF-8",
            },
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)
        try:
            yield _first_page(Window(to=to, answers=answers, folder=folder))
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)
            os.close(to)
            os.close(answers)


def _first_page(made: Window) -> Window:
    target = made.ask("Target.createTarget", url="about:blank")["targetId"]
    made.session = made.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    made.ask("Page.enable")
    return made
