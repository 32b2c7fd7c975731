"""Pull requests over real HTTP: three forges on loopback, and the programs as a CI calls them."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ci.pull_request import ask
from harness.core import proc
from harness.core.model import Outcome
from harness.core.proc import Completed
from harness.core.settings import Settings
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone
from harness.report.results import Revision, RunResult
from harness.verdict.decide import Verdict
from tests.integration.own_forge import TOKEN, OwnForge, serve
from tests.integration.support import RecipeRepo, recipe_files

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("v1", "v3", "v4")  # Gitea and Forgejo, GitHub, GitLab: by the API's path
REF = {"v1": "pull", "v3": "pull", "v4": "merge-requests"}


@pytest.fixture
def origin(tmp_path: Path) -> RecipeRepo:
    """A recipe with a pull request of a fork, whose head is on no branch."""
    made = RecipeRepo.make(tmp_path / "made")
    made.commit(recipe_files("1.0.0+1"), tag="1.0.0+1")
    base = made.git("rev-parse", "HEAD").strip()
    made.commit(recipe_files("1.0.0+2"))
    for kind in set(REF.values()):
        made.git("update-ref", f"refs/{kind}/7/head", "HEAD")
    made.git("reset", "--quiet", "--hard", base)
    made.git("update-server-info")
    return made


@pytest.fixture
def forge(origin: RecipeRepo) -> Iterator[OwnForge]:
    """The forge that it lies on."""
    head = origin.git("rev-parse", "refs/pull/7/head").strip()
    base = origin.git("rev-parse", "HEAD").strip()
    with serve(OwnForge(git=origin.path / ".git", head=head, base=base)) as served:
        yield served


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """The file with the token."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def written(directory: Path, head: str, outcome: Outcome) -> Path:
    """Write the directory of a run."""
    directory.mkdir(exist_ok=True)
    RunResult(
        run="r", recipe="made", source="x", platform="swarm", started="", seconds=9.0,
        repeat="nox -s e2e -- made", head=Revision(commit=head, ref="pull/7"),
        verdict=Verdict(outcome=outcome, exit_code=0 if outcome is Outcome.PASSED else 1),
    ).write(directory)  # fmt: skip
    return directory


