"""What a person sees of a run: plain lines in a log, a live table on a terminal, the verdict."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.core.event_log import read
from harness.core.events import Doing, NoteEvent, RunBegan, RunEnded, Step
from harness.core.model import (
    Adaptation,
    AssertionResult,
    NotShown,
    Origin,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.report.answer import answer
from harness.report.results import Revision, RunResult
from harness.report.terminal import View, show_result
from harness.verdict.decide import Verdict

MARKUP = "[red]x[/] [/] [bold :smile: {0} %s"
FAILED = Verdict(outcome=Outcome.FAILED, exit_code=1, stage="upgrade", cause="it broke\n  | two")


def paper(*, width: int = 160) -> Console:
    """Return a console that is no terminal, as `python -m harness` makes it for a log."""
    return Console(
        file=io.StringIO(), force_terminal=False, width=width,
        highlight=False, emoji=False, markup=False,
    )  # fmt: skip


def screen(*, width: int = 160) -> Console:
    """Return a console that is a terminal, without colours."""
    return Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=width,
        highlight=False, emoji=False, markup=False,
    )  # fmt: skip


def shown(console: Console) -> str:
    """Return everything that was written."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def stage(name: Stage, outcome: Outcome, reason: str = "", passed: str = "") -> StageResult:
    """Return a stage's result; `passed` has a p or an f for each assertion."""
    words = {"p": Outcome.PASSED, "f": Outcome.FAILED}
    return StageResult(
        stage=name, outcome=outcome, reason=reason, op_seconds=1.25, assert_seconds=0.5,
        assertions=tuple(
            AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=words[letter], seconds=0)
            for letter in passed
        ),
    )  # fmt: skip


def result(**changes: Any) -> RunResult:  # noqa: ANN401  any field
    """Return a run that passed, but for the changes."""
    fields: dict[str, Any] = {
        "run": "run1", "recipe": "made", "source": "s", "platform": "swarm",
        "started": "2026-01-01T12:00:00+00:00", "seconds": 12.34, "repeat": "nox -s e2e -- made",
        "verdict": Verdict(outcome=Outcome.PASSED, exit_code=0),
        "stages": (stage(Stage.INSTALL, Outcome.PASSED, passed="pp"),),
    }  # fmt: skip
    return RunResult(**{**fields, **changes})


def last_lines(run: RunResult, *, width: int = 160) -> list[str]:
    """Return what is shown of a run at its end."""
    console = paper(width=width)
    show_result(console, run, Path("/runs/run1"))
    return [line.rstrip() for line in shown(console).splitlines()]


def test_a_log_has_a_plain_line_for_each_thing() -> None:
    """With the seconds since the start, no escapes, no folding, no redrawing."""
    console = paper(width=40)
    with View(console=console) as view:
        view.say("x" * 100)
        view.show(Doing(step=Step.OP, stage=Stage.INSTALL))
        view.finished(stage(Stage.INSTALL, Outcome.PASSED))
        view.finished(stage(Stage.UPGRADE, Outcome.SKIPPED, "no release\nmore"))
    lines = shown(console).splitlines()
    assert all(re.match(r"\[ +\d+\.\ds\] ", line) for line in lines)
    assert [line[10:] for line in lines] == [
        "x" * 100,
        "install: op",
        "install: passed  op 1.2 s, assertions 0.5 s",
        "upgrade: skipped  (no release)",
    ]


def test_the_further_lines_of_a_text_stand_below_the_first() -> None:
    """One stamp for one thing; an empty text is an empty line, not none."""
    console = paper()
    view = View(console=console)
    view.say("one\ntwo\n\nthree")
    view.say("")
    lines = shown(console).splitlines()
    assert [line[10:] for line in lines] == ["one", "two", "", "three", ""]
    assert [line.startswith("[") for line in lines] == [True, False, False, False, True]


