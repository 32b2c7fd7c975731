"""What a recipe's repository ships: read from git's objects, hashed, and laid out when approved."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import InternalError, SourceError, TestBedError
from harness.recipes import shipped as shipped_module
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.repo import Repo
from harness.recipes.shipped import Shipped, ShippedEntry, lay_out

FILE, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"
COMMIT = "1234567890" * 4
Tree = Mapping[str, bytes | tuple[str, bytes]]  # by path: the content, or the mode and the content

SOME: Tree = {
    "tests/conftest.py": b"import os\n",
    "tests/data/menu.bin": b"caf\xc3\xa9\r\n\xff\x00",
    "tests/install_steps.sh": (EXECUTABLE, b"#!/bin/sh\n"),
    "tests/link.py": (SYMLINK, b"conftest.py"),
}
# Made with printf and sha256sum from what the docstring of Shipped.digest says.
DIGEST_OF_SOME = "sha256:4355f472ebaa9a9afbd9e59b8b39695afa693c9a82c31ac678498c4143342981"


def history(trees: Mapping[str, Tree]) -> bytes:
    """Return a stream for `git fast-import` with each tree at the head of a branch of that name."""
    stream = b""
    for branch, tree in trees.items():
        start = f"commit refs/heads/{branch}\ncommitter a <a@cc-ci.invalid> 1 +0000\ndata 1\nm\n"
        stream += start.encode()
        for path, given in tree.items():
            mode, content = (FILE, given) if isinstance(given, bytes) else given
            name = f'"{path}"' if "\\" in path else path  # fast-import unquotes as C does
            if mode == SUBMODULE:
                stream += f"M {mode} {content.decode()} {name}\n".encode()
            else:
                stream += f"M {mode} inline {name}\ndata {len(content)}\n".encode()
                stream += content + b"\n"
    return stream


def make(where: Path, tree: Tree) -> Repo:
    """Return a clone of a repository whose head has those files."""
    import_history(where / "origin.git", history({"main": tree}), branch="main")
    return clone(str(where / "origin.git"), where / "clone", timeout=60)


def make_raw(where: Path, entries: list[tuple[bytes, bytes, bytes]]) -> Repo:
    """Return a clone whose `tests` has those (mode, name, blob), which git itself would refuse."""
    origin = where / "origin.git"
    import_history(origin, b"", branch="main")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@cc-ci.invalid"]

    def write(kind: str, content: bytes) -> bytes:
        argv = [*git, "hash-object", "-w", "--literally", "-t", kind, "--stdin"]
        made = proc.run(argv, timeout=20, cwd=origin, stdin=content)
        return bytes.fromhex(made.stdout.strip())

    def tree(of: list[tuple[bytes, bytes, bytes]]) -> bytes:
        return write("tree", b"".join(mode + b" " + name + b"\0" + one for mode, name, one in of))

    folder = tree([(mode, name, write("blob", content)) for mode, name, content in entries])
    top = tree([(b"40000", b"tests", folder)]).hex()
    argv = [*git, "commit-tree", "-m", "m", top]
    commit = proc.run(argv, timeout=20, cwd=origin).stdout.strip()
    argv = [*git, "update-ref", "refs/heads/main", commit]
    proc.run(argv, timeout=20, cwd=origin)
    return clone(str(origin), where / "clone", timeout=60)


def read(repo: Repo) -> Shipped:
    """Return what the head of a clone ships."""
    return Shipped.read(repo, repo.default_branch_commit())


def on_disk(where: Path) -> dict[str, bytes]:
    """Return every file below a directory, symlinks as their targets."""
    return {
        str(path.relative_to(where)): (
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        )
        for path in where.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A clone that no test changes, with a branch for each tree below; `main` has SOME."""
    where = tmp_path_factory.mktemp("shelf")
    import_history(where / "origin.git", history({"main": SOME, **TREES}), branch="main")
    return clone(str(where / "origin.git"), where / "clone", timeout=60)


def shipped(shelf: Repo, name: str) -> Shipped:
    """Return what the tree of that name ships."""
    return Shipped.read(shelf, shelf.resolve(branch(name)))


def branch(name: str) -> str:
    """Return a name of a tree as one of a branch."""
    return name.replace(" ", "-")


