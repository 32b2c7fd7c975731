"""Attempts by a repository itself: programs that git would start, and paths that lead elsewhere.

Each attempt to have a program started names one that leaves a mark. The rows whose program git
starts without the harness show first that it does, so that they can fail.
"""

import contextlib
import os
import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import pytest

from harness.core import proc
from harness.core.errors import InvalidRecipeError, RefusedError, SourceError
from harness.recipes import git as limits
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.repo import Repo
from tests.hostile.table import attempt
from tests.hostile.with_logins import git, recipe
from tests.unit.recipes.test_shipped import Tree, history

PROGRAMS = "no program that a repository, or a configuration, names is started"
PLACES = "nothing outside of the commit is read, and nothing outside of the checkout is written"
MADE: Tree = {"compose.yml": b"services: {app: {image: 'nginx:1'}}\n", ".env.sample": b"A=1\n"}


def marker(place: Path) -> Path:
    """Make a program that leaves the file `started` there, and return it."""
    script = place / "program"
    script.write_text(f"#!/bin/sh\ntouch {place}/started\ncat\n")
    script.chmod(0o755)
    return script


def started(place: Path) -> bool:
    """Whether that program, or a command in a name, was started; forget it."""
    found = (place / "started").exists()
    (place / "started").unlink(missing_ok=True)
    return found


def home(place: Path, config: str) -> Mapping[str, str]:
    """Return the environment of a user with a configuration of git."""
    (place / "home").mkdir(exist_ok=True)
    (place / "home" / ".gitconfig").write_text(config)
    return {"PATH": os.environ["PATH"], "HOME": str(place / "home")}


def used(place: Path, source: str, env: Mapping[str, str] | None = None) -> Repo:
    """Do all that a run does with a repository: clone, ask, resolve, read, check out."""
    repo = clone(source, place / "clone", timeout=60, env=env)
    repo.upstream_tags(timeout=20)
    commit = repo.resolve("")
    repo.files(commit).read("compose.yml")
    repo.checkout(commit)
    return repo


def _imported(place: Path, tree: Tree) -> str:
    import_history(place / "origin.git", history({"main": tree}), branch="main")
    return str(place / "origin.git")


@attempt(promised=PROGRAMS)
def hooks_of_the_source(place: Path) -> str:
    """A repository that is given as a path has every hook."""
    recipe(place)
    hooks = place / "work" / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout", "post-merge", "pre-auto-gc", "reference-transaction", "fsmonitor-watchman",
        "post-index-change", "pre-commit", "update", "pre-receive", "post-update",
    ):  # fmt: skip
        (hooks / name).symlink_to(marker(place))
    git("checkout", "-q", "--detach", cwd=place / "work")
    assert started(place), "git itself does not start them"
    os.utime(place / "work" / "compose.yml", (1, 1))  # so that a look at it renews the index
    used(place, str(place / "work"))
    assert not started(place)
    return "none of ten was started"


@attempt(promised=PROGRAMS, known="git/git CVE-2021-21300")
def filters_of_the_user(place: Path) -> str:
    """`.gitattributes` sends every file through a filter that the user's own git knows."""
    source = _imported(place, {**MADE, ".gitattributes": b"* filter=x diff=x merge=x\n"})
    script = marker(place)
    env = home(place, f'[filter "x"]\nsmudge={script}\nclean={script}\nprocess={script}\n'
               f'[diff "x"]\ntextconv={script}\n')  # fmt: skip
    proc.run(["git", "clone", "-q", source, "theirs"], timeout=60, cwd=place, env=env, check=False)
    assert started(place), "git itself does not start it"
    repo = used(place, source, env)
    assert not started(place)
    assert (repo.path / "compose.yml").read_bytes() == MADE["compose.yml"]
    return "the checkout is as it was committed"


@attempt(promised=PROGRAMS)
def configuration_of_the_user(place: Path) -> str:
    """The user's own git has hooks for every clone, a watcher, a transport and a pager."""
    source = _imported(place, MADE)
    script = marker(place)
    hooks = place / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").symlink_to(script)
    env = home(place, f"[core]\nhooksPath={hooks}\nfsmonitor={script}\npager={script}\n"
               f"sshCommand={script}\n[init]\ntemplateDir={place}/template\n"
               f"[credential]\nhelper={script}\n[uploadpack]\npackObjectsHook={script}\n"
               f'[url "ext::{script} "]\ninsteadOf={place}/\n')  # fmt: skip
    used(place, source, {**env, "GIT_TEMPLATE_DIR": str(place / "template"), "GIT_PAGER": "x",
                         "GIT_EXTERNAL_DIFF": str(script), "GIT_DIR": "/nowhere"})  # fmt: skip
    assert not started(place)
    return "git is given neither its files nor its variables"