def called(*words: str | Path, program: str = "harness") -> Completed:
    """Call a program of the project, with nothing of this machine's settings."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "NO_COLOR": "1"}
    done = proc.run(
        [sys.executable, "-m", program, *map(str, words)],
        timeout=120, cwd=ROOT, env=environ, check=False,
    )  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pull_request_is_pinned_and_fetched(
    forge: OwnForge, token: Path, tmp_path: Path, version: str
) -> None:
    """By its address alone: forge, repository, number, commit, and the clone by real git."""
    settings = Settings(pr=forge.url(version), token_file=token)
    change = ask(Entry(name="made", source="sample:made"), settings, say=print)
    assert change is not None
    assert change.pinned is not None
    assert (change.pinned.head, change.pinned.base) == (forge.head, forge.base)
    assert change.pinned.fork
    repo = clone(change.source, tmp_path / "clone", timeout=60)
    assert change.resolve(repo) == forge.head
    repo.checkout(forge.head)
    assert "1.0.0+2" in (tmp_path / "clone" / "compose.yml").read_text()


def test_a_head_that_moves_after_it_was_asked_for_is_not_tested(
    forge: OwnForge, origin: RecipeRepo, token: Path, tmp_path: Path
) -> None:
    """The pinned commit is, and gets the status; the comment names both."""
    pinned = forge.head
    settings = Settings(pr=forge.url("v1"), token_file=token)
    change = ask(Entry(name="made", source="x/made"), settings, say=print)
    origin.git("checkout", "--quiet", "--detach", pinned)
    origin.commit(recipe_files("1.0.0+3"))
    origin.git("update-ref", "refs/pull/7/head", "HEAD")
    origin.git("update-server-info")
    moved = origin.git("rev-parse", "HEAD").strip()
    assert change is not None
    repo = clone(change.source, tmp_path / "clone", timeout=60)
    assert repo.resolve("pull/7") == moved
    assert change.resolve(repo) == pinned
    forge.head, forge.base = moved, pinned
    run = written(tmp_path / "run", pinned, Outcome.PASSED)
    done = called("post", run, "--pr", forge.url("v1"), "--token-file", token, "--sha", pinned)
    assert done.code == 0, done.stdout + done.stderr
    assert [sha for sha, _ in forge.statuses] == [pinned]
    assert f"head is `{moved}` now" in forge.comments[0]["body"]


def test_without_a_token_git_is_asked(forge: OwnForge, tmp_path: Path) -> None:
    """The API says 401; the repository itself is open."""
    said: list[str] = []
    settings = Settings(pr=forge.url("v3"))
    change = ask(Entry(name="made", source="x/made"), settings, say=said.append)
    assert change is not None
    assert change.pinned is None
    assert "401" in change.notes[0]
    assert change.resolve(clone(change.source, tmp_path / "clone", timeout=60)) == forge.head


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ci_can_pin_by_it(forge: OwnForge, token: Path, version: str) -> None:
    """JSON on one line, for whatever comes next."""
    done = called("pr", "--pr", forge.url(version), "--token-file", token)
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["head"], found["base"], found["fork"]) == (forge.head, forge.base, True)
    assert called("pr", "--pr", forge.url(version)).code == 6


@pytest.mark.parametrize("version", VERSIONS)
def test_posting_twice_leaves_one_comment(
    forge: OwnForge, token: Path, tmp_path: Path, version: str
) -> None:
    """Found again behind other people's, on a later page, one of which looks like ours."""
    words = ("--pr", forge.url(version), "--token-file", token)
    for number in range(4):
        forge.say("eve", f"<!-- cc-ci comment: cc-ci -->\n{number}")
    run = written(tmp_path / "run", forge.head, Outcome.FAILED)
    assert called("post", run, *words).code == 0
    written(tmp_path / "run", forge.head, Outcome.PASSED)
    assert called("post", run, *words).code == 0
    bad = "failed" if version == "v4" else "failure"
    assert [(sha, body["state"]) for sha, body in forge.statuses] == [
        (forge.head, bad), (forge.head, "success"),
    ]  # fmt: skip
    assert [one["author"]["username"] for one in forge.comments] == ["eve"] * 4 + ["bot"]
    assert "**passed**" in forge.comments[4]["body"]
    assert all(one["body"].endswith(str(at)) for at, one in enumerate(forge.comments[:4]))


def test_the_session_posts(forge: OwnForge, token: Path, tmp_path: Path) -> None:
    """As it is typed, through a forge that stumbles."""
    forge.troubles = [502, 503]
    run = written(tmp_path / "run", forge.head, Outcome.PASSED)
    done = called(
        "-s", "post", "--", run, "--pr", forge.url("v1"), "--token-file", token, program="nox"
    )
    assert done.code == 0, done.stdout + done.stderr
    assert len(forge.comments) == 1
    assert "try 1 of 3" in done.stdout


def test_the_token_follows_no_redirect(
    forge: OwnForge, origin: RecipeRepo, token: Path, tmp_path: Path
) -> None:
    """The other host never hears of it."""
    with serve(OwnForge(git=origin.path, head=forge.head, base=forge.base)) as other:
        forge.send_on = f"http://127.0.0.1:{other.port}"
        run = written(tmp_path / "run", forge.head, Outcome.PASSED)
        done = called("post", run, "--pr", forge.url("v4"), "--token-file", token)
        assert other.asked == []
    assert done.code == 6
    assert "not followed" in done.stderr


def test_what_cannot_be_posted_is_told(forge: OwnForge, token: Path, tmp_path: Path) -> None:
    """A commit that the forge does not know; a token that it does not know."""
    run = written(tmp_path / "run", "c" * 40, Outcome.PASSED)
    done = called("post", run, "--pr", forge.url("v3"), "--token-file", token)
    assert done.code == 6
    assert "knows no such commit" in done.stderr
    token.write_text("another-token\n")
    done = called("post", run, "--pr", forge.url("v3"), "--token-file", token)
    assert done.code == 6
    assert "expired" in done.stderr
    assert forge.comments == []
