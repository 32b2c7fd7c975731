"""The harness knows which state of it judges."""

from pathlib import Path

from harness import __version__
from harness.core import proc
from harness.core.own_revision import own_revision


def test_a_clone_is_known_by_its_commit_and_a_changed_one_says_so(tmp_path: Path) -> None:
    """Whatever its tags are called: they may be moved."""
    who = ["-c", "user.name=cc-ci", "-c", "user.email=tests@cc-ci.invalid"]

    def git(*words: str) -> str:
        return proc.run(["git", *who, *words], timeout=30, cwd=tmp_path).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    git("tag", "--annotate", "--message", "x", "1.0")
    commit = git("rev-parse", "HEAD")[:12]
    assert own_revision(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    assert own_revision(tmp_path) == f"{commit}+U"


def test_what_is_no_clone_is_known_by_its_version(tmp_path: Path) -> None:
    """A directory within somebody's clone is not of that commit, and a broken one is of none."""
    assert own_revision(tmp_path) == __version__
    (tmp_path / ".git").write_text("nonsense")
    assert own_revision(tmp_path) == __version__