@attempt(promised=PROGRAMS, known="git/git CVE-2022-24765")
def configuration_of_the_source(place: Path) -> str:
    """A repository that is given as a path has a configuration that names programs."""
    recipe(place)
    work, script = place / "work", marker(place)
    (work / ".gitattributes").write_text("* filter=x\n")
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "attributes", cwd=work)
    for name in ("core.fsmonitor", "core.sshCommand", "filter.x.clean", "filter.x.smudge",
                 "core.pager", "uploadpack.packObjectsHook", "core.alternateRefsCommand",
                 "diff.external", "core.editor"):  # fmt: skip
        git("config", name, str(script), cwd=work)
    git("remote", "add", "origin", f"ext::{script}", cwd=work)
    (work / "compose.yml").write_text("services: {app: {image: 'nginx:2'}}\n")
    git("status", cwd=work)
    assert started(place), "git itself does not start them"
    repo = used(place, str(work))
    assert not started(place)
    assert "uncommitted changes (compose.yml)" in repo.notice
    return "it is told of its uncommitted change all the same"


def _refused_source(source: str, place: Path) -> str:
    with pytest.raises(SourceError) as caught:
        clone(source.format(mark=place / "started"), place / "clone", timeout=20)
    assert not started(place)
    assert not (place / "clone").exists()
    return str(caught.value).partition("\n")[0].replace(str(place), "...")


for _name, _source, _known in (
    ("source-that-is-a-command", "ext::touch {mark}", "GitPython CVE-2022-24439"),
    ("source-of-a-helper", "fd::17", ""),
    ("source-that-is-an-option", "--upload-pack=touch {mark}", ""),
    ("host-that-is-an-option", "ssh://-oProxyCommand=touch%20{mark}/x", "git/git CVE-2017-1000117"),
    ("host-with-a-command", "ssh://$(touch%20{mark})/x.git", ""),
    ("path-with-a-command", "/nowhere/$(touch {mark});`touch {mark}`", ""),
):
    attempt(promised=PROGRAMS, name=_name, what=f"the source is {_source}", known=_known)(
        partial(_refused_source, _source)
    )


@attempt(promised=PROGRAMS, known="git/git CVE-2018-17456")
def submodules(place: Path) -> str:
    """`.gitmodules` names commands, options and paths out of the repository."""
    mark = place / "started"
    modules = "".join(
        f'[submodule "{name}"]\npath = sub{number}\nurl = {url}\nupdate = !touch {mark}\n'
        for number, (name, url) in enumerate((
            ("a", f"ext::touch {mark}"), ("../../../x", str(place)), ("c", f"-u./{mark}"),
        ))
    )  # fmt: skip
    tree = {**MADE, ".gitmodules": modules.encode(),
            **{f"sub{number}": ("160000", b"1" * 40) for number in range(3)}}  # fmt: skip
    repo = used(place, _imported(place, tree))
    assert not started(place)
    assert [list((repo.path / f"sub{number}").iterdir()) for number in range(3)] == [[]] * 3
    assert not (repo.path / ".git" / "modules").exists()
    return "none is fetched, their folders are empty"


@attempt(promised=PLACES)
def links_out_of_the_commit(place: Path) -> str:
    """The files of a recipe are links to the host's files, devices and the clone's own `.git`."""
    (place / "secret").write_text("SECRET")
    links = {
        "a": f"{place}/secret", "b": "../secret", "c": "/dev/zero", "d": ".git/config",
        "e": "b", "f": "/proc/self/environ", "g": "folder/../../secret", "h": "h",
    }  # fmt: skip
    tree: Tree = {**MADE, **{name: ("120000", to.encode()) for name, to in links.items()},
                  "up": ("120000", b"..")}  # fmt: skip
    repo = clone(_imported(place, tree), place / "clone", timeout=60)
    files = repo.files(repo.resolve(""))
    for name in (*links, "up/secret", ".git/config", "../secret", f"{place}/secret"):
        with contextlib.suppress(RefusedError, InvalidRecipeError):
            assert files.read(name) is None, name
    return "each is refused, or is not there"