def test_the_hash_is_the_same_everywhere(shelf: Repo) -> None:
    """A fixed tree has a fixed hash: one that was approved on a machine counts on each."""
    found = read(shelf)
    assert found.digest == DIGEST_OF_SOME
    assert found.problems == ()
    assert found.paths == ("conftest.py", "data/menu.bin", "install_steps.sh", "link.py")
    assert [entry.mode for entry in found.entries] == [FILE, FILE, EXECUTABLE, SYMLINK]
    contents = [b"import os\n", b"caf\xc3\xa9\r\n\xff\x00", b"#!/bin/sh\n", b"conftest.py"]
    expected = [hashlib.sha256(content).hexdigest() for content in contents]
    assert [entry.content for entry in found.entries] == expected


def test_nothing_of_this_machine_has_a_say(tmp_path: Path) -> None:
    """Neither attributes nor configuration change what is hashed and laid out."""
    attributes = b"* text eol=crlf ident filter=lfs export-ignore working-tree-encoding=UTF-16\n"
    tree = {".gitattributes": attributes, "tests/test_x.py": b"# $Id$\nx = 1\n"}
    repo = make(tmp_path, {**tree, "tests/.gitattributes": attributes})
    config = repo.path / ".git/config"
    ran = tmp_path / "ran"
    config.write_text(
        f"{config.read_text()}[core]\nautocrlf = true\nattributesFile = {tmp_path}/more\n"
        f'[filter "lfs"]\nsmudge = touch {ran}; cat\nclean = touch {ran}; cat\n'
    )
    (tmp_path / "more").write_bytes(attributes)
    found = read(repo)
    assert found.entries[1].content == hashlib.sha256(b"# $Id$\nx = 1\n").hexdigest()
    laid = lay_out(found, repo, tmp_path / "out")
    assert on_disk(laid.path) == {
        ".gitattributes": attributes,
        "test_x.py": b"# $Id$\nx = 1\n",
    }
    assert not ran.exists()


def test_a_password_of_the_source_is_not_masked_in_code(tmp_path: Path) -> None:
    """What git says is masked; what is committed is read as it is, or the hash would differ."""
    repo = make(tmp_path, {"tests/hidden-word.py": b"hidden-word"})
    before = read(repo)
    git = replace(repo._git, secrets=("hidden-word",))  # noqa: SLF001  what a URL with one sets
    assert read(replace(repo, _git=git)) == before
    assert before.entries[0].content == hashlib.sha256(b"hidden-word").hexdigest()


def test_the_order_of_entries_does_not_count() -> None:
    """The hash is of a set of files, in an order of its own."""
    one, two = (
        ShippedEntry(path=p, mode=FILE, object_id="", size=0, content="0" * 64) for p in "ab"
    )
    assert Shipped(entries=(one, two)).digest == Shipped(entries=(two, one)).digest


