"""Attempts to get at the login of a source: in files, processes, messages, by redirects."""

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.core import proc
from harness.core.errors import SourceError
from harness.recipes.cloning import clone
from harness.recipes.repo import Repo
from tests.hostile.git_server import GitServer, git_server, processes
from tests.hostile.table import attempt

TOKEN = "ghp_SECRETTOKEN4711abcdefgh"  # noqa: S105  it opens nothing
LOGIN = f"bot:{TOKEN}"
NOWHERE = "the login of a source is in no file of a checkout, no process's arguments, no message"


def traces(text: bytes) -> list[str]:
    """Return which forms of the login are in some bytes."""
    coded = base64.b64encode(LOGIN.encode())
    return [form.decode() for form in (TOKEN.encode(), coded.rstrip(b"=")) if form in text]


def files_with_login(place: Path) -> list[Path]:
    """Return the files of a directory that hold the login."""
    return [
        path
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and traces(path.read_bytes())
    ]


def git(*words: str, cwd: Path) -> str:
    """Run git as somebody who makes a recipe."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return proc.run(["git", *who, *words], cwd=cwd, timeout=60).stdout


def recipe(place: Path, *, name: str = "made.git") -> Path:
    """Make a bare repository with one commit, and a pull request's ref."""
    work = place / "work"
    work.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=work)
    (work / "compose.yml").write_text("services: {app: {image: 'nginx:1'}}\n")
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "one", cwd=work)
    git("clone", "-q", "--bare", str(work), str(place / name), cwd=place)
    git("update-ref", "refs/pull/7/head", "main", cwd=place / name)
    return place / name


@contextlib.contextmanager
def watched() -> Iterator[set[bytes]]:
    """Look at all processes again and again, for as long as the body lasts."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            seen.update(processes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _cloned(place: Path, server: GitServer) -> Repo:
    source = f"{server.with_login(LOGIN)}/made.git"
    repo = clone(source, place / "clone", timeout=60)
    repo.checkout(repo.resolve("7"))  # what is fetched later needs the login, too
    return repo


@attempt(promised=NOWHERE, known="git-config-token")
def login_in_the_checkout(place: Path) -> str:
    """A compose file names `.git/config` of a checkout that was cloned with a token."""
    recipe(place / "served")
    with git_server(place / "served", login=LOGIN) as server:
        repo = _cloned(place, server)
    assert set(server.logins) == {LOGIN}
    assert (repo.path / ".git" / "config").read_text().count(server.url) == 1
    assert files_with_login(place) == []
    return "the clone's configuration has the address without the login"


@attempt(promised=NOWHERE)
def login_in_the_process_list(place: Path) -> str:
    """Another user of the machine looks at all processes' arguments while git clones."""
    recipe(place / "served")
    with git_server(place / "served", login=LOGIN) as server, watched() as seen:
        _cloned(place, server)
    seen |= server.processes
    assert any(b"remote-http" in one for one in seen), "git was not seen at all"
    assert [one for one in seen if traces(one)] == []
    return "git was seen, its login was not"


@attempt(promised="a login goes to the host that it was given for, and nowhere else",
         known="curl CVE-2018-1000007")  # fmt: skip
def login_taken_by_a_redirect(place: Path) -> str:
    """A server that knows the login sends git on to another one, which asks for a login."""
    recipe(place / "served")
    with (
        git_server(place / "served", login="else:where") as thief,
        git_server(place / "served", redirect=thief.url) as server,
        pytest.raises(SourceError) as caught,
    ):
        _cloned(place, server)
    assert thief.logins == [], "the other server was given the login"
    return caught.value.cause


@attempt(promised="a login goes to the host that it was given for, and nowhere else",
         known="git/git CVE-2020-5260")  # fmt: skip
