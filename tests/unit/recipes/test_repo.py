"""Clones, releases, refs and checkouts, with real git on this disk only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import (
    DiskFullError,
    InvalidRecipeError,
    ProcessError,
    SourceError,
    TestBedError,
)
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.git_access import environment, passwords
from harness.recipes.git_words import explain
from harness.recipes.repo import Repo

WHO = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@cc-ci.invalid",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@cc-ci.invalid",
}
NOT_OWNER = 12345


def git(where: Path, *arguments: str) -> str:
    return proc.run(["git", *arguments], timeout=20, cwd=where, env=WHO).stdout.strip()


def commit(where: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        (where / name).write_text(text)
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(where, "rev-parse", "HEAD")


def make_origin(where: Path) -> dict[str, str]:
    """Make a recipe's repository and return its commits by a word of ours."""
    where.mkdir()
    git(where, "init", "--quiet", "--initial-branch=main")
    commits = {"first": commit(where, "first", compose="one", gone="x")}
    git(where, "tag", "--annotate", "--message", "r", "1.0.0+1.0")
    (where / "gone").unlink()
    commits["second"] = commit(where, "second", compose="two")
    git(where, "tag", "1.10.0+1.1")
    git(where, "tag", "--annotate", "--message", "r", "1.9.0+1.1", commits["first"])
    git(where, "tag", "latest", commits["first"])
    git(where, "tag", "--annotate", "--message", "nested", "1.11.0+1", "1.0.0+1.0")
    git(where, "switch", "--quiet", "--create", "feature/nice")
    commits["feature"] = commit(where, "feature", compose="three")
    git(where, "tag", "both", commits["first"])
    git(where, "branch", "both")
    git(where, "switch", "--quiet", "--detach")
    commits["request"] = commit(where, "request", compose="four")
    git(where, "update-ref", "refs/pull/7/head", commits["request"])
    git(where, "update-ref", "refs/merge-requests/8/head", commits["request"])
    git(where, "switch", "--quiet", "main")
    return commits


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A repository that no test changes, and its commits."""
    path = tmp_path_factory.mktemp("origin") / "recipe"
    return path, make_origin(path)


@pytest.fixture
def commits(origin: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The commits of the repository, by name."""
    return origin[1]