@attempt(promised=PLACES, known="git/git CVE-2014-9390")
def files_in_the_git_folder(place: Path) -> str:
    """A tree, which git itself would not make, has files below `.git` and `..`."""
    origin = place / "origin.git"
    import_history(origin, b"", branch="main")

    def write(kind: str, content: bytes) -> str:
        argv = ["git", "hash-object", "-w", "--literally", "-t", kind, "--stdin"]
        return proc.run(argv, timeout=20, cwd=origin, stdin=content).stdout.strip()

    blob = bytes.fromhex(write("blob", b"#!/bin/sh\ntouch /nowhere\n"))
    for name in (b".git", b"..", b".GIT", b"git~1", b".gi\xe2\x80\x8ct"):
        hooks = bytes.fromhex(write("tree", b"100755 post-checkout\0" + blob))
        inner = bytes.fromhex(write("tree", b"40000 hooks\0" + hooks))
        top = write("tree", b"40000 " + name + b"\0" + inner)
        commit = git("commit-tree", "-m", "m", top, cwd=origin).strip()
        git("update-ref", "refs/heads/main", commit, cwd=origin)
        target = place / f"clone-{name.hex()}"
        repo = clone(str(origin), target, timeout=60)
        certain = name in (b".git", b"..")  # the others are names like any other on some systems
        refused = pytest.raises(SourceError, match="cannot be checked out")
        with refused if certain else contextlib.suppress(SourceError):
            repo.checkout(commit)
        assert not (target / ".git" / "hooks" / "post-checkout").exists()
        assert not (place / "hooks").exists()
    return "such a commit is not checked out"


@attempt(promised="what is read is what was committed")
def attributes_that_change_files(place: Path) -> str:
    """`.gitattributes` asks for other line ends, encodings and words in the files."""
    tree: Tree = {
        ".gitattributes": b"* text eol=crlf ident export-subst working-tree-encoding=UTF-16\n"
        b"compose.yml export-ignore -diff\n",
        "compose.yml": b"# $Id$ $Format:%H$\nservices: {}\n",
    }
    repo = clone(_imported(place, tree), place / "clone", timeout=60)
    assert repo.files(repo.resolve("")).read("compose.yml") == tree["compose.yml"]
    return "every byte is the same"


@attempt(promised="what is read is what was committed")
def commit_that_is_replaced(place: Path) -> str:
    """A repository says by `refs/replace` that another commit stands for the one under test."""
    source = place / "work"
    recipe(place)
    tested = git("rev-parse", "HEAD", cwd=source).strip()
    (source / "compose.yml").write_text("services: {}\n")
    git("commit", "-qam", "other", cwd=source)
    other = git("rev-parse", "HEAD", cwd=source).strip()
    git("replace", tested, other, cwd=source)
    assert "nginx" not in git("show", f"{tested}:compose.yml", cwd=source), "git is not misled"
    repo = clone(str(source), place / "clone", timeout=60)
    found = repo.files(repo.resolve(tested)).read("compose.yml")
    assert found is not None
    assert b"nginx" in found
    return "the commit's own file is read"


@attempt(promised=PROGRAMS)
def refs_with_commands_in_them(place: Path) -> str:
    """Tags and branches have names that a shell would carry out, or git take for options."""
    recipe(place)
    source, mark = place / "work", place / "started"
    head = git("rev-parse", "HEAD", cwd=source).strip()
    shells = f"touch${{IFS}}{mark}"
    packed = [
        f"refs/tags/1.0.0+$({shells})",
        f"refs/tags/1.0.1+`{shells}`",
        f"refs/tags/1.0.2+1;{shells};",
        "refs/heads/--upload-pack=x",
        "refs/tags/-d",
        f"refs/heads/$({shells})",
        "refs/tags/1.0.3+1|sh",
        "refs/tags/1.0.4+%00%0a",
    ]
    lines = "".join(f"{head} {name}\n" for name in sorted(packed))  # fmt: skip
    (source / ".git" / "packed-refs").write_text(lines)
    repo = used(place, str(source))
    tags = [name.removeprefix("refs/tags/") for name in packed if name.startswith("refs/tags/1")]
    for tag in tags:
        assert repo.resolve(tag) == head, tag
        assert repo.tags_between(head, head) == frozenset()
    assert repo.candidates(head) is not None
    assert not started(place)
    return f"{len(tags)} such tags are names like others"


