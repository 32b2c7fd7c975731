"""The gate for code that a recipe's repository ships: nothing of it runs unless a line says so."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import InternalError, UsageError
from harness.core.model import Origin, Stage
from harness.recipes.approval import FILE, Approvals, Gate, comparable, decide, written
from harness.recipes.cloning import clone
from harness.recipes.discovery import Discovery
from harness.recipes.git import import_history
from harness.recipes.repo import Repo
from harness.recipes.shipped import Shipped, ShippedEntry

ROOT = Path(__file__).resolve().parents[3]
URL = "https://git.example.org/recipes/gitea.git"
ELSEWHERE = "https://git.example.org/stranger/gitea.git"
ZEROS = "sha256:" + "0" * 64
SCRIPT = ("100755", "#!/bin/sh\n")
Tree = Mapping[str, str | tuple[str, str]]  # by path: the text, or the mode and the text


def make(where: Path, tree: Tree) -> Repo:
    """Return a clone of a repository whose head has those files."""
    stream = "commit refs/heads/main\ncommitter a <a@cc-ci.invalid> 1 +0000\ndata 1\nm\n"
    for path, given in tree.items():
        mode, text = ("100644", given) if isinstance(given, str) else given
        stream += f"M {mode} inline {path}\ndata {len(text.encode())}\n{text}\n"
    where.mkdir(exist_ok=True)
    import_history(where / "origin.git", stream.encode(), branch="main")
    return clone(str(where / "origin.git"), where / "clone", timeout=60)


def head(repo: Repo) -> Shipped:
    """Return what the head of a clone ships."""
    return Shipped.read(repo, repo.default_branch_commit())


def of(*contents: str, problems: tuple[str, ...] = ()) -> Shipped:
    """Return something shipped, made up, with a hash that depends on the contents."""
    entries = tuple(
        ShippedEntry(path=f"test_{n}.py", mode="100644", object_id="", size=1, content=text * 64)
        for n, text in enumerate(contents)
    )
    return Shipped(entries=entries, problems=problems)


ONE, OTHER = of("1"), of("2")


def ask(
    *lines: str,
    recipe: str = "gitea",
    source: str = URL,
    enrolled: str = URL,
    shipped: Shipped = ONE,
) -> Gate:
    """Return what is decided, with those lines in the file."""
    approvals = Approvals.parse("\n".join(lines), Path(FILE))
    return decide(
        approvals, recipe=recipe, source=source, enrolled_source=enrolled, shipped=shipped
    )


STRONG = f"gitea {URL} {ONE.digest}"


def test_nobody_is_approved_by_default(tmp_path: Path) -> None:
    """Without a file, or with an empty one, the answer is no; the line to add is told."""
    for approvals in (Approvals.load(tmp_path / FILE), Approvals.parse("# a\n\n", Path(FILE))):
        gate = decide(approvals, recipe="gitea", source=URL, enrolled_source=URL, shipped=ONE)
        assert not gate.open
        assert "nobody has approved the 1 file(s)" in gate.reason
        assert gate.line == STRONG


def test_a_line_opens_the_gate_for_just_that(tmp_path: Path) -> None:
    """Same recipe, same source, same hash; comments and blanks do not count."""
    (tmp_path / FILE).write_text(f"# who\n\n  {STRONG}  # looked at by us\n")
    approvals = Approvals.load(tmp_path / FILE)
    gate = decide(approvals, recipe="gitea", source=URL, enrolled_source="", shipped=ONE)
    assert gate == Gate(open=True, line=STRONG, digest=ONE.digest)


def test_what_ships_nothing_needs_no_decision() -> None:
    """There is nothing to let in, and nothing to tell."""
    assert ask("gitea", shipped=Shipped()) == Gate(open=False)


def test_changed_since_it_was_approved() -> None:
    """The hash that is approved and the one that is there are both told, and the new line."""
    gate = ask(f"gitea {URL} {ZEROS}", STRONG, shipped=OTHER)
    assert not gate.open
    assert gate.reason == (
        "it has changed since it was approved: sha256:000000000000 is approved (line 1 of"
        f" {FILE}), and this is {OTHER.digest[:19]}"
    )
    assert gate.line == f"gitea {URL} {OTHER.digest}"


def test_several_hashes_may_be_approved() -> None:
    """The release and the head may ship different tests, both looked at."""
    lines = (STRONG, f"gitea {URL} {OTHER.digest}")
    assert ask(*lines).open
    assert ask(*lines, shipped=OTHER).open


def test_the_same_code_from_another_source() -> None:
    """A stranger's copy of a recipe is not that recipe, whatever it ships today."""
    gate = ask(STRONG, source=ELSEWHERE)
    assert not gate.open
    assert "approved for another source: https://git.example.org/recipes/gitea" in gate.reason
    assert gate.line == f"gitea {ELSEWHERE} {ONE.digest}"


