"""Clones that lack releases are told apart from recipes without one, with real git on this disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import SourceError
from harness.core.model import WarningCode
from harness.recipes.cloning import clone
from harness.recipes.completeness import require_releases
from harness.recipes.repo import Repo
from tests.unit.recipes.test_repo import commit, git

TAG = "1.0.0+1.0"


@pytest.fixture(name="origin")
def origin_fixture(tmp_path: Path) -> Path:
    """A recipe with one release and a head after it."""
    path = tmp_path / "origin"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, "first", compose="one")
    git(path, "tag", "--annotate", "--message", "r", TAG)
    commit(path, "second", compose="two")
    return path


def copy_of(origin: Path, *options: str) -> Path:
    """Return a clone of it, as a user has one."""
    copy = origin.parent / f"copy{'-'.join(options)}".replace("/", "")
    git(origin.parent, "clone", "--quiet", *options, f"file://{origin}", str(copy))
    return copy


def cloned(path: Path) -> Repo:
    """Return the run's own clone of a source."""
    return clone(str(path), path.parent / f"{path.name}.clone", timeout=20)


def asked(repo: Repo) -> str:
    """Return the code of the warning about its default branch, or empty."""
    head = repo.default_branch_commit()
    found = require_releases(repo, head, repo.candidates(head), timeout=20)
    return found.code if found else ""


def test_a_whole_clone_leaves_nothing_open(origin: Path) -> None:
    """It has the release."""
    repo = cloned(copy_of(origin))
    assert (repo.shallow, repo.upstream) == (False, f"file://{origin}")
    assert asked(repo) == ""


def test_a_shallow_clone_of_a_recipe_with_releases_is_refused(origin: Path) -> None:
    """As a checkout action of a CI makes it: it looks like a recipe without a release."""
    repo = cloned(copy_of(origin, "--depth=1"))
    assert repo.shallow
    with pytest.raises(SourceError, match="is a shallow clone") as caught:
        asked(repo)
    assert TAG in caught.value.cause
    assert "fetch --unshallow --tags" in caught.value.hint


def test_a_clone_without_tags_is_refused(origin: Path) -> None:
    """Its history is whole, and nothing in it says which commit is a release."""
    with pytest.raises(SourceError, match=r"lacks 1 release tag\(s\).*1\.0\.0\+1\.0") as caught:
        asked(cloned(copy_of(origin, "--no-tags")))
    assert "fetch --tags" in caught.value.hint


def test_a_recipe_without_a_release_is_fine_however_it_was_cloned(origin: Path) -> None:
    """What it was cloned from has none either."""
    git(origin, "tag", "--delete", TAG)
    git(origin, "tag", "latest")
    assert asked(cloned(copy_of(origin))) == ""
    assert asked(cloned(copy_of(origin, "--depth=1"))) == ""


def test_a_release_on_another_branch_is_not_missed(origin: Path) -> None:
    """The head does not descend from it."""
    git(origin, "tag", "--delete", TAG)
    git(origin, "switch", "--quiet", "--orphan", "other")
    commit(origin, "other", compose="other")
    git(origin, "tag", "--annotate", "--message", "r", TAG)
    git(origin, "switch", "--quiet", "main")
    assert asked(cloned(copy_of(origin, "--no-tags"))) == ""


def gone(path: Path) -> None:
    """Let the origin be out of reach."""
    git(path, "remote", "set-url", "origin", "file:///nonexistent")


def removed(path: Path) -> None:
    """Let there be no origin."""
    git(path, "remote", "remove", "origin")


@pytest.mark.parametrize("change", [gone, removed])
def test_an_origin_that_cannot_be_asked_leaves_the_question_open(
    origin: Path, change: Callable[[Path], None]
) -> None:
    """A cut-off history is refused then; a whole one without tags is said."""
    shallow = copy_of(origin, "--depth=1")
    change(shallow)
    with pytest.raises(SourceError, match="is a shallow clone") as caught:
        asked(cloned(shallow))
    assert "cannot be asked" in caught.value.cause
    whole = copy_of(origin, "--no-tags")
    change(whole)
    assert asked(cloned(whole)) == WarningCode.CLONE_INCOMPLETE


