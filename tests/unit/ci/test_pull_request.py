"""A run's pull request: pinned to what the forge said, left to git where it said nothing."""

from pathlib import Path

import pytest

from harness.ci.forge.address import Address
from harness.ci.forge.base import Forge, PullRequest
from harness.ci.forge.dialects import open_forge
from harness.ci.forge.token import Token
from harness.ci.pull_request import Change, ask, describe, number
from harness.core.errors import ForgeError, SourceError, UsageError
from harness.core.settings import Settings
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.repo import Repo
from tests.unit.fake_forge import FakeForge

URL = "https://git.example.org/coop/made/pulls/7"
WHO = "a <a@cc-ci.invalid> 1700000000 +0000"


def commit(ref: str, mark: int, parent: int = 0) -> str:
    """Return a commit as `git fast-import` reads it."""
    origin = f"from :{parent}\n" if parent else ""
    return f"commit {ref}\nmark :{mark}\ncommitter {WHO}\ndata 1\n{mark}\n{origin}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A clone of a repository with a pull request of two commits."""
    stream = [
        commit("refs/heads/main", 1),
        commit("refs/pull/7/head", 2, 1),
        commit("refs/pull/7/head", 3, 2),
    ]
    import_history(tmp_path / "origin.git", "".join(stream).encode(), branch="main")
    return clone(str(tmp_path / "origin.git"), tmp_path / "clone", timeout=60)


def at(head: str) -> Change:
    """Return the pull request, pinned to that commit."""
    return Change(
        number="7",
        pinned=PullRequest(
            number=7, head=head, base="b" * 40, base_ref="main", head_repository="x/y", fork=True
        ),
    )


def entry(source: str = "https://git.example.org/coop/made.git") -> Entry:
    """Return the recipe."""
    return Entry(name="made", source=source)


def asked(wire: FakeForge, settings: Settings, recipe: Entry) -> tuple[Change | None, list[str]]:
    """Ask a forge behind no network; return what came, and what was said."""
    said: list[str] = []

    def forge(where: Address, token: Token | None) -> Forge:
        return open_forge(where, token, say=said.append, session=wire.session())

    return ask(recipe, settings, say=said.append, forge=forge), said


def test_the_pinned_commit_is_tested(repo: Repo) -> None:
    """And the plan says what it is, and that it is a fork's."""
    head = repo.resolve("pull/7")
    assert at(head).resolve(repo) == head
    assert at(head).notes == (
        f"pull request 7 from the fork x/y into main: pinned to {head[:12]}, base bbbbbbbbbbbb",
    )


def test_a_head_that_moves_meanwhile_is_not_tested(repo: Repo) -> None:
    """What was looked at, and will get the status, is what was pinned."""
    head = repo.resolve("pull/7")
    before = repo.resolve(repo._git.local("rev-parse", f"{head}^", cwd=repo.path).strip())  # noqa: SLF001  its clone
    assert at(before).resolve(repo) == before


def test_a_commit_that_was_pushed_over_is_refused(repo: Repo) -> None:
    """Something else must not be tested in its place."""
    with pytest.raises(SourceError, match="cannot be fetched"):
        at("f" * 40).resolve(repo)


def test_without_an_api_git_resolves_the_number(repo: Repo) -> None:
    """As ever: a path, a forge that nothing is known of, no network."""
    change, _ = asked(FakeForge(), Settings(pr="7"), entry("/some/path"))
    assert change == Change(number="7")
    assert change.notes == ()
    assert change.resolve(repo) == repo.resolve("pull/7")


def test_no_pull_request_asks_nobody() -> None:
    """Most runs are about none."""
    assert asked(FakeForge(), Settings(), entry()) == (None, [])


def test_an_address_names_the_repository() -> None:
    """That one is cloned, whatever recipes.txt says of the recipe."""
    wire = FakeForge()
    wire.answer({"number": 7, "head": {"sha": "a" * 40}, "base": {"sha": "b" * 40}})
    change, _ = asked(wire, Settings(pr=URL), entry("https://mirror.example.org/x/made"))
    assert change is not None
    assert change.source == "https://git.example.org/coop/made.git"
    assert change.pinned is not None
    assert change.pinned.head == "a" * 40
    assert wire.lines == ["GET https://git.example.org/api/v1/repos/coop/made/pulls/7"]


def test_another_recipes_address_is_refused() -> None:
    """A list of recipes with one address would test one recipe under all their names."""
    wire = FakeForge()
    with pytest.raises(UsageError, match="not one of the recipe other"):
        asked(wire, Settings(pr=URL), Entry(name="other", source="sample:other"))
    assert wire.sent == []


def test_a_forge_that_says_no_leaves_it_to_git() -> None:
    """A private repository may be open to git's key and closed to the API; the plan says so."""
    wire = FakeForge()
    wire.answer({"message": "not found"}, 404)
    change, said = asked(wire, Settings(pr=URL), entry())
    assert change is not None
    assert (change.number, change.pinned) == ("7", None)
    assert "404" in change.notes[0]
    assert "asking git" in said[-1]


@pytest.mark.parametrize(("text", "meant"), [("7", "7"), ("#7", "7"), ("!7", "7"), (URL, "7")])
def test_the_number_of_either(text: str, meant: str) -> None:
    """It names the ref in the plan."""
    assert number(text) == meant


def test_describe_never_guesses(tmp_path: Path) -> None:
    """A CI pins by it, so a forge that is not known, or says no, is an error."""
    (tmp_path / "recipes.txt").write_text("made https://git.example.org/coop/made.git\n")
    with pytest.raises(UsageError, match="no forge to ask"):
        describe(
            Settings(selectors=("made",), pr="7"),
            recipes=tmp_path / "recipes.txt", say=lambda _: None,
        )  # fmt: skip
    assert ForgeError.exit_code == 6