def test_the_log_file_has_every_line_too(tmp_path: Path) -> None:
    """Also on a terminal, where steps are shown for a moment only."""
    for number, console in enumerate((paper(), screen())):
        log = tmp_path / f"{number}.log"
        with View(console=console, log=log) as view:
            view.say("one\ntwo")
            view.show(Doing(step=Step.LINT))
            view.finished(stage(Stage.INSTALL, Outcome.FAILED, "why"))
        text = re.sub(r"(?m)^(\[.*?s\] | {10})", "", log.read_text())
        assert text.splitlines() == ["one", "two", "lint", "install: failed  (why)"]


def test_every_event_is_recorded_and_the_end_is_not_shown_twice(tmp_path: Path) -> None:
    """Steps name the recipe; the verdict has a table of its own on the screen."""
    console, files = paper(), [tmp_path / "one", tmp_path / "two"]
    view = View(console=console, log=tmp_path / "run.log", records=files)
    events = (
        RunBegan(run="r", recipe="made", directory="/runs/r"),
        Doing(step=Step.OP, stage=Stage.INSTALL),
        NoteEvent(text="said"),
        RunEnded(outcome=Outcome.FAILED, exit_code=1, stage="install", cause="why"),
    )
    for event in events:
        view.show(event)
    assert [read(file) for file in files] == [events, events]
    lines = [line[10:] for line in shown(console).splitlines()]
    assert lines == ["run  /runs/r", "made: install: op", "said"]
    log = [line[10:] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert log == [*lines, "end  failed in install: why"]


def test_a_disk_without_room_does_not_end_a_run(tmp_path: Path) -> None:
    """The run goes on to its clean-up; the verdict says what happened."""
    console = paper()
    View(console=console, log=tmp_path, records=[tmp_path]).say("said")
    assert shown(console).endswith("said\n")


def test_secrets_are_masked_in_whatever_is_shown(tmp_path: Path) -> None:
    """In every line, every step and every reason, in the log file as well."""
    for number, console in enumerate((paper(), screen())):
        log, events = tmp_path / f"{number}.log", tmp_path / f"{number}.jsonl"
        with View(console=console, log=log, records=[events]) as view:
            view.scrub = lambda text: text.replace("hunter22", "****")
            view.say("said hunter22")
            view.show(Doing(step=Step.CLONE, about="step hunter22"))
            view.finished(stage(Stage.INSTALL, Outcome.FAILED, "reason hunter22"))
        for text in (shown(console), log.read_text(), events.read_text()):
            assert "hunter22" not in text
            assert "said ****" in text
            assert "step ****" in text
            assert "reason ****" in text


def test_a_terminal_keeps_what_was_said_and_redraws_the_rest() -> None:
    """The table of what is done and the step of the moment, which is gone in the end."""
    console = screen()
    with View(console=console) as view:
        view.finished(stage(Stage.INSTALL, Outcome.PASSED, passed="pp"))
        view.show(Doing(step=Step.OP, about=MARKUP))
        view.say(f"said {MARKUP}")
        assert "\x1b[?25l" in shown(console), "the cursor is hidden while it draws"
    drawn, _, wiped = shown(console).rpartition(f"{MARKUP}: op  0s")
    assert f"said {MARKUP}" in drawn
    assert "2/2" in drawn.rpartition("stage  result")[2]
    assert "\x1b[?25h" in wiped, "the cursor is back"
    assert wiped.count("\x1b[2K") >= 3, "the table and the step are gone"


def test_the_cursor_is_back_after_an_error() -> None:
    """However the run ends."""
    console = screen()
    with pytest.raises(KeyError), View(console=console):
        raise KeyError
    assert "\x1b[?25h" in shown(console)


def test_the_table_has_a_row_for_each_stage_and_the_teardown() -> None:
    """Result, times, how many passed of how many; of a long reason the first line."""
    lines = last_lines(
        result(
            verdict=FAILED,
            stages=(
                stage(Stage.INSTALL, Outcome.PASSED, passed="pp"),
                stage(Stage.UPGRADE, Outcome.FAILED, "t: first\nsecond", passed="pf"),
                stage(Stage.BACKUP, Outcome.ABORTED, "upgrade did not pass"),
            ),
            teardown=TeardownResult(
                outcome=Outcome.PASSED, seconds=3, removed={"service": 1, "volume": 2}
            ),
        )
    )
    assert [line.split() for line in lines[1:6]] == [
        ["stage", "result", "op", "assertions", "passed", "why"],
        ["install", "passed", "1.2", "s", "0.5", "s", "2/2"],
        ["upgrade", "failed", "1.2", "s", "0.5", "s", "1/2", "t:", "first"],
        ["backup", "aborted", "1.2", "s", "0.5", "s", "0/0", "upgrade", "did", "not", "pass"],
        ["teardown", "passed", "3.0", "s", "removed", "1", "service(s),", "2", "volume(s)"],
    ]
    assert "second" not in "\n".join(lines)


def test_a_pass_is_two_lines_and_where_the_results_are() -> None:
    """Nothing to do next, so nothing is said of it."""
    lines = last_lines(result())
    assert lines[-3:] == [
        "made: passed after 12.3 s",
        "merge    you may merge: every stage of the full plan passed",
        "results  /runs/run1",
    ]
    assert not any(line.startswith(("cause", "again")) for line in lines)


def test_an_upgrade_says_that_the_head_was_not_installed_afresh() -> None:
    """The install stage deployed the base; without an upgrade it was the head."""
    upgrade = stage(Stage.UPGRADE, Outcome.PASSED)
    base = Revision(commit="b" * 40, ref="1.0.0+1.0")
    shown = "you may merge: every stage of the full plan passed"
    missing = "; a fresh install of the head was not tested"
    assert answer(result(stages=(upgrade,), base=base)) == shown + missing
    skipped = stage(Stage.UPGRADE, Outcome.SKIPPED)
    assert answer(result(stages=(skipped,), base=base)) == shown
    assert answer(result(stages=(upgrade,))) == shown


def test_warnings_stand_beside_the_word_and_fit_a_terminal() -> None:
    """Code, stage, text and next step in 80 columns; then what the run does not show."""
    seen = RunWarning(
        code=WarningCode.VOLUME_ORPHANED, text="the head does not mount data " * 4,
        next="mount it at its old path", stage=Stage.UPGRADE,
    )  # fmt: skip
    known = RunWarning(code=WarningCode.NO_PAGE, text="no page", accepted="an API only")
    missing = (NotShown(stage=Stage.BACKUP, why="no label"),)
    green = Verdict(outcome=Outcome.PASSED, exit_code=0, not_shown=missing)
    lines = last_lines(result(verdict=green, warnings=(known, seen)), width=200)
    begun = lines.index("made: passed after 12.3 s, with 1 warning")
    assert all(len(line) <= 80 for line in lines[begun:])
    assert lines[begun + 1].startswith("warning  volume-orphaned in upgrade: the head does not")
    assert lines[begun + 2].startswith("         ")
    assert lines[-6:] == [
        "         next: mount it at its old path",
        "accepted no-page: no page (an API only)",
        "merge    not on this alone: what was asserted passed, but backup was not shown",
        "         in full",
        "         backup: no label",
        "results  /runs/run1",
    ]


def test_anything_else_says_why_and_what_to_type_next() -> None:
    """The whole cause, all its lines, and the exact command, on one line each."""
    command = "nox -s e2e -- " + "x" * 200
    lines = last_lines(result(verdict=FAILED, repeat=command), width=60)
    assert lines[-5:] == [
        "made: failed in upgrade after 12.3 s",
        "cause    it broke",
        "  | two",
        f"again    {command}",
        "results  /runs/run1",
    ]


def test_a_stage_that_passed_without_showing_something_says_so_in_its_row() -> None:
    """A reader of one row reads no other line; a reason goes before it."""
    warnings = (
        RunWarning(code=WarningCode.RESTORE_NOT_SHOWN, text="no test looks", stage=Stage.RESTORE),
        RunWarning(code=WarningCode.FILES_VANISHED, text="one vanished", stage=Stage.RESTORE),
    )
    for reason, told in (("", "no test looks"), ("it broke", "it broke")):
        console = paper()
        stages = (stage(Stage.RESTORE, Outcome.PASSED, reason),)
        show_result(console, result(stages=stages, warnings=warnings), Path("/runs/r"))
        (row,) = [line for line in shown(console).splitlines() if line.startswith("restore ")]
        assert row.endswith(told)


def test_a_run_that_never_began_has_no_empty_table() -> None:
    """There is a cause, and that is all there is."""
    error = Verdict(outcome=Outcome.ERROR, exit_code=3, cause="no engine")
    lines = last_lines(result(verdict=error, stages=()))
    assert lines[1:3] == ["made: error after 12.3 s", "cause    no engine"]


def test_what_was_adapted_and_diagnosed_is_shown_in_full() -> None:
    """A stand-in is said aloud in every report; log lines are never cut or folded."""
    note = Adaptation(kind="stand-in", subject="nginx:1", detail="y" * 100)
    lines = last_lines(result(adaptations=(note,), diagnosis=("log " + "z" * 100,)), width=50)
    assert f"adapted  stand-in: nginx:1: {'y' * 100}" in lines
    assert "log " + "z" * 100 in lines


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED])
def test_what_the_verdict_does_not_rest_on_is_said_beside_it(outcome: Outcome) -> None:
    """Whoever reads "passed" has to know what was not looked at; the rest of the plan was shown."""
    left_out = f"the generic assertions of backup: {'z' * 100} {MARKUP}\x1b[2J"
    plan = ("head     0a1b2c3d (main)", "backup   back up", "note     a shallow clone")
    run = result(plan=plan, left_out=(left_out,), verdict=Verdict(outcome=outcome, exit_code=0))
    lines = last_lines(run, width=50)
    said = [line for line in lines if line in plan or line.startswith("left out")]
    assert said == ["left out " + left_out.replace("\x1b", "\\x1b")]
    assert lines.index(said[0]) < lines.index(f"made: {outcome} after 12.3 s")


