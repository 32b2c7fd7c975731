"""Posting: which commit gets which word, the one comment, and that texts in it do no harm."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.ci import post
from harness.ci.forge import comment
from harness.ci.forge.base import Comment, PullRequest, State, Status
from harness.core.command_line import parse
from harness.core.errors import EXIT_NOTHING_ASSERTED, ForgeBusyError, ForgeError, UsageError
from harness.core.model import NotShown, Outcome, RunWarning, Stage, StageResult, WarningCode
from harness.core.settings import Settings
from harness.report.results import Revision, RunResult
from harness.verdict.decide import Verdict
from tests.unit.fake_clock import FakeClock

HEAD, OTHER = "1" * 40, "2" * 40
URL = "https://git.example.org/coop/made/pulls/7"
SECRET = "s3cret-token"  # noqa: S105  of no real forge


@dataclass
class Kept:
    """A forge that keeps what it is told."""

    description_limit: ClassVar[int] = 60
    comment_limit: ClassVar[int] = 2000

    head: str = HEAD
    kept: list[Comment] = field(default_factory=list)
    statuses: list[tuple[str, Status]] = field(default_factory=list)
    lost_answers: int = 0

    def pull_request(self) -> PullRequest:
        """Return it."""
        return PullRequest(
            number=7, head=self.head, base="", base_ref="main", head_repository="", fork=True
        )

    def login(self) -> str:
        """Return us."""
        return "bot"

    def comments(self) -> Iterator[Comment]:
        """Return all."""
        yield from list(self.kept)

    def create_comment(self, body: str) -> None:
        """Keep it, and perhaps lose the answer."""
        self.kept.append(Comment(id=len(self.kept), author="bot", body=body))
        if self.lost_answers:
            self.lost_answers -= 1
            raise ForgeBusyError("502")

    def update_comment(self, comment: Comment, body: str) -> None:
        """Keep it."""
        self.kept[comment.id] = Comment(id=comment.id, author=comment.author, body=body)

    def set_status(self, commit: str, status: Status) -> None:
        """Keep it."""
        self.statuses.append((commit, status))


def run(directory: Path, outcome: Outcome = Outcome.PASSED, **changes: Any) -> Path:  # noqa: ANN401  any field
    """Write a run's directory."""
    directory.mkdir(exist_ok=True)
    code = 0 if outcome is Outcome.PASSED else EXIT_NOTHING_ASSERTED
    bad = outcome is not Outcome.PASSED
    fields: dict[str, Any] = {
        "run": "r", "recipe": "made", "source": "https://evil.example.net/x", "platform": "swarm",
        "started": "", "seconds": 12.4, "repeat": "nox -s e2e -- made",
        "verdict": Verdict(outcome=outcome, exit_code=code, stage="install" if bad else "",
                           cause="it ``` did @everyone" if bad else ""),
        "head": Revision(commit=HEAD, ref="pull/7"),
        "stages": (StageResult(stage=Stage.INSTALL, outcome=outcome, reason="a|b"),),
    }  # fmt: skip
    RunResult(**{**fields, **changes}).write(directory)
    return directory


def read(*words: str) -> post.Asked:
    """Read a command line."""
    given = parse(["post", *words])
    return post.Asked.of(given, Settings.read(given, {}))


def posted(forge: Kept, *words: str | Path, secrets: tuple[str, ...] = ()) -> list[str]:
    """Post, and return what was said."""
    said: list[str] = []
    asked = read(*map(str, words), "--pr", URL)
    tested = [post.load(directory, asked) for directory in asked.runs]
    post.post(forge, tested, asked, secrets=secrets, say=said.append)
    return said


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.PASSED, State.SUCCESS), (Outcome.FAILED, State.FAILURE),
        (Outcome.ERROR, State.ERROR), (Outcome.SKIPPED, State.ERROR),
        (Outcome.ABORTED, State.ABORTED),
    ],
)  # fmt: skip
def test_the_tested_commit_gets_the_word(tmp_path: Path, outcome: Outcome, state: State) -> None:
    """Only a pass is a success; nothing asserted is none."""
    forge = Kept()
    posted(forge, run(tmp_path / "a", outcome))
    ((commit, status),) = forge.statuses
    assert (commit, status.state, status.context) == (HEAD, state, "cc-ci/made")
    assert len(status.description) <= 60
    assert str(outcome) in status.description


def test_a_pass_with_another_exit_code_is_no_success(tmp_path: Path) -> None:
    """The directory may come from a job in which a stranger's code ran."""
    forge = Kept()
    posted(forge, run(tmp_path / "a", verdict=Verdict(outcome=Outcome.PASSED, exit_code=3)))
    assert forge.statuses[0][1].state is State.ERROR