@attempt(promised=PROGRAMS)
def refs_that_are_asked_for(place: Path) -> str:
    """The ref that a run is asked to test is an option, a pattern, a refspec or an expression."""
    recipe(place)
    repo = clone(str(place / "work"), place / "clone", timeout=60)
    asked = (
        "--upload-pack=touch x", "-x", "main:refs/heads/x", "+main", "refs/heads/*", "HEAD~1",
        "main@{1}", ":/one", "main^{/one}", "a..b", "main\n--x", "refs/heads/main:refs/heads/y",
        "refs/--upload-pack=x", "$(touch x)",
    )  # fmt: skip
    for ref in asked:
        with pytest.raises(SourceError):
            repo.resolve(ref)
    assert not (repo.path / "x").exists()
    assert git("for-each-ref", "refs/heads", "--format=%(refname)", cwd=repo.path).split() in (
        [], ["refs/heads/main"]
    )  # fmt: skip
    return f"{len(asked)} are refused as no refs"


def ten_million(place: Path, folder: str) -> Repo:
    """Clone a repository of ten objects whose folder of that name has ten million files."""
    source = recipe(place)
    tree = git("rev-parse", "HEAD^{tree}", cwd=source).strip()
    for _ in range(7):
        lines = "".join(f"040000 tree {tree}\t{name}\n" for name in "abcdefghij")
        made = proc.run(["git", "mktree"], timeout=60, cwd=source, stdin=lines.encode())
        tree = made.stdout.strip()
    top = proc.run(["git", "mktree"], timeout=60, cwd=source,
                   stdin=f"040000 tree {tree}\t{folder}\n".encode()).stdout.strip()  # fmt: skip
    commit = git("commit-tree", "-m", "bomb", top, cwd=source).strip()
    git("update-ref", "refs/heads/main", commit, cwd=source)
    return clone(str(source), place / "clone", timeout=120)


@attempt(promised="a checkout has a limit of files and bytes")
def checkout_of_ten_million_files(place: Path) -> str:
    """Ten objects of git are ten million files."""
    repo = ten_million(place, "files")
    with pytest.raises(InvalidRecipeError, match="too large: `git ls-tree` printed more") as caught:
        repo.checkout(repo.resolve(""))
    assert [path.name for path in repo.path.iterdir()] == [".git"]
    return str(caught.value).partition("\n")[0]


@attempt(promised="the list of a clone's refs has a limit", nightly=True)
def refs_without_end(place: Path) -> str:
    """A repository has 200 000 tags of one commit."""
    recipe(place)
    source = place / "work"
    head = git("rev-parse", "HEAD", cwd=source).strip()
    with (source / ".git" / "packed-refs").open("w") as packed:
        packed.write("# pack-refs with: sorted\n")
        packed.writelines(f"{head} refs/tags/{n:06}-{'x' * 100}\n" for n in range(200_000))
    with pytest.raises(InvalidRecipeError, match="too large: `git for-each-ref` printed") as caught:
        clone(str(source), place / "clone", timeout=300)
    return str(caught.value).partition("\n")[0]


class _Endless(BaseHTTPRequestHandler):
    """Lists refs, as git's own program does, for as long as somebody reads them."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.end_headers()
        self.wfile.write(b"001e# service=git-upload-pack\n0000")
        line = f"{'1' * 40} refs/heads/{'x' * 900}\n".encode()
        with contextlib.suppress(OSError):  # the reader is gone
            while True:
                self.wfile.write((b"%04x" % (len(line) + 4) + line) * 1000)


@attempt(promised="a program of git's has a limit of memory")
def refs_of_a_server_without_end(place: Path) -> str:
    """A server sends its list of refs without end, which git keeps in memory."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/made.git"
        with (
            mock.patch.object(limits, "MOST_MEMORY", 128 << 20),  # sooner than in a run
            pytest.raises(InvalidRecipeError, match="larger than the limit") as caught,
        ):
            clone(source, place / "clone", timeout=120)
        server.shutdown()
    return str(caught.value).partition("\n")[0]