def test_a_renamed_recipe() -> None:
    """A line is for one recipe's name, since that is what the overlay and the reports go by."""
    gate = ask(STRONG, recipe="forge")
    assert not gate.open
    assert "nobody has approved" in gate.reason
    assert gate.line == f"forge {URL} {ONE.digest}"


def test_a_name_alone_is_weak() -> None:
    """It opens the gate for whatever is shipped, says so, and tells the strong line."""
    gate = ask("gitea")
    assert (gate.open, gate.weak) == (True, True)
    assert gate.line == STRONG
    assert ask("gitea", shipped=OTHER).open
    assert not ask("gitea", recipe="ghost").open


@pytest.mark.parametrize(
    ("source", "enrolled"), [(ELSEWHERE, URL), (URL, ""), (URL, ELSEWHERE), ("/srv/gitea", URL)]
)
def test_a_weak_line_is_for_the_enrolled_source_only(source: str, enrolled: str) -> None:
    """Else `--src` and a selector with a stranger's URL would run whatever lies there."""
    gate = ask("gitea", source=source, enrolled=enrolled)
    assert not gate.open
    assert "is weak, and counts only for the source that recipes.txt names" in gate.reason


def test_a_strong_line_goes_before_a_weak_one() -> None:
    """What was approved by its hash is not called weak; else the weak line still counts."""
    assert not ask("gitea", STRONG).weak
    assert ask("gitea", STRONG, shipped=OTHER).weak


@pytest.mark.parametrize("line", ["gitea", "# none", ""])
def test_what_can_never_be_approved_stays_out(line: str) -> None:
    """A tree with a way out of it is refused by any line, and no line to add is told."""
    bad = of("1", problems=("'tests/a' is a symlink that leaves the folder: '/etc'", "b"))
    gate = ask(line, f"gitea {URL} {bad.digest}", shipped=bad)
    assert not gate.open
    assert gate.line == ""
    assert gate.reason == (
        "it can never be approved: 'tests/a' is a symlink that leaves the folder: '/etc'"
        " (and 1 more)"
    )


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        ("Gitea", "invalid recipe name 'Gitea'", "RECIPE"),
        (f"../x {URL} {ZEROS}", "invalid recipe name", "RECIPE"),
        (f"gitea {ZEROS}", "the source is missing", "RECIPE SOURCE"),
        (f"gitea {URL}", "the hash is missing", "RECIPE' alone"),
        (f"gitea {URL} {ZEROS[7:]}", "is no hash", "RECIPE SOURCE"),
        (f"gitea {URL} {ZEROS[:-1]}", "is no hash", "the plan prints"),
        (f"gitea {URL} {ZEROS}0", "is no hash", "the plan prints"),
        (f"gitea {URL} sha256:{'A' * 64}", "0-9 and a-f", "the plan prints"),
        (f"gitea {URL} sha512:{'0' * 64}", "is no hash", "the plan prints"),
        (f"gitea {URL} {ZEROS} today", "'today' is one word too many", "begins with #"),
        (f"gitea ../gitea {ZEROS}", "'../gitea' is no source", "absolute path"),
        (f"gitea ext::sh {ZEROS}", "'ext::sh' is no source", "git URL"),
        (f"gitea https://[x/y {ZEROS}", "is no source", "git URL"),
        ("gitea weak", "'weak' is no source", "git URL"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, problem: str, hint: str) -> None:
    """A line that cannot be read stops the run, with its number and what to type instead."""
    (tmp_path / FILE).write_text(f"# one\n{STRONG}\n{line}\n")
    with pytest.raises(UsageError) as caught:
        Approvals.load(tmp_path / FILE)
    assert f"{tmp_path / FILE}, line 3: " in caught.value.what
    assert problem in caught.value.what
    assert hint in caught.value.hint