def test_there_is_one_comment(tmp_path: Path) -> None:
    """The second run's is written over the first one's."""
    forge = Kept(kept=[Comment(id=0, author="a", body="hello")])
    posted(forge, run(tmp_path / "a", Outcome.FAILED))
    assert len(forge.kept) == 2
    assert "**failed**" in forge.kept[1].body
    assert "updated" in posted(forge, run(tmp_path / "a"))[-1]
    assert "left as it is" in posted(forge, run(tmp_path / "a"))[-1]
    assert len(forge.kept) == 2
    assert "**passed**" in forge.kept[1].body


def test_somebody_elses_comment_with_our_line_is_left_alone(tmp_path: Path) -> None:
    """Anybody can write that line. One that is quoted further down is not ours, either."""
    line = comment.marker("cc-ci")
    theirs = [
        Comment(id=0, author="eve", body=f"{line}\nx"),
        Comment(id=1, author="bot", body=f"> a\n{line}"),
    ]
    forge = Kept(kept=list(theirs))
    posted(forge, run(tmp_path / "a"))
    assert forge.kept[:2] == theirs
    assert len(forge.kept) == 3


def test_two_contexts_have_a_comment_each(tmp_path: Path) -> None:
    """Two harnesses at one pull request do not write over one another."""
    forge = Kept()
    posted(forge, run(tmp_path / "a"))
    posted(forge, tmp_path / "a", "--context", "cc-ci arm")
    assert len(forge.kept) == 2
    assert forge.statuses[1][1].context == "cc-ci arm/made"


def test_a_comment_whose_answer_was_lost_is_not_made_twice() -> None:
    """It is looked for again first."""
    forge, line = Kept(lost_answers=1), comment.marker("x")
    done = comment.put(forge, first_line=line, login="BOT", body=f"{line}\na", clock=FakeClock())
    assert done == "left as it is"
    assert len(forge.kept) == 1


def test_a_head_that_has_moved_is_said(tmp_path: Path) -> None:
    """The status goes to what was tested, and the comment names both."""
    forge = Kept(head=OTHER)
    posted(forge, run(tmp_path / "a"))
    assert forge.statuses[0][0] == HEAD
    assert f"`{OTHER}` now" in forge.kept[0].body
    assert f"tested at `{HEAD}`" in forge.kept[0].body
    forge = Kept()
    posted(forge, run(tmp_path / "a"))
    assert "moved" not in forge.kept[0].body


def test_another_commit_than_expected_is_refused(tmp_path: Path) -> None:
    """A job that was told the commit by its CI posts about no other."""
    with pytest.raises(UsageError, match="and not 222222222222"):
        posted(Kept(), run(tmp_path / "a"), "--sha", OTHER)
    posted(Kept(), tmp_path / "a", "--sha", HEAD)


def test_a_commit_can_be_named(tmp_path: Path) -> None:
    """For a change of overlays: its commit is not the recipe's. A run may have come to none."""
    forge = Kept()
    posted(forge, run(tmp_path / "a", head=None), "--on", OTHER)
    assert forge.statuses[0][0] == OTHER
    with pytest.raises(UsageError, match="--on SHA"):
        posted(forge, tmp_path / "a")


def test_two_runs_of_one_recipe_are_refused(tmp_path: Path) -> None:
    """The last one's status would hide the first one's."""
    forge = Kept()
    with pytest.raises(UsageError, match="several runs"):
        posted(forge, run(tmp_path / "a"), run(tmp_path / "b"))
    assert forge.statuses == []


def test_several_recipes_share_the_comment(tmp_path: Path) -> None:
    """And have a status each."""
    forge = Kept()
    posted(forge, run(tmp_path / "a"), run(tmp_path / "b", Outcome.FAILED, recipe="Evil/../x y"))
    assert [status.context for _, status in forge.statuses] == ["cc-ci/made", "cc-ci/evil-..-x-y"]
    assert len(forge.kept) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "x"}', '{"schema": "cc-ci/results/1"}'])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    """Before anything is posted."""
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UsageError, match="cannot be read"):
        posted(Kept(), tmp_path)


def test_no_result_at_all_is_refused(tmp_path: Path) -> None:
    """A run that died has said nothing."""
    with pytest.raises(UsageError, match="no result in"):
        posted(Kept(), tmp_path)


