"""The picture's browser: never as root, never without its sandbox, never another way out."""

import base64
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.core import proc
from harness.core.errors import ProcessError
from harness.exec.http import Response
from harness.report.leaks import Guard
from harness.run import screenshot
from harness.run.screenshot import MOST_TEXT, PNG, Browser, withheld


def machine(monkeypatch: pytest.MonkeyPatch, *programs: str, uid: int) -> None:
    """Have these programs and this user."""
    found = {name: f"/bin/{name}" for name in programs}
    monkeypatch.setattr(shutil, "which", found.get)
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_root_starts_it_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a way back to more."""
    machine(monkeypatch, "chromium", "setpriv", uid=0)
    browser = Browser.find()
    assert isinstance(browser, Browser)
    assert browser.argv[0] == "/bin/setpriv"
    assert browser.argv[-1] == "/bin/chromium"
    assert {"--clear-groups", "--no-new-privs", "--pdeathsig=KILL"} < set(browser.argv)
    ids = [word.partition("=")[2] for word in browser.argv if word.startswith("--re")]
    assert len(ids) == 2
    assert "0" not in ids


def test_a_user_starts_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that is there."""
    machine(monkeypatch, "google-chrome", uid=1000)
    assert Browser.find() == Browser(argv=("/bin/google-chrome",))


@pytest.mark.parametrize(
    ("programs", "said"), [((), "no browser here"), (("chromium",), "must not run as root")]
)
def test_without_one_that_may_be_used_it_is_said(
    programs: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent is no failure."""
    machine(monkeypatch, *programs, uid=0)
    found = Browser.find()
    assert isinstance(found, str)
    assert said in found


def shot(monkeypatch: pytest.MonkeyPatch, directory: Path, picture: Any) -> Path:  # noqa: ANN401
    """Take a picture with a browser that leaves this; return where it was put."""
    machine(monkeypatch, uid=1000)

    def run(argv: list[str], *, cwd: Path, env: dict[str, str], **rest: Any) -> proc.Completed:  # noqa: ANN401
        assert "--no-sandbox" not in argv
        assert "--proxy-server=http://127.0.0.1:99" in argv
        assert "--proxy-bypass-list=<-loopback>" in argv
        assert argv[-1] == "http://made.test/"
        assert set(env) == {"PATH", "HOME", "LANG", "TMPDIR"}, "nothing of the run's own"
        assert env["TMPDIR"] == env["HOME"], "what it leaves there goes with its home"
        assert rest == {"check": False, "timeout": 5, "dies_too": True}
        picture(cwd / "page.png")
        return proc.Completed(argv=tuple(argv), code=1, stdout="", stderr="DBus: x\nNo sandbox!")

    monkeypatch.setattr(proc, "run", run)
    target = directory / "t.png"
    Browser(argv=("b",)).shoot("http://made.test/", target, port=99, timeout=5)
    return target


def elsewhere(path: Path) -> Path:
    """Return a picture that lies somewhere else."""
    other = path.with_name("other.png")
    other.write_bytes(PNG)
    return other


def test_a_picture_is_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its bytes, as they are."""
    target = shot(monkeypatch, tmp_path, lambda path: path.write_bytes(PNG + b"x"))
    assert target.read_bytes() == PNG + b"x"


@pytest.mark.parametrize(
    "picture",
    [
        lambda _: None,
        lambda path: path.write_bytes(b"GIF"),
        lambda path: path.symlink_to(elsewhere(path)),
        lambda path: path.write_bytes(PNG + bytes(screenshot.MOST_BYTES)),
        lambda path: path.mkdir(),
    ],
)
def test_anything_else_is_no_picture(
    picture: Any,  # noqa: ANN401  a function
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A page that took its browser over could leave a link to a file of root's."""
    with pytest.raises(ProcessError, match="took no picture") as caught:
        shot(monkeypatch, tmp_path, picture)
    assert caught.value.stderr == "No sandbox!"
    assert list(tmp_path.iterdir()) == []


def answer(status: int, kind: str) -> Response:
    """Return an answer of the app."""
    headers = {"content-type": kind} if kind else {}
    return Response(url="u", status=status, headers=headers, body=b"", container="c", error="cut")


PAGE, TEXT, GONE = answer(200, "text/html; charset=utf-8"), answer(200, "text/plain"), answer(0, "")


@pytest.mark.parametrize(
    ("front", "health", "path", "why"),
    [
        (PAGE, TEXT, "/", ""),
        (TEXT, PAGE, "/health", ""),
        (TEXT, TEXT, "/", "it serves no page: text/plain"),
        (GONE, GONE, "/", "no answer: cut"),
        (answer(302, ""), TEXT, "/", ""),
        (answer(404, "text/html"), TEXT, "/", ""),
        (answer(200, ""), TEXT, "/", "it serves no page: no content type"),
    ],
)
def test_the_page_is_the_front_page_if_there_is_one(
    front: Response, health: Response, path: str, why: str
) -> None:
    """Else that of the health path; an app may serve none at all."""
    answers = {"/": front, "/health": health}
    proxy: Any = type("P", (), {"ask": staticmethod(lambda request: answers[request.path])})
    found, said = screenshot._page(proxy, "/health")  # noqa: SLF001  what decides
    assert (found, screenshot._no_page(said)) == (path, why)  # noqa: SLF001  as above


def test_a_browser_that_is_not_done_in_time_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The report has no room for its whole command, and its complaints are no news of the app."""

    def late(argv: list[str], **_: object) -> proc.Completed:
        raise ProcessError(f"`{' '.join(argv)}` was still running", code=None, stderr="bus " * 99)

    monkeypatch.setattr(proc, "run", late)
    with pytest.raises(ProcessError) as caught:
        Browser(argv=("b",)).shoot("http://made.test/", tmp_path / "t.png", port=99, timeout=5)
    assert str(caught.value) == "the browser did not start, or was not done in 5 s"


SECRET = "zq7-Kd93&hW0xYpL"  # noqa: S105  of no app
SHOWN = [
    SECRET.replace("&", "&amp;"),
    "<b>zq7-</b><i>Kd93</i>&amp;<script>no()</script><p>hW0xYpL</p>",
    '<input value="zq7-Kd93&amp;hW0xYpL">',
    base64.b64encode(SECRET.encode()).decode(),
]


@pytest.mark.parametrize("body", SHOWN)
def test_a_picture_of_a_secret_is_not_kept(body: str) -> None:
    """A picture cannot be masked, so there is none, and the page's text has leaked it."""
    guard = Guard(generated=lambda: {"admin": SECRET})
    page = f"<html><body>{body}</body></html>"
    assert "shows a secret" in withheld(page, "screenshots/install.png", guard.mask)
    (leak,) = guard.leaks
    assert (leak.secret, leak.place) == ("admin", "screenshots/install.png")


@pytest.mark.parametrize("page", ["", "<p>x" * MOST_TEXT])
def test_what_cannot_be_scanned_is_not_kept(page: str) -> None:
    """A browser that tells nothing of the page, or a page without end."""
    assert "scanned for secrets" in withheld(page, "p", Guard(generated=dict).mask)


def test_a_picture_of_anything_else_is_kept() -> None:
    """Also of a page whose script knows the secret: nobody sees that."""
    guard = Guard(generated=lambda: {"admin": SECRET})
    page = f"<html><script>login('{SECRET}')</script><p>hello</p></html>"
    assert withheld(page, "p", guard.mask) == ""
    assert guard.leaks == ()