def test_a_password_in_a_bad_line_is_not_shown() -> None:
    """Neither in the message nor in the line that is quoted, even where it cannot be parsed."""
    for url in ("https://me:hidden-word@h/x", "https://hidden-word@[h/x"):
        with pytest.raises(UsageError) as caught:
            Approvals.parse(f"gitea {url} sha256:0", Path(FILE))
        assert "hidden-word" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A list that is there and cannot be read must not pass for an empty one."""
    (tmp_path / FILE).write_bytes(b"gitea \xff\n")
    with pytest.raises(UsageError, match="cannot be read"):
        Approvals.load(tmp_path / FILE)
    with pytest.raises(UsageError, match="cannot be read"):
        Approvals.load(tmp_path)


SOURCES = [
    (URL, URL),
    (f" {URL}/ ", f"{URL}/"),
    ("https://me:word@git.example.org/x", "https://git.example.org/x"),
    ("https://token@git.example.org/x.git", "https://git.example.org/x.git"),
    ("https://a@b@git.example.org:8443/x", "https://git.example.org:8443/x"),
    ("ssh://git:word@git.example.org/x", "ssh://git@git.example.org/x"),
    ("git@git.example.org:x/y.git", "git@git.example.org:x/y.git"),
    ("sample:custom-html", "sample:custom-html"),
    ("/srv/my recipes/100%/x", "/srv/my%20recipes/100%25/x"),
    ("/srv/x/../y/", "/srv/y"),
    ("/srv/a\u2028gitea", "/srv/a%E2%80%A8gitea"),
]


@pytest.mark.parametrize(("source", "shown"), SOURCES)
def test_the_line_that_is_told_opens_the_gate(source: str, shown: str) -> None:
    """One line, without a login; added as it is, it opens the gate for that source."""
    closed = ask(source=source)
    assert closed.line == f"gitea {shown} {ONE.digest}"
    assert "word" not in closed.line
    assert "token" not in closed.line
    assert ask(closed.line, source=source) == replace(closed, open=True, reason="")


def test_what_makes_no_difference_in_a_source() -> None:
    """A login, a slash or `.git` at the end of a URL, blanks around it; and nothing else does."""
    same = (URL, URL.removesuffix(".git"), f"{URL}/", f"https://me:word@{URL[8:]}", f" {URL} ")
    for source in same:
        assert ask(f"gitea {source.strip()} {ONE.digest}", source=URL).open
        assert ask(STRONG, source=source).open
        assert ask("gitea", source=URL, enrolled=source).open
    others = (
        URL.replace("https", "http"),
        URL.replace("gitea", "Gitea"),
        URL.replace("git.example.org", "git.example.org.evil.example"),
        URL.replace("git.example.org", "git.example.org@evil.example"),
        URL.replace(".git", ".git.git"),
        URL.replace(".git", "/.git/x"),
        f"{URL}?x",
        "git@git.example.org:recipes/gitea.git",
    )
    for source in others:
        assert not ask(STRONG, source=source).open, source
        assert not ask("gitea", source=source).open, source


def test_a_path_is_what_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path and a link are the repository that they lead to; a link can be changed."""
    (tmp_path / "one.git").mkdir()
    (tmp_path / "link").symlink_to("one.git")
    monkeypatch.chdir(tmp_path)
    real = (tmp_path / "one.git").resolve()
    assert written("./one.git") == written("link") == written(str(real)) == str(real)
    assert comparable(str(real)) == str(real)
    line = f"gitea {real} {ONE.digest}"
    assert ask(line, source="link").open
    assert not ask(line, source=str(real).removesuffix(".git")).open


SENTINEL = "import pathlib\npathlib.Path({!r}).touch()\n"


def evil(sentinel: Path) -> Tree:
    """Return a recipe in which every file that Python or a shell might run leaves a trace."""
    code = SENTINEL.format(str(sentinel))
    python = (
        "conftest.py", "sitecustomize.py", "pytest.py", "docker.py", "ops.py", "evil.pth",
        "tests/conftest.py", "tests/ops.py", "tests/test_install.py", "tests/test_pages.py",
        "tests/recipe_meta.py", "tests/sitecustomize.py", "tests/__init__.py", "tests/plugin.py",
    )  # fmt: skip
    return {
        **dict.fromkeys(python, code),
        "tests/evil.pth": f"import pathlib; pathlib.Path({str(sentinel)!r}).touch()\n",
        "tests/install_steps.sh": ("100755", f"#!/bin/sh\ntouch {sentinel}\n"),
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p tests.plugin"\n',
        "tests/pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p plugin"\n',
        "tests/pytest.ini": "[pytest]\naddopts = -p plugin\n",
    }


def files(where: Path) -> set[str]:
    """Return the paths of all files below a directory."""
    return {str(path.relative_to(where)) for path in where.rglob("*") if not path.is_dir()}


def modules_of(where: Path) -> set[str]:
    """Return the modules that were imported from below a directory."""
    return {
        name
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").startswith(str(where))
    }


def test_before_approval_nothing_reaches_this_disk_or_python(tmp_path: Path) -> None:
    """Reading, hashing, deciding and discovery run nothing, import nothing and write nothing."""
    repo = make(tmp_path, evil(tmp_path / "ran"))
    before, path = files(tmp_path), list(sys.path)
    shipped = head(repo)
    approvals = Approvals.load(tmp_path / FILE)
    gate = decide(approvals, recipe="gitea", source=URL, enrolled_source=URL, shipped=shipped)
    laid = gate.admit(shipped, repo, tmp_path / "approved")
    found = Discovery.of(
        "gitea", tests=tmp_path, overlays=tmp_path, shipped=laid, denied=shipped.paths
    )
    assert laid is None
    assert [found.resolve_op(stage) for stage in Stage] == [()] * len(Stage)
    assert (found.seed_hooks(), found.install_steps(), found.meta_file()) == ((), (), None)
    assert found.denied_in(Stage.CUSTOM) == ("test_pages.py",)
    assert files(tmp_path) == before
    assert sys.path == path
    assert modules_of(tmp_path) == set()
    assert not (tmp_path / "ran").exists()