@pytest.fixture(scope="module")
def cloned(origin: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A clone of it that no test checks anything out in."""
    return clone(str(origin[0]), tmp_path_factory.mktemp("cloned") / "clone", timeout=20)


@pytest.fixture
def fresh(origin: tuple[Path, dict[str, str]], tmp_path: Path) -> Repo:
    """A clone of it for one test."""
    return clone(str(origin[0]), tmp_path / "clone", timeout=20)


def test_releases_are_sorted_and_flagged(cloned: Repo, commits: dict[str, str]) -> None:
    """Releases come by version, not by name or date; a lightweight tag is flagged, others counted.

    Each one's commit is the commit, not the tag's own object, through a tag of a tag as well.
    """
    assert [(one.tag, one.commit, one.annotated) for one in cloned.releases()] == [
        ("1.0.0+1.0", commits["first"], True),
        ("1.9.0+1.1", commits["first"], True),
        ("1.10.0+1.1", commits["second"], False),
        ("1.11.0+1", commits["first"], True),
    ]
    assert cloned.other_tags == ("both", "latest")
    assert str(cloned.releases()[0].version) == "1.0.0+1.0"


@pytest.mark.parametrize(
    ("head", "older"),
    [
        ("first", []),
        ("second", ["1.0.0+1.0", "1.9.0+1.1"]),
        ("feature", ["1.0.0+1.0", "1.9.0+1.1", "1.10.0+1.1", "1.11.0+1"]),
    ],
)
def test_a_head_is_upgraded_only_from_an_older_release_behind_it(
    cloned: Repo, commits: dict[str, str], head: str, older: list[str]
) -> None:
    """A head that is release 1.10 follows a commit tagged 1.11 later: that is not a base."""
    assert [one.tag for one in cloned.releases_before(commits[head])] == older


@pytest.mark.parametrize(
    ("ref", "meant"),
    [
        ("", "second"),
        ("HEAD", "second"),
        ("main", "second"),
        ("refs/heads/main", "second"),
        ("feature/nice", "feature"),
        ("1.0.0+1.0", "first"),
        ("refs/tags/1.0.0+1.0", "first"),
        ("both", "first"),
        ("refs/tags/both", "first"),
        ("refs/heads/both", "feature"),  # travis-ci/travis-ci, issue 3178
        ("7", "request"),
        ("#7", "request"),
        ("pull/7", "request"),
        ("refs/pull/7/head", "request"),
        ("8", "request"),
        ("!8", "request"),
        ("merge-requests/8/head", "request"),
    ],
)
def test_refs_resolve(cloned: Repo, commits: dict[str, str], ref: str, meant: str) -> None:
    """Branches, tags and the requests of both kinds of forge name their commits; tags go first."""
    assert cloned.resolve(ref) == commits[meant]


def test_commits_resolve(fresh: Repo, commits: dict[str, str]) -> None:
    """A commit is found by its digits, also one that only a request has, given in full."""
    assert fresh.resolve(commits["feature"]) == commits["feature"]
    assert fresh.resolve(commits["feature"][:9]) == commits["feature"]
    assert fresh.resolve(commits["request"]) == commits["request"]


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("feature/nce", "feature/nice"),
        ("1.0.0+1.1", "1.9.0+1.1"),
        ("zzz", "the branches both, feature/nice, main"),
        ("99", "the branches"),
        ("refs/heads/nope", "the branches"),
        ("deadbeef", "the branches"),
        ("0" * 40, "the branches"),
    ],
)
def test_a_missing_ref_comes_with_the_nearest(cloned: Repo, ref: str, told: str) -> None:
    """A ref that is not there is a source error that names what is."""
    with pytest.raises(SourceError, match=f"has no ref '{re.escape(ref)}'") as caught:
        cloned.resolve(ref)
    assert told in caught.value.hint


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-b", "a b", "a:b", "a^{}", "a..b", "HEAD~1"])
def test_what_can_be_no_ref_never_reaches_git(
    cloned: Repo, monkeypatch: pytest.MonkeyPatch, ref: str
) -> None:
    """An option or an expression in the place of a ref is refused before git is called."""
    monkeypatch.setattr(proc, "run", None)
    with pytest.raises(SourceError, match="can be no ref"):
        cloned.resolve(ref)


def test_a_checkout_is_exactly_the_commit(fresh: Repo, commits: dict[str, str]) -> None:
    """Nothing survives a checkout: no edit, no untracked or ignored file, no nested repository."""
    fresh.checkout(commits["first"])
    assert sorted(path.name for path in fresh.path.iterdir()) == [".git", "compose", "gone"]
    (fresh.path / "compose").write_text("edited")
    (fresh.path / ".gitignore").write_text("ignored\n")
    (fresh.path / "ignored").write_text("x")
    (fresh.path / "nested").mkdir()
    git(fresh.path / "nested", "init", "--quiet")
    fresh.checkout(commits["second"])
    assert sorted(path.name for path in fresh.path.iterdir()) == [".git", "compose"]
    assert (fresh.path / "compose").read_text() == "two"
    assert (fresh.path / ".git/HEAD").read_text().strip() == commits["second"]


def test_files_are_those_of_the_commit_and_need_no_checkout(
    fresh: Repo, commits: dict[str, str]
) -> None:
    """Whatever lies in the clone's directory; a commit's files are read once."""
    (fresh.path / "compose").write_text("edited")
    assert fresh.files(commits["first"]).read("compose") == b"one"
    assert fresh.files(commits["second"]).read("compose") == b"two"
    assert fresh.files(commits["second"]).read("gone") is None
    assert fresh.files(commits["first"]) is fresh.files(commits["first"])
    for bad in ("main", "--batch", ""):
        with pytest.raises(SourceError):
            fresh.files(bad)


def test_checkout_takes_commits_only(fresh: Repo) -> None:
    """A checkout of what is no commit of the clone is a source error."""
    for bad in ("main", "--force", "", "f" * 40):
        with pytest.raises(SourceError):
            fresh.checkout(bad)


def test_the_original_is_left_alone(tmp_path: Path) -> None:
    """Work in the clone changes no byte of a path that is tested, its index included."""
    commits = make_origin(tmp_path / "origin")
    # A git that may write would note this in its index.
    os.utime(tmp_path / "origin/compose", (1_000_000_000, 1_000_000_000))
    before = _bytes(tmp_path / "origin")
    ours = clone(str(tmp_path / "origin"), tmp_path / "clone", timeout=20)
    for name in ("first", "feature"):
        ours.checkout(commits[name])
    ours.resolve("7")
    assert _bytes(tmp_path / "origin") == before
    objects = [path for path in (ours.path / ".git/objects").rglob("*") if path.is_file()]
    assert objects
    assert all(path.stat().st_nlink == 1 for path in objects)
    assert not (ours.path / ".git/objects/info/alternates").exists()


def _bytes(where: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in where.rglob("*") if path.is_file()}


def test_uncommitted_changes_are_left_out_and_said_so(tmp_path: Path) -> None:
    """Edits in a path's working tree are not tested, and whoever expects them is told."""
    path = tmp_path / "origin"
    make_origin(path)
    assert clone(str(path), tmp_path / "clean", timeout=20).notice == ""
    (path / "compose").write_text("edited")
    for number in range(4):
        (path / f"new{number}").write_text("x")
    ours = clone(str(path), tmp_path / "clone", timeout=20)
    assert "NOT tested" in ours.notice
    assert "compose, new0, new1, ..." in ours.notice
    ours.checkout(ours.default_branch_commit())
    assert (ours.path / "compose").read_text() == "two"
    assert clone(f"file://{path}", tmp_path / "url", timeout=20).notice == ""


def test_the_head_is_what_the_path_has_checked_out(tmp_path: Path) -> None:
    """A path is tested at its own HEAD, also when that is detached on a commit without a branch."""
    path = tmp_path / "origin"
    commits = make_origin(path)
    git(path, "switch", "--quiet", "feature/nice")
    head = clone(str(path), tmp_path / "a", timeout=20).default_branch_commit()
    assert head == commits["feature"]
    git(path, "switch", "--quiet", "--detach", commits["request"])
    head = clone(str(path), tmp_path / "b", timeout=20).default_branch_commit()
    assert head == commits["request"]


def test_a_linked_worktree_is_a_source(tmp_path: Path) -> None:
    """A worktree of a repository can be tested like the repository."""
    commits = make_origin(tmp_path / "origin")
    git(tmp_path / "origin", "worktree", "add", "--quiet", str(tmp_path / "tree"), "feature/nice")
    ours = clone(str(tmp_path / "tree"), tmp_path / "clone", timeout=20)
    assert ours.default_branch_commit() == commits["feature"]
    assert len(ours.releases()) == 4


def test_a_head_that_names_nothing(tmp_path: Path) -> None:
    """Without a default branch the refs can still be tested; the error lists them."""
    path = tmp_path / "origin"
    commits = make_origin(path)
    git(path, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    ours = clone(str(path), tmp_path / "clone", timeout=20)
    with pytest.raises(SourceError, match="no default branch") as caught:
        ours.default_branch_commit()
    assert "main" in caught.value.hint
    assert ours.resolve("main") == commits["second"]


def test_a_tag_on_a_file_is_no_release(tmp_path: Path) -> None:
    """A tag can name something that is no commit; it cannot be deployed."""
    path = tmp_path / "origin"
    make_origin(path)
    git(path, "tag", "3.0.0+1", "HEAD:compose")
    git(path, "tag", "--annotate", "--message", "x", "3.0.1+1", "HEAD:compose")
    ours = clone(str(path), tmp_path / "clone", timeout=20)
    assert ours.releases()[-1].tag == "1.11.0+1"


def test_an_empty_repository_has_nothing_to_test(tmp_path: Path) -> None:
    """A repository without a commit is a source error."""
    git(tmp_path, "init", "--quiet", "origin")
    with pytest.raises(SourceError, match="has no commits"):
        clone(str(tmp_path / "origin"), tmp_path / "clone", timeout=20)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    """Nothing there, a plain directory, a folder inside a repository: each is told apart."""
    with pytest.raises(SourceError, match="there is nothing at"):
        clone(str(tmp_path / "nope"), tmp_path / "a", timeout=20)
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError) as caught:
        clone(str(tmp_path / "plain"), tmp_path / "b", timeout=20)
    assert "is not a git repository" in caught.value.cause
    assert "git init" in caught.value.hint
    make_origin(tmp_path / "origin")
    (tmp_path / "origin/inside").mkdir()
    with pytest.raises(SourceError) as caught:
        clone(str(tmp_path / "origin/inside"), tmp_path / "c", timeout=20)
    assert f"begins at {tmp_path}/origin" in caught.value.hint
    with pytest.raises(SourceError, match="begins with '-'"):
        clone("--upload-pack=touch x", tmp_path / "d", timeout=20)
    with pytest.raises(SourceError) as caught:
        clone(f"file://{tmp_path}/plain", tmp_path / "e", timeout=20)
    assert "is not a git repository" in caught.value.cause


def test_a_transport_that_runs_commands_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ext::` and its like run a program of the source's choosing; git is not allowed to."""
    monkeypatch.chdir(tmp_path)
    helper = Path("git-remote-other")
    helper.write_text("#!/bin/sh\ntouch ran\n")
    helper.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for kind in ("ext", "other"):
        source = f"{kind}::touch ran"
        Path(source).mkdir()  # so that it is not refused as a path with nothing there
        with pytest.raises(SourceError) as caught:
            clone(source, tmp_path / "a", timeout=20, env=env)
        assert f"transport '{kind}' not allowed" in caught.value.detail
    assert not Path("ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_path_of_another_user(tmp_path: Path) -> None:
    """Root can test a path of another user, and is told that its changes were not looked for."""
    path = tmp_path / "origin"
    commits = make_origin(path)
    for place in (path, *path.rglob("*")):
        os.chown(place, NOT_OWNER, NOT_OWNER)
    ours = clone(str(path), tmp_path / "clone", timeout=20)
    assert ours.default_branch_commit() == commits["second"]
    assert "belongs to another user" in ours.notice
    assert ours.resolve("pull/7") == commits["request"]


def test_no_configuration_and_no_hook_gets_in(tmp_path: Path) -> None:
    """Neither the user's configuration nor a variable of the caller's git changes a checkout."""
    commits = make_origin(tmp_path / "origin")
    home = tmp_path / "home"
    (home / "template/hooks").mkdir(parents=True)
    hook = home / "template/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\ntemplateDir = {home}/template\n[core]\nhooksPath = {home}/template/hooks\n"
        f'autocrlf = true\n[url "/nonexistent"]\ninsteadOf = {tmp_path}/origin\n'
    )
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_DIR": "/nonexistent",
        "GIT_TEMPLATE_DIR": f"{home}/template",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": f"{home}/template/hooks",
    }
    ours = clone(str(tmp_path / "origin"), tmp_path / "clone", timeout=20, env=env)
    assert not (ours.path / ".git/hooks").exists()
    (home / "template/hooks").rename(ours.path / ".git/hooks")
    ours.checkout(commits["second"])
    assert not (tmp_path / "ran").exists()
    assert (ours.path / "compose").read_bytes() == b"two"


def test_the_environment_of_git() -> None:
    """Keys, proxies and certificates pass; what redirects git or lets it ask a person does not."""
    env = environment(
        {
            "https_proxy": "p",
            "GIT_SSL_CAINFO": "c",
            "SSH_AUTH_SOCK": "s",
            "SSH_ASKPASS": "a",
            "GIT_DIR": "d",
            "GIT_CONFIG_PARAMETERS": "x",
            "LC_ALL": "de_DE",
        }
    )
    assert env.items() >= {"https_proxy": "p", "GIT_SSL_CAINFO": "c", "SSH_AUTH_SOCK": "s"}.items()
    assert not env.keys() & {"SSH_ASKPASS", "GIT_DIR", "GIT_CONFIG_PARAMETERS"}
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["LC_ALL"] == "C"
    assert "BatchMode" in env["GIT_SSH_COMMAND"]
    assert environment({"GIT_SSH_COMMAND": "mine"})["GIT_SSH_COMMAND"] == "mine"


@pytest.mark.parametrize(
    ("source", "hidden"),
    [
        ("https://tok%2Ben@h/x", {"tok%2Ben", "tok+en"}),
        ("https://me:word@h/x", {"me", "word"}),
        ("ssh://git:word@h/x", {"word"}),
        ("ssh://git@h/x", set()),
        ("git@h:x", set()),
        ("/srv/me:word@h", set()),
    ],
)
def test_what_an_address_must_not_show(source: str, hidden: set[str]) -> None:
    """Tokens and passwords in an address are known, so that they can be masked."""
    assert set(passwords(source)) == hidden


def test_a_password_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the message nor git's own words repeat the password of the source's address."""
    original = proc.run

    def refuse(argv: list[str], **kwargs: object) -> proc.Completed:
        assert argv[-2] == "https://h.invalid/x"
        assert not any("hidden-word" in word for word in argv)
        script = "echo \"fatal: '$1' hidden-word: Could not resolve host\" >&2; exit 128"
        return original(["sh", "-c", script, "sh", argv[-2]], **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(proc, "run", refuse)
    with pytest.raises(SourceError) as caught:
        clone("https://me:hidden-word@h.invalid/x", tmp_path / "clone", timeout=20)
    assert "cannot be reached" in caught.value.cause
    assert "h.invalid/x" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "cannot be reached"),
        ("fatal: unable to access 'https://x/': Failed to connect to x port 443", "be reached"),
        ("ssh: connect to host x port 22: Connection refused\nfatal: Could not read", "be reached"),
        ("fatal: unable to access 'https://x/': CONNECT tunnel failed, response 403", "be reached"),
        ("remote: x\nfatal: Authentication failed for 'https://x/'", "needs a login"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "login"),
        ("git@x: Permission denied (publickey).\nfatal: Could not read from remote", "login"),
        ("Host key verification failed.\nfatal: Could not read from remote", "ssh key"),
        ("remote: Not found.\nfatal: repository 'https://x/' not found", "no such repository"),
        ("fatal: unable to access 'https://x/': server certificate verification failed", "trusted"),
        ("fatal: detected dubious ownership in repository at '/x'", "another user"),
        ("error: unable to open /x/.git/objects/ab: Permission denied", "not be read"),
        ("fatal: '/x' does not appear to be a git repository", "not a git repository"),
        ("fatal: transport 'ext' not allowed", "not cloned here"),
        ("fatal: repository 'https://x/certificate.git/' not found", "no such"),
        ("fatal: something new", ""),
    ],
)
def test_git_is_understood(stderr: str, cause: str) -> None:
    """Each way to fail has its own cause and a next step, and git's last words are kept."""
    with pytest.raises(SourceError) as caught:
        explain("it failed", f"a\nb\nc\nd\ne\nf\n{stderr}\n")
    assert cause in caught.value.cause
    assert caught.value.hint
    assert caught.value.detail.endswith(stderr.splitlines()[-1])
    assert len(caught.value.detail.splitlines()) == 5


def test_a_full_disk_is_no_fault_of_the_source() -> None:
    """When there is no room left, it is the test bed that is wrong."""
    with pytest.raises(DiskFullError):
        explain("it failed", "fatal: write error: No space left on device")


def _failing(error: ProcessError) -> Callable[..., proc.Completed]:
    def run(argv: list[str], **_: object) -> proc.Completed:
        Path(argv[-1]).mkdir()
        raise error

    return run


def test_a_clone_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out is a source error, and leaves nothing half cloned."""
    monkeypatch.setattr(proc, "run", _failing(ProcessError("killed", code=None)))
    with pytest.raises(SourceError, match="did not end within 3 s"):
        clone("https://h.invalid/x", tmp_path / "clone", timeout=3)
    assert not (tmp_path / "clone").exists()


def test_a_machine_without_git(tmp_path: Path) -> None:
    """Without git it is the test bed that is wrong, and the message says what to install."""
    with pytest.raises(TestBedError, match="git is not installed") as caught:
        clone("https://h.invalid/x", tmp_path / "x", timeout=3, env={"PATH": str(tmp_path)})
    assert "apt-get install git" in caught.value.hint


def test_a_stream_that_is_none(tmp_path: Path) -> None:
    """A history that git cannot read is the test bed's fault: the samples are the project's own."""
    with pytest.raises(TestBedError, match="git could not build"):
        import_history(tmp_path / "x.git", b"nonsense\n", branch="main")


def test_a_repository_that_is_too_large_is_the_recipes_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git is stopped at the limit, whatever it is about to write; half a clone is not left."""
    monkeypatch.setattr("harness.recipes.git.LARGEST_FILE", 1 << 20)
    source = tmp_path / "source"
    make_origin(source)
    (source / "data").write_bytes(os.urandom(3 << 20))
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "data")
    with pytest.raises(InvalidRecipeError, match="larger than the limit of a clone"):
        clone(str(source), tmp_path / "clone", timeout=120)
    assert not (tmp_path / "clone").exists()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: Out of memory, realloc failed", InvalidRecipeError),
        ("remote: fatal: Out of memory, malloc failed", SourceError),
    ],
)
def test_a_git_that_wants_too_much_memory(said: str, kind: type[Exception]) -> None:
    """Ours has a limit; what the server lacks is the server's."""
    with pytest.raises(kind) as caught:
        explain("made cannot be cloned", f"error: x\n{said}\n")
    assert type(caught.value) is kind


def test_a_repository_with_too_much_to_list_is_the_recipes_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million refs or files are no recipe's, and their list does not fit into memory."""
    source = tmp_path / "source"
    make_origin(source)
    head = git(source, "rev-parse", "HEAD")
    for number in range(50):
        git(source, "update-ref", f"refs/heads/{number}-{'x' * 100}", head)
    monkeypatch.setattr("harness.recipes.git.MOST_LISTED", 5000)
    with pytest.raises(InvalidRecipeError, match="too large: `git for-each-ref` printed more"):
        clone(str(source), tmp_path / "clone", timeout=120)


def test_a_bomb_is_not_checked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few objects of git may be ten million files, and one of zeros any number of bytes."""
    source = tmp_path / "source"
    make_origin(source)
    tree = git(source, "rev-parse", "HEAD^{tree}")
    for _ in range(7):
        lines = "".join(f"040000 tree {tree}\t{name}\n" for name in "abcdefghij")
        made = proc.run(["git", "mktree"], timeout=60, cwd=source, env=WHO, stdin=lines.encode())
        tree = made.stdout.strip()
    bomb = git(source, "commit-tree", "-m", "bomb", tree)
    git(source, "update-ref", "refs/heads/bomb", bomb)
    monkeypatch.setattr("harness.recipes.checkout_size.MOST_BYTES", 1 << 20)
    (source / "zeros").write_bytes(bytes((1 << 20) + 1))
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "zeros")
    repo = clone(str(source), tmp_path / "clone", timeout=120)
    with pytest.raises(InvalidRecipeError, match="too large: `git ls-tree` printed more than"):
        repo.checkout(repo.resolve("bomb"))
    with pytest.raises(InvalidRecipeError, match=r"has \d files and \d+ bytes, .* 1048576"):
        repo.checkout(repo.resolve("main"))
    assert [path.name for path in repo.path.iterdir()] == [".git"]