def test_the_comment_says_what_results_json_says(tmp_path: Path) -> None:
    """Never what a file beside it says, which may be of another word or lead to another file."""
    forge, directory = Kept(), run(tmp_path / "a", Outcome.FAILED)
    (tmp_path / "mine").write_text("You may merge")
    (directory / "summary.md").symlink_to(tmp_path / "mine")
    posted(forge, directory)
    assert "**failed**" in forge.kept[0].body
    assert "Do not merge" in forge.kept[0].body
    assert "may merge" not in forge.kept[0].body


def test_the_cause_and_the_command_are_in_the_comment(tmp_path: Path) -> None:
    """In blocks that nothing in them ends."""
    forge = Kept()
    posted(forge, run(tmp_path / "a", Outcome.FAILED))
    assert "````text\nit ``` did @\u200beveryone\n````" in forge.kept[0].body
    assert "```text\nnox -s e2e -- made\n```" in forge.kept[0].body


def test_warnings_and_what_is_not_shown_are_in_the_status_and_the_comment(tmp_path: Path) -> None:
    """A green tick alone would say more than the run does."""
    missing = (NotShown(stage=Stage.UPGRADE, why="no older release"),)
    green = Verdict(outcome=Outcome.PASSED, exit_code=0, not_shown=missing)
    seen = RunWarning(code=WarningCode.NO_PAGE, text="no page", next="name one")
    forge = Kept()
    posted(forge, run(tmp_path / "a", verdict=green, warnings=(seen,)))
    ((_, status),) = forge.statuses
    assert status.description.startswith("passed after 12 s, not on this alone, 1 warning: witho")
    for wanted in ("no-page", "name one", "no older release", "Not on this alone"):
        assert wanted in forge.kept[0].body


@pytest.mark.parametrize(
    "line", ["/merge", "  /approve", "a\n/close", "a\r/close", "x\r\n/label ~y"]
)
def test_no_line_is_a_command(line: str) -> None:
    """GitLab would carry it out as the token's owner."""
    assert not re.search(r"(?m)^\s*/[a-z]", comment.harmless(line))
    assert "\r" not in comment.harmless(line)


def test_nobody_is_called_and_nothing_is_hidden() -> None:
    """A mail address stays; a comment of HTML would hide all that follows."""
    text = comment.harmless("@all (@eve) me@example.org <!-- x \x1b[31m \u202e")
    assert text == "@\u200ball (@\u200beve) me@example.org <!\u200b-- x \\x1b[31m \\u202e"


def test_a_long_comment_is_cut_at_a_line_with_its_block_closed() -> None:
    """Bytes count, and the note says so."""
    body = "start\n```\n" + "\u00e4\u00e4\u00e4\u00e4\n" * 1000
    cut = comment.fitted(body, 1000)
    assert len(cut.encode()) <= 1000
    assert cut.endswith("\u00e4\u00e4\u00e4\u00e4\n```" + comment.CUT)
    assert comment.fitted("short", 1000) == "short"
    assert len(comment.fitted("x" * 5000, 1000)) <= 1000
    assert len(comment.fitted("\u00e4" * 800, 1000).encode()) <= 1000


@pytest.mark.parametrize("context", ["a --> b", "a--b", "", "a\nb", "<x>"])
def test_a_name_cannot_end_the_hidden_line(context: str) -> None:
    """What comes after it would be seen, and the comment not found again."""
    with pytest.raises(UsageError):
        comment.marker(context)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pr", URL], "no run is named"),
        (["runs/x"], "address"), (["runs/x", "--pr", "7"], "address"),
        (["runs/x", "--pr", URL, "--sha", "abc"], "full name"),
        (["runs/x", "--pr", URL, "--details", "javascript:x"], "web address"),
        (["runs/x", "--pr", URL, "--tokenfile", "x"], "--tokenfile"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told(words: list[str], told: str) -> None:
    """With what is wrong in it. A number alone would let a run's directory choose the forge."""
    with pytest.raises(UsageError, match=told):
        read(*words)


def test_posting_needs_a_token(tmp_path: Path) -> None:
    """And says where from."""
    with pytest.raises(UsageError, match="--token-file"):
        post.main(read(str(tmp_path), "--pr", URL), say=lambda _: None)


def test_a_comment_that_fails_is_told_apart(tmp_path: Path) -> None:
    """The statuses are there, and decide."""

    class Closed(Kept):
        def login(self) -> str:
            raise ForgeError("GET /user: 403", status=403)

    forge = Closed()
    with pytest.raises(ForgeError, match="the statuses are set") as raised:
        posted(forge, run(tmp_path / "a"))
    assert "--login" in raised.value.hint
    assert len(forge.statuses) == 1
    assert "made" in posted(forge, tmp_path / "a", "--login", "bot")[-1]