CHANGES: dict[str, Tree] = {
    "an added file": {**SOME, "tests/more": b""},
    "a removed file": {key: SOME[key] for key in list(SOME)[1:]},
    "a changed file": {**SOME, "tests/conftest.py": b"import sys\n"},
    "contents swapped": {
        **SOME,
        "tests/conftest.py": b"#!/bin/sh\n",
        "tests/install_steps.sh": (EXECUTABLE, b"import os\n"),
    },
    "content moved": {**SOME, "tests/conftest.py": b"import ", "tests/data/menu.bin": b"os\n"},
    "a renamed file": {
        **{key: SOME[key] for key in list(SOME)[1:]},
        "tests/conftest2.py": b"import os\n",
    },
    "a file in another folder": {
        **{key: SOME[key] for key in list(SOME)[1:]},
        "tests/data/conftest.py": b"import os\n",
    },
    "no longer executable": {**SOME, "tests/install_steps.sh": b"#!/bin/sh\n"},
    "a file instead of a symlink": {**SOME, "tests/link.py": b"conftest.py"},
    "a symlink elsewhere": {**SOME, "tests/link.py": (SYMLINK, b"data/menu.bin")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_changes_the_hash(shelf: Repo, change: str) -> None:
    """Content, name, place, kind and executable bit of every file are covered."""
    changed = shipped(shelf, change).digest
    assert changed.startswith("sha256:")
    assert changed != DIGEST_OF_SOME


def test_what_lies_outside_the_folder_does_not_count(shelf: Repo) -> None:
    """The recipe itself changes with every release, and is not what an approval is about."""
    assert shipped(shelf, "outside").digest == DIGEST_OF_SOME


def test_a_name_cannot_pass_for_an_entry() -> None:
    """Two files are never hashed like one whose name spells the other out."""
    two = Shipped(
        entries=tuple(
            ShippedEntry(path=path, mode=FILE, object_id="", size=0, content=content * 64)
            for path, content in (("a", "1"), ("b", "2"))
        )
    )
    for between in ("\n", " ", "\\0", "\1"):
        path = f"a{between}{FILE} {'2' * 64} b"
        one = ShippedEntry(path=path, mode=FILE, object_id="", size=0, content="1" * 64)
        assert Shipped(entries=(one,)).digest != two.digest


OUTSIDE: Tree = {"compose.yml": b"x", "conftest.py": b"x", "tests2/test_x.py": b"x"}
NOTHING: dict[str, Tree] = {
    "no folder": {"compose.yml": b"x"},
    "a file of that name": {"tests": b"a file"},
    "a script of that name": {"tests": (EXECUTABLE, b"x")},
}
ELSEWHERE: dict[str, Tree] = {
    "the folder is a symlink": {"tests": (SYMLINK, b"elsewhere"), "elsewhere/test_x.py": b"x"},
    "the folder is an absolute symlink": {"tests": (SYMLINK, b"/etc")},
    "the folder is a submodule": {"tests": (SUBMODULE, COMMIT.encode())},
}


@pytest.mark.parametrize("name", NOTHING)
def test_no_folder_ships_nothing(shelf: Repo, name: str) -> None:
    """Without a folder of that name there is nothing to decide about."""
    found = shipped(shelf, name)
    assert not found.found
    assert found == Shipped()
    assert found.digest == ""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_folder_that_is_none(shelf: Repo, tmp_path: Path, name: str) -> None:
    """A folder that lies elsewhere is seen, and can never be approved."""
    found = shipped(shelf, name)
    assert found.found
    assert "not a folder" in found.problems[0]
    with pytest.raises(InternalError):
        lay_out(found, shelf, tmp_path / "out")


PROBLEMS: dict[str, tuple[Tree, str]] = {
    "an absolute symlink": ({"tests/a": (SYMLINK, b"/etc/passwd")}, "'/etc/passwd'"),
    "a symlink above": ({"tests/a": (SYMLINK, b"../compose.yml")}, "leaves the folder"),
    "a symlink to above": ({"tests/a": (SYMLINK, b"..")}, "leaves the folder"),
    "a symlink above from below": ({"tests/d/e/a": (SYMLINK, b"../../../x")}, "leaves the folder"),
    "a symlink that comes back": ({"tests/a": (SYMLINK, b"../tests/b")}, "leaves the folder"),
    "a symlink with a long way out": ({"tests/a": (SYMLINK, b"d/../../x")}, "leaves the folder"),
    "a symlink that leaves by another": (
        {"tests/d/e/up": (SYMLINK, b"../.."), "tests/d/e/out": (SYMLINK, b"up/../x")},
        "'..' after a name",
    ),
    "a symlink to nothing that can be shown": ({"tests/a": (SYMLINK, b"b\nc")}, "cannot be shown"),
    "a symlink that is too long": ({"tests/a": (SYMLINK, b"b/" * 600)}, "too long"),
    "an empty symlink": ({"tests/a": (SYMLINK, b"")}, "empty"),
    "a submodule": ({"tests/vendor": (SUBMODULE, COMMIT.encode())}, "is a submodule"),
    "a line feed in a name": ({r"tests/a\nb.py": b"x"}, r"'tests/a\nb.py' has characters"),
    "an escape in a name": ({r"tests/a\033[1mb.py": b"x"}, r"'tests/a\x1b[1mb.py' has characters"),
    "a name written backwards": ({"tests/a\u202eyp.b": b"x"}, r"'tests/a\u202eyp.b' has char"),
    "a name that is no UTF-8": ({r"tests/a\377.py": b"x"}, r"'tests/a\udcff.py' has characters"),
    "a name that is too long": ({f"tests/{'a' * 256}": b"x"}, "too long"),
    "a path that is too long": ({f"tests/{'abcdefg/' * 130}a": b"x"}, "too long"),
    "a compiled module": ({"tests/__pycache__/conftest.cpython-311.pyc": b"x"}, "compiled"),
    "something in a cache": ({"tests/__pycache__/x": b"x"}, "compiled"),
    "an extension module": ({"tests/helpers.abi3.so": b"x"}, "compiled"),
}
TREES = {
    branch(name): tree
    for name, tree in (
        *CHANGES.items(),
        *NOTHING.items(),
        *ELSEWHERE.items(),
        *((name, {"tests/test_install.py": b"x", **tree}) for name, (tree, _) in PROBLEMS.items()),
        ("outside", {**SOME, **OUTSIDE}),
    )
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_can_never_be_approved(shelf: Repo, tmp_path: Path, name: str) -> None:
    """Each has its reason, printable as it is, and nothing of it can be laid out."""
    reason = PROBLEMS[name][1]
    found = shipped(shelf, name)
    assert any(reason in problem for problem in found.problems), found.problems
    assert all(text.isprintable() for text in (*found.problems, *found.paths))
    with pytest.raises(InternalError, match="can never be approved"):
        lay_out(found, shelf, tmp_path / "out")
    assert not (tmp_path / "out").exists()


RAW: dict[str, tuple[list[tuple[bytes, bytes, bytes]], str]] = {
    "above": ([(b"100644", b"..", b"x")], "no folder of a repository can have"),
    "here": ([(b"100644", b".", b"x")], "no folder of a repository can have"),
    "another root": ([(b"100644", b"/etc/x", b"x")], "no folder of a repository can have"),
    "a way up": ([(b"100644", b"../x", b"x")], "no folder of a repository can have"),
    "git's own": ([(b"100644", b".GIT/config", b"x")], "no folder of a repository can have"),
    "twice": ([(b"100644", b"a", b"x"), (b"100644", b"a", b"y")], "is there twice"),
    "below a symlink": (
        [(b"120000", b"a", b"b"), (b"100644", b"a/x.py", b"x"), (b"100644", b"b", b"x")],
        "'tests/a/x.py' lies below what is not a folder",
    ),
    "below a file": ([(b"100644", b"a", b"x"), (b"100644", b"a/b/x.py", b"x")], "not a folder"),
}


@pytest.mark.parametrize("name", RAW)
def test_trees_that_git_would_not_make(tmp_path: Path, name: str) -> None:
    """Whoever serves a repository may serve any bytes as a tree; none leads out of the folder."""
    entries, reason = RAW[name]
    repo = make_raw(tmp_path, entries)
    found = read(repo)
    assert any(reason in problem for problem in found.problems), found
    with pytest.raises(InternalError):
        lay_out(found, repo, tmp_path / "out")


@pytest.mark.parametrize("target", [b"conftest.py", b"./d/x", b"d", b"nowhere", b".", b"d//x"])
def test_a_symlink_inside_is_fine(tmp_path: Path, target: bytes) -> None:
    """One that stays in the folder is laid out as a symlink, be it to nothing."""
    repo = make(
        tmp_path, {"tests/a": (SYMLINK, target), "tests/d/x": b"x", "tests/conftest.py": b""}
    )
    found = read(repo)
    assert found.problems == ()
    laid = lay_out(found, repo, tmp_path / "out")
    assert os.readlink(laid.path / "a") == target.decode()  # noqa: PTH115  a Path drops './'


def test_a_symlink_may_climb_within(tmp_path: Path) -> None:
    """From a folder below, up to the top of the folder and no farther."""
    tree: Tree = {"tests/d/e/a": (SYMLINK, b"../../conftest.py"), "tests/conftest.py": b"top"}
    repo = make(tmp_path, tree)
    laid = lay_out(read(repo), repo, tmp_path / "out")
    assert (laid.path / "d/e/a").read_bytes() == b"top"


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 3), ("MOST_BYTES", 20)])
def test_too_much_is_not_even_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Nobody reads that much before approving it; without its content it has no hash."""
    repo = make(tmp_path, SOME)
    assert read(repo).problems == ()
    monkeypatch.setattr(shipped_module, limit, value)
    monkeypatch.setattr(Repo, "blobs", None)
    found = read(repo)
    assert f"more than {value}" in found.problems[0]
    assert found.digest == ""
    assert len(found.paths) == 4
    with pytest.raises(InternalError):
        lay_out(found, repo, tmp_path / "out")


def test_what_is_no_commit(tmp_path: Path) -> None:
    """Only a commit of the clone can be read, and no option gets to git in its place."""
    repo = make(tmp_path, SOME)
    for bad in ("main", "--all", "", "f" * 40):
        with pytest.raises(SourceError):
            Shipped.read(repo, bad)


def test_what_was_approved_is_what_is_laid_out(tmp_path: Path) -> None:
    """Byte for byte, with its executable bits, and nothing of the rest of the repository."""
    root: Tree = {
        "conftest.py": b"x",
        "pyproject.toml": b"x",
        "sitecustomize.py": b"x",
        "evil.pth": b"import x",
        "compose.yml": b"x",
    }
    repo = make(tmp_path, {**SOME, **root})
    previous = os.umask(0o077)
    try:
        laid = lay_out(read(repo), repo, tmp_path / "out")
    finally:
        os.umask(previous)
    assert on_disk(laid.path) == {
        "conftest.py": b"import os\n",
        "data/menu.bin": b"caf\xc3\xa9\r\n\xff\x00",
        "install_steps.sh": b"#!/bin/sh\n",
        "link.py": b"conftest.py",
    }
    assert laid.digest == DIGEST_OF_SOME
    assert laid.path == tmp_path / "out"
    modes = {
        name: stat.S_IMODE((laid.path / name).stat().st_mode)
        for name in ("conftest.py", "install_steps.sh", ".")
    }
    assert modes == {"conftest.py": 0o644, "install_steps.sh": 0o755, ".": 0o700}


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    """The directory is made here, so that nothing can lie in it, above all no symlink."""
    repo = make(tmp_path, SOME)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        lay_out(read(repo), repo, tmp_path / "out")
    assert on_disk(tmp_path / "elsewhere") == {}


def test_a_place_inside_the_clone(tmp_path: Path) -> None:
    """Above it would lie a stranger's checkout, whose own `conftest.py` pytest would take."""
    repo = make(tmp_path, SOME)
    (tmp_path / "link").symlink_to(repo.path)
    for place in (repo.path / "approved", tmp_path / "link/approved"):
        with pytest.raises(InternalError, match="inside the clone"):
            lay_out(read(repo), repo, place)
    assert [path.name for path in repo.path.iterdir()] == [".git"]