def test_a_bare_repository_is_an_origin_itself(origin: Path) -> None:
    """It has what it has; but one that was cloned from elsewhere may lack its tags."""
    bare = copy_of(origin, "--bare", "--no-tags")
    with pytest.raises(SourceError, match="lacks 1 release tag"):
        asked(cloned(bare))
    git(bare, "remote", "remove", "origin")
    (bare.parent / f"{bare.name}.clone").rename(bare.parent / "earlier.clone")
    assert asked(cloned(bare)) == ""


def test_a_newer_release_that_a_clone_lacks_is_told(origin: Path) -> None:
    """The upgrade would be tested from an older one, and nothing would say so."""
    git(origin, "tag", "--annotate", "--message", "r", "1.1.0+1.1")
    commit(origin, "third", compose="three")
    copy = copy_of(origin)
    git(copy, "tag", "--delete", "1.1.0+1.1")
    repo = cloned(copy)
    assert asked(repo) == WarningCode.CLONE_INCOMPLETE
    git(origin, "tag", "--delete", "1.1.0+1.1")
    assert asked(repo) == ""


def test_a_partial_clone_says_how_to_complete_it(origin: Path) -> None:
    """Git hands out nothing of one: its files lie elsewhere."""
    git(origin, "config", "uploadpack.allowFilter", "true")
    partial = copy_of(origin, "--filter=blob:none", "--no-checkout")
    with pytest.raises(SourceError, match="cannot be cloned") as caught:
        cloned(partial)
    assert "partial clone" in caught.value.cause
    assert "--refetch" in caught.value.hint


def test_a_ref_that_cannot_be_read_is_refused(origin: Path) -> None:
    """A clone would leave it out without a word, and the upgrade with it."""
    (origin / ".git" / "refs" / "tags" / TAG).write_text("garbage\n")
    with pytest.raises(SourceError, match="refs that git cannot read") as caught:
        cloned(origin)
    assert TAG in caught.value.detail


def test_a_tag_whose_object_is_lost_is_refused(origin: Path) -> None:
    """The file of the ref is well, and what it names is not there."""
    (origin / ".git" / "refs" / "tags" / TAG).write_text("1" * 40 + "\n")
    with pytest.raises(SourceError):
        cloned(origin)


def test_a_tag_that_a_ci_left_lightweight_is_what_its_origin_has(origin: Path) -> None:
    """actions/checkout, issue 882: it fetches the commit of a pushed tag over the tag."""
    light = "1.1.0+1.0"
    git(origin, "tag", light)
    copy = copy_of(origin)
    git(copy, "update-ref", f"refs/tags/{TAG}", git(copy, "rev-parse", f"{TAG}^{{commit}}"))
    assert git(copy, "cat-file", "-t", TAG) == "commit"
    assert cloned(copy).lightweight_tags() == (light,)
    origin.rename(origin.parent / "gone")
    again = clone(str(copy), copy.parent / "again", timeout=20)
    assert again.lightweight_tags() == (TAG, light)


def test_every_tag_that_is_no_base_has_its_reason(origin: Path) -> None:
    """The message of `--version` gives it."""
    git(origin, "tag", "light")
    git(origin, "tag", "v1", "HEAD^")
    git(origin, "tag", "--annotate", "--message", "v", "v2", "HEAD^")
    git(origin, "switch", "--quiet", "--create", "side", "HEAD^")
    commit(origin, "side", compose="side")
    git(origin, "tag", "--annotate", "--message", "r", "2.0.0+1")
    git(origin, "switch", "--quiet", "main")
    repo = cloned(origin)
    head = repo.default_branch_commit()
    found = repo.candidates(head)
    assert [one.tag for one in found.older] == [TAG]
    assert [(one.tag, one.annotated) for one in found.others] == [("v2", True)]
    assert found.refused == {
        "light": "it is the head itself",
        "v1": "it is neither a release nor an annotated tag (git tag -a)",
        "2.0.0+1": "the head does not descend from it",
    }
    assert repo.tags_between(found.older[0].commit, head) == {"light"}
