"""Attempts by the `tests/` folder of a recipe's repository: code that nobody has approved."""

from functools import partial
from pathlib import Path

import pytest

from harness.core.errors import InternalError, InvalidRecipeError
from harness.recipes.approval import Approvals, Gate, decide
from harness.recipes.repo import Repo
from harness.recipes.shipped import Shipped, lay_out
from tests.hostile.table import attempt
from tests.hostile.with_git import ten_million
from tests.unit.recipes.test_shipped import (
    EXECUTABLE,
    SUBMODULE,
    SYMLINK,
    Tree,
    make,
    make_raw,
    read,
)

PROMISE = "code of a recipe's own is laid out only if that very code was approved"
NEVER = "what cannot be read before it is approved can never be approved"
SOURCE = "https://forge.invalid/coop/made.git"
TEST: Tree = {"tests/test_install.py": b"def test_it() -> None: ...\n"}


def asked(shipped: Shipped, *lines: str, recipe: str = "made", source: str = SOURCE) -> Gate:
    """Return what is decided about a folder, with these lines of approval."""
    approvals = Approvals.parse("\n".join(lines), Path("approved.txt"))
    return decide(approvals, recipe=recipe, source=source, enrolled_source="", shipped=shipped)


def _never(repo: Repo, place: Path) -> str:
    """Check that a folder is refused, also with every line that could approve it."""
    shipped = read(repo)
    assert shipped.found
    gate = asked(shipped, "made", f"made {SOURCE} {shipped.digest or 'sha256:' + '0' * 64}")
    assert not gate.open
    assert not gate.line
    assert gate.admit(shipped, repo, place / "out") is None
    with pytest.raises(InternalError):
        lay_out(shipped, repo, place / "out")
    assert not (place / "out").exists()
    return gate.reason.removeprefix("it can never be approved: ")


def _unreadable(tree: Tree, place: Path) -> str:
    return _never(make(place, {**TEST, **tree}), place)


for _name, _what, _tree in (
    ("test-that-is-a-link-out", "a test file is a link to a file of the host",
     {"tests/test_a.py": (SYMLINK, b"/etc/passwd")}),
    ("test-that-climbs-out", "a test file is a link to what lies above the folder",
     {"tests/a/test_a.py": (SYMLINK, b"../../compose.yml")}),
    ("test-that-climbs-through-a-link", "a link climbs out through another link",
     {"tests/a": (SYMLINK, b"."), "tests/test_a.py": (SYMLINK, b"a/../../x")}),
    ("tests-that-are-a-submodule", "tests lie in another repository",
     {"tests/sub": (SUBMODULE, b"1" * 40)}),
    ("tests-that-are-compiled", "a compiled file is taken in place of the one that was read",
     {"tests/__pycache__/test_install.cpython-311.pyc": b"\x00"}),
    ("tests-in-machine-code", "a module is machine code", {"tests/helper.so": b"\x7fELF"}),
    ("test-with-a-hidden-name", "a name turns the line around, or has a line break",
     {"tests/test_a\u202e.py": b"", "tests/b\\nc.py": b""}),
    ("tests-without-end", "the folder has 2001 files",
     {f"tests/data/{number}": b"x" for number in range(2001)}),
    ("tests-with-long-names", "a name is longer than a file system takes",
     {"tests/" + "a" * 300: b""}),
):  # fmt: skip
    attempt(promised=NEVER, name=_name, what=_what)(partial(_unreadable, _tree))


@attempt(promised=NEVER)
def tests_that_are_a_link(place: Path) -> str:
    """The folder itself is a link to another one."""
    return _never(make(place, {"else/test_a.py": b"", "tests": (SYMLINK, b"else")}), place)


def _raw(entries: list[tuple[bytes, bytes, bytes]], place: Path) -> str:
    return _never(make_raw(place, entries), place)


for _name, _what, _entries in (
    ("test-above-the-folder", "a name is '..'", [(b"100644", b"..", b"x")]),
    ("test-in-the-git-folder", "a name is '.git'", [(b"100644", b".git", b"x")]),
    ("test-that-is-there-twice", "a name is there twice, one of them a link out",
     [(b"120000", b"a", b"/etc"), (b"100644", b"a", b"x")]),
    ("test-with-a-path-for-a-name", "a name has a slash",
     [(b"100644", b"../../x", b"x")]),
    ("test-of-a-strange-kind", "a file is a device by its mode", [(b"20000", b"a", b"x")]),
):  # fmt: skip
    attempt(promised=NEVER, name=_name, what=_what)(partial(_raw, _entries))


@attempt(promised=NEVER, nightly=True)
def tests_of_ten_million_files(place: Path) -> str:
    """Ten objects of git are ten million test files."""
    repo = ten_million(place, "tests")
    with pytest.raises(InvalidRecipeError, match="too large: `git ls-tree` printed") as caught:
        read(repo)
    return str(caught.value).partition("\n")[0]


@attempt(promised=PROMISE)
def tests_that_nobody_approved(place: Path) -> str:
    """A conftest.py, a test and an install step are there, and something above and beside them."""
    repo = make(place, {
        **TEST, "tests/conftest.py": b"raise SystemExit\n", "conftest.py": b"raise SystemExit\n",
        "tests/install_steps.sh": (EXECUTABLE, b"exit 1\n"), "pyproject.toml": b"[tool.pytest]\n",
        "sitecustomize.py": b"raise SystemExit\n", "x.pth": b"import os\n",
    })  # fmt: skip
    shipped = read(repo)
    gate = asked(shipped)
    assert not gate.open
    assert gate.admit(shipped, repo, place / "out") is None
    assert not (place / "out").exists()
    assert [path.name for path in repo.path.iterdir()] == [".git"]
    return gate.reason


@attempt(promised=PROMISE)
def tests_changed_after_approval(place: Path) -> str:
    """One byte, a name, a mode, a further file, the recipe's name or its source is another one."""
    (place / "old").mkdir()
    old = read(make(place / "old", TEST))
    line = f"made {SOURCE} {old.digest}"
    assert asked(old, line).open
    content = b"def test_it() -> None: ...\n"
    trees: tuple[Tree, ...] = (
        {"tests/test_install.py": content + b"\n"}, {"tests/test_upgrade.py": content},
        {"tests/test_install.py": (EXECUTABLE, content)}, {**TEST, "tests/conftest.py": b""},
        {"tests/test_install.py": (SYMLINK, b"x")},
    )  # fmt: skip
    for number, tree in enumerate(trees):
        (place / str(number)).mkdir()
        assert not asked(read(make(place / str(number), tree)), line).open, tree
    assert not asked(old, line, recipe="other").open
    for source in ("https://forge.invalid/coop/made2", "http://forge.invalid/coop/made.git",
                   "https://forge.invalid.evil.example/coop/made.git",
                   "https://forge.invalid@evil.example/coop/made.git"):  # fmt: skip
        assert not asked(old, line, source=source).open, source
    assert not asked(old, "made").open, "a weak line counts for the enrolled source alone"
    return "closed again each time"


@attempt(promised=PROMISE)
def tests_swapped_after_the_decision(place: Path) -> str:
    """What is laid out is not what the gate was opened for."""
    (place / "a").mkdir()
    (place / "b").mkdir()
    good, evil = make(place / "a", TEST), make(place / "b", {"tests/test_install.py": b"evil"})
    gate = asked(read(good), f"made {SOURCE} {read(good).digest}")
    assert gate.open
    with pytest.raises(InternalError, match="was opened for"):
        gate.admit(read(evil), evil, place / "out")
    assert not (place / "out").exists()
    return "it is not laid out"