def test_objects_that_changed_since(tmp_path: Path) -> None:
    """What is laid out is hashed again: an approval is for bytes, not for names of objects."""
    repo = make(tmp_path, SOME)
    found = read(repo)
    first, second, *others = found.entries
    swapped = (replace(first, object_id=second.object_id), second, *others)
    with pytest.raises(TestBedError, match=r"tests/conftest\.py .* is not what was hashed"):
        lay_out(replace(found, entries=swapped), repo, tmp_path / "out")
    missing = (replace(first, object_id=COMMIT), second, *others)
    with pytest.raises(TestBedError, match="did not hand out"):
        lay_out(replace(found, entries=missing), repo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["../escaped", "d/../../escaped", "/proc/escaped", "link.py/x"])
def test_nothing_is_written_outside(tmp_path: Path, path: str) -> None:
    """Even entries that no check has seen stay in the directory, or are not written at all."""
    repo = make(tmp_path, {**SOME, "tests/link.py": (SYMLINK, b"..")})
    found = read(repo)
    forged = Shipped(entries=(*found.entries, replace(found.entries[0], path=path)))
    before = on_disk(tmp_path)
    with pytest.raises((InternalError, OSError)):
        lay_out(forged, repo, tmp_path / "out")
    after = on_disk(tmp_path)
    assert {name for name in after if not name.startswith("out/")} == set(before)


def test_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    """No file of what is shipped is on this disk before approval, only git's own objects."""
    repo = make(tmp_path, SOME)
    before = on_disk(tmp_path)
    read(repo)
    assert on_disk(tmp_path) == before
    assert [path.name for path in repo.path.iterdir()] == [".git"]