def test_after_approval_the_folder_is_there_and_nothing_else(tmp_path: Path) -> None:
    """What was approved is laid out to be run later, and of the repository's root nothing is."""
    repo = make(tmp_path, evil(tmp_path / "ran"))
    shipped = head(repo)
    line = ask(shipped=shipped).line
    gate = ask(line, shipped=shipped)
    laid = gate.admit(shipped, repo, tmp_path / "approved")
    assert laid is not None
    assert files(laid.path) == {
        name.removeprefix("tests/") for name in evil(Path()) if name.startswith("tests/")
    }
    found = Discovery.of("gitea", tests=tmp_path, overlays=tmp_path, shipped=laid)
    place = tmp_path / "approved"
    assert found.resolve_op(Stage.INSTALL) == ((place / "test_install.py", Origin.REPO_LOCAL),)
    assert found.install_steps() == (place / "install_steps.sh",)
    assert found.meta_file() is None
    assert modules_of(tmp_path) == set()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"tests/test_install.py": "assert False\n"},
        {"tests/conftest.py": "import os\n"},
        {"tests/data": "x"},
        {"tests/install_steps.sh": "#!/bin/sh\n"},
        {"tests/install_steps.sh": ("120000", "test_install.py")},
    ],
    ids=["edited", "a conftest more", "data more", "not executable", "a symlink"],
)
def test_any_change_closes_the_gate(tmp_path: Path, change: Tree) -> None:
    """Once a commit changes what is shipped, it has to be looked at and approved anew."""
    tree: Tree = {"tests/test_install.py": "assert True\n", "tests/install_steps.sh": SCRIPT}
    first = head(make(tmp_path / "first", tree))
    line = ask(shipped=first).line
    assert ask(line, shipped=first).open
    second = make(tmp_path / "second", {**tree, **change})
    gate = ask(line, shipped=head(second))
    assert "changed since it was approved" in gate.reason
    assert gate.admit(head(second), second, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_a_renamed_file_closes_the_gate(tmp_path: Path) -> None:
    """`helpers.py` may do nothing until it is called `conftest.py`."""
    first = head(make(tmp_path / "first", {"tests/helpers.py": "x\n"}))
    second = head(make(tmp_path / "second", {"tests/conftest.py": "x\n"}))
    assert not ask(ask(shipped=first).line, shipped=second).open


def test_a_release_without_changes_stays_approved(tmp_path: Path) -> None:
    """The rest of the repository may change: only what is shipped counts."""
    first = head(make(tmp_path / "first", {"tests/test_a.py": "x\n", "compose.yml": "1\n"}))
    second = head(make(tmp_path / "second", {"tests/test_a.py": "x\n", "compose.yml": "2\n"}))
    assert ask(ask(shipped=first).line, shipped=second).open


@pytest.mark.parametrize("target", ["/etc/passwd", "../compose.yml", "a/../../compose.yml"])
def test_a_symlink_out_of_the_folder_stays_out(tmp_path: Path, target: str) -> None:
    """No line, strong or weak, lets it in, and nothing is laid out."""
    repo = make(tmp_path, {"tests/test_a.py": "x\n", "tests/b": ("120000", target)})
    shipped = head(repo)
    gate = ask("gitea", f"gitea {URL} {shipped.digest}", shipped=shipped)
    assert "'tests/b' is a symlink" in gate.reason
    assert gate.admit(shipped, repo, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_a_gate_is_open_for_what_was_decided_about(tmp_path: Path) -> None:
    """Whoever mixes two commits up is told so, and nothing is laid out."""
    repo = make(tmp_path, {"compose.yml": "x\n"})
    with pytest.raises(InternalError, match="was opened for"):
        ask(STRONG).admit(OTHER, repo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_gate_is_the_only_way_in() -> None:
    """No other module of the harness lays repo-local code out, or makes what discovery takes."""
    users = {
        str(path.relative_to(ROOT / "harness"))
        for path in (ROOT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        in ("lay_out", "LaidOut")
    }
    assert users == {"recipes/approval.py", "recipes/shipped.py"}


def test_the_list_of_this_project_can_be_read() -> None:
    """It comes with nobody approved."""
    assert (ROOT / "tests" / FILE).is_file()
    assert Approvals.load(ROOT / "tests" / FILE).entries == ()