def login_with_a_line_break(place: Path) -> str:
    """A login of an address has a line break in it, which would name another host to git."""
    for login in (f"bot%0Ahost=evil.example:{TOKEN}", f"bot:{TOKEN}%0Ahost=evil.example"):
        with pytest.raises(SourceError, match="control character") as caught:
            clone(f"http://{login}@127.0.0.1:9/x.git", place / "clone", timeout=60)
        assert not traces(str(caught.value).encode())
    return "refused before git is called"


@attempt(promised=NOWHERE)
def login_of_the_clone_that_a_ci_made(place: Path) -> str:
    """A CI's own clone, given as a path, has a token in the address of its origin."""
    recipe(place / "served")
    with git_server(place / "served", login=LOGIN) as server:
        theirs = place / "theirs"
        address = f"{server.with_login(LOGIN)}/made.git"
        git("clone", "-q", "--depth=1", address, str(theirs), cwd=place)
        server.processes.clear()  # the CI has shown it by itself
        with watched() as seen:
            repo = clone(str(theirs), place / "clone", timeout=60)
            assert repo.upstream_tags(timeout=120) == {}, "its tags were not asked for"
    assert server.logins[-1] == LOGIN, "its tags were asked for with the login"
    assert [one for one in seen | server.processes if traces(one)] == []
    assert files_with_login(place / "clone") == []
    return "its tags were asked for, and the login was in no argument"


@attempt(promised=NOWHERE)
def password_of_an_ssh_address(place: Path) -> str:
    """An ssh address has a password, which ssh has no use for and would show as an argument."""
    script = place / "ssh"
    script.write_text(f'#!/bin/sh\necho "$@" > {place}/arguments\nexit 1\n')
    script.chmod(0o755)
    environ = {"GIT_SSH_COMMAND": str(script), "PATH": "/usr/bin:/bin"}
    with contextlib.suppress(SourceError):
        clone(f"ssh://git:{TOKEN}@h.invalid/x.git", place / "clone", timeout=20, env=environ)
    said = (place / "arguments").read_bytes()
    assert b"git@h.invalid" in said
    assert not traces(said)
    return "ssh is called with the name alone"


@attempt(promised=NOWHERE, known="token-in-usage-error")
def login_in_a_usage_error(place: Path) -> str:
    """An address that cannot be used is repeated by the message that says so."""
    from harness.__main__ import main  # noqa: PLC0415  it looks at the terminal when imported

    listed = place / "recipes.txt"
    slashed = quote(TOKEN) + "/+x=="
    for words, environ in (
        (["run", f"https://{LOGIN}@forge.invalid/Org/.git"], {}),
        (["run", f"https://bot:{slashed}{TOKEN}@forge.invalid/Org/.git"], {}),
        (["run", f"https://{LOGIN}@forge.invalid/made#a..b~"], {}),
        (["run", f"svn://{LOGIN}@forge.invalid/made"], {}),
        (["lint", f"https://{LOGIN}@forge.invalid/Org/.git"], {}),
        (["pr", f"https://{LOGIN}@forge.invalid/made", "--pr", "x"], {}),
        (["post", "x", "--pr", f"https://{LOGIN}@forge.invalid/made/pulls/x"], {}),
        (["run", "made", "--stages", f"https://{LOGIN}@forge.invalid/"], {}),
        (["run", "made"], {"CCCI_JOBS": f"https://{LOGIN}@forge.invalid/"}),
        (["run", f"--src=https://{LOGIN}@forge.invalid/", "--nonsense"], {}),
    ):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words, environ)
        assert code not in (0, 1), words
        assert err.getvalue(), words
        assert not traces((out.getvalue() + err.getvalue()).encode()), err.getvalue()
    listed.write_text(f"made https://{LOGIN}@forge.invalid/made nonsense=1\n")
    err = io.StringIO()
    with contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.core.project.PROJECT", place)
        assert main(["matrix", "--format", "github"], {}) != 0
    assert "nonsense" in err.getvalue()
    assert not traces(err.getvalue().encode()), err.getvalue()
    return "each names the address as https://****@..."