def test_a_narrow_terminal_folds_a_reason_and_loses_nothing() -> None:
    """A reason that ends in dots would have to be looked up elsewhere."""
    reason = "word " * 30 + "end"
    lines = last_lines(result(stages=(stage(Stage.INSTALL, Outcome.FAILED, reason),)), width=70)
    folded = " ".join(line[lines[1].index("why") :] for line in lines[2:-2])
    assert "".join(folded.split()) == "".join(reason.split())


@pytest.mark.parametrize("console", [paper(), screen()], ids=["paper", "screen"])
def test_brackets_in_what_a_recipe_says_are_text(console: Console) -> None:
    """Markup would eat `[red]`, and `[/]` would raise in the middle of a report."""
    view = View(console=console)
    view.say(f"said {MARKUP}")
    run = result(
        recipe="made",
        verdict=Verdict(outcome=Outcome.FAILED, exit_code=1, stage="upgrade", cause=MARKUP),
        stages=(stage(Stage.UPGRADE, Outcome.FAILED, MARKUP),),
        adaptations=(Adaptation(kind="k", subject="s", detail=MARKUP),),
        diagnosis=(MARKUP,),
        repeat=MARKUP,
        teardown=TeardownResult(outcome=Outcome.ERROR, reason=MARKUP),
    )
    show_result(console, run, Path(f"/runs/{MARKUP}"))
    assert shown(console).count(MARKUP) == 8


def test_what_a_recipe_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """An escape could clear a failure off the screen; a byte that is no text must not raise."""
    evil = "a\x1b[2Jb\x9b1Ac\udc80d\te"
    raw = io.BytesIO()
    console = Console(
        file=io.TextIOWrapper(raw, encoding="utf-8"), force_terminal=False, width=160, markup=False
    )
    View(console=console, log=tmp_path / "run.log").say(evil)
    cause = Verdict(outcome=Outcome.FAILED, exit_code=1, stage="upgrade", cause=evil)
    stages = (stage(Stage.UPGRADE, Outcome.FAILED, evil),)
    show_result(console, result(verdict=cause, stages=stages, diagnosis=(evil,)), Path("/runs"))
    console.file.flush()
    texts = raw.getvalue().decode(), (tmp_path / "run.log").read_text()
    assert [text.count(r"a\x1b[2Jb\x9b1Ac\udc80d") for text in texts] == [4, 1]
    assert not any(re.search("[\x1b\x9b\udc80]", text) for text in texts)
