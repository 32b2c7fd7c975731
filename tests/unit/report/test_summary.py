"""summary.md: short, the verdict first, and nothing of a recipe's is markup."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.core.model import NotShown, Outcome, RunWarning, Stage, StageResult, WarningCode
from harness.report import summary
from harness.verdict.decide import Verdict
from tests.unit.report.test_leaks import RUN

HOSTILE = (
    "`@team` #1 [x](https://evil.test) <img src=x> ``` | a |\n"
    "```\n````\n# head\n\x1b[31mred\u202e\x00 !12 ~~~"
)


def failed(cause: str = "why") -> Verdict:
    """Return the verdict of a failed upgrade."""
    return Verdict(outcome=Outcome.FAILED, exit_code=1, stage="upgrade", cause=cause)


def bare(markdown: str) -> str:
    """Return what a forge would look at: without fenced blocks and code spans."""
    outside, fence = [], ""
    for line in markdown.split("\n"):
        mark = re.match("`{3,}", line)
        if fence:
            fence = "" if line.strip("`") == "" and len(line) >= len(fence) else fence
        elif mark:
            fence = mark[0]
        else:
            outside.append(re.sub("`[^`\n]*`", "", line))
    assert not fence, "a block was never closed"
    return "\n".join(outside)


def test_a_hostile_text_stays_in_code() -> None:
    """No mention, link, picture, heading or further column comes of what a recipe prints."""
    stage = StageResult(stage=Stage.UPGRADE, outcome=Outcome.FAILED, reason=HOSTILE)
    run = replace(RUN, recipe=HOSTILE, verdict=failed(HOSTILE), stages=(stage,),
                          repeat=HOSTILE)  # fmt: skip
    for text in (summary.render(run), summary.together([run])):
        seen = bare(text)
        for word in ("@", "evil", "<img", "[x]", "red", "# head"):
            assert word not in seen
        assert not set("\x1b\x00\u202e") & set(text)
        rows = [line for line in text.split("\n") if line.startswith("| upgrade")]
        assert [row.count("|") for row in rows] == [6]


def test_the_verdict_stands_first_and_the_command_last() -> None:
    """Three questions in ten seconds: may I merge, what broke, how do I see it."""
    text = summary.render(replace(RUN, verdict=failed()))
    assert text.splitlines()[0] == "### ❌ `made`: **failed** in upgrade"
    assert text.splitlines()[2].startswith("Do not merge: the recipe is wrong.")
    assert text.index("why") < text.index("again")
    exactly = summary.render(replace(RUN, repeat_exactly="the very commit"))
    assert "the very commit" in exactly
    assert "again" not in exactly


def test_a_long_cause_is_cut() -> None:
    """A comment has room for so much, and a reader for less."""
    assert len(summary.render(replace(RUN, verdict=failed("x" * 99999)))) < 2500


@pytest.mark.parametrize("word", list(Outcome))
def test_several_runs_are_counted_by_word(word: Outcome) -> None:
    """A green one needs no section of its own."""
    run = replace(RUN, verdict=Verdict(outcome=word, exit_code=0))
    text = summary.together([run, run])
    assert text.startswith(f"## {summary.MARKS[word]} 2 {word}\n")
    assert ("###" in text) == (word is not Outcome.PASSED)
    assert summary.together([]).startswith("## ⚠️ no run at all")


def test_a_run_that_does_not_show_everything_does_not_say_merge() -> None:
    """The reader of the comment did not type the command."""
    missing = (NotShown(stage=Stage.UPGRADE, why=HOSTILE), NotShown(stage=Stage.CUSTOM, why="b"))
    some = replace(RUN, verdict=replace(RUN.verdict, not_shown=missing))
    text = summary.render(some)
    assert "Not on this alone: what was asserted passed, but upgrade and custom were not" in text
    assert "- not shown: **custom**: `b`" in text
    assert "you may merge" not in text.lower()
    assert "without upgrade, custom" in summary.together([some])
    assert "You may merge" in summary.render(RUN)


def test_what_the_verdict_does_not_rest_on_is_listed() -> None:
    """As text: a recipe's meta has a say in it."""
    text = summary.render(replace(RUN, left_out=(HOSTILE,)))
    assert "- `left out " in text
    assert "evil" not in bare(text)
    assert "left out" not in summary.render(RUN)


def test_warnings_stand_below_the_word() -> None:
    """Each with its code and next step; nothing in them is markup. Accepted ones say why."""
    seen = RunWarning(code=WarningCode.NO_PAGE, text=HOSTILE, next=HOSTILE, stage=Stage.INSTALL)
    known = RunWarning(code=WarningCode.DATA_IN_LAYER, text="x", next="n", accepted="a cache")
    run = replace(RUN, warnings=(seen, known))
    text = summary.render(run)
    assert "You may merge if you accept the warning" in text
    assert "**warning** no-page in install: `" in text
    assert "accepted warning data-in-layer: `x`\n  accepted: `a cache`" in text
    for word in ("@", "evil", "<img", "[x]", "red", "# head"):
        assert word not in bare(text)
    assert "1 warning" in summary.together([run])
    assert "### " in summary.together([run]), "a pass with an open warning has a section"


def test_a_run_without_results_is_not_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It died, or had no room: a summary of the others alone would be green."""
    for name in ("good", "died/logs", "torn", "jobs-1"):
        (tmp_path / name).mkdir(parents=True)
    RUN.write(tmp_path / "good")
    (tmp_path / "torn/results.json").write_text("{")
    assert main(["summary", str(tmp_path / "good"), str(tmp_path / "jobs-1")], {}) == 0
    assert capsys.readouterr().out.startswith("## ✅ 1 passed\n")
    names = ("good", "died", "torn", "jobs-1", "nowhere")
    assert main(["summary", *(str(tmp_path / name) for name in names)], {}) == 3
    text = capsys.readouterr().out
    assert text.startswith("## ⚠️ 1 passed, 3 without results\n")
    for name in ("died: no results.json", "torn: results.json cannot be read", "nowhere: no resul"):
        assert name in text
