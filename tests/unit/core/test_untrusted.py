"""Text of others, wherever it is shown: it begins no command, steers nothing, and stays text."""

import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.ci.forge import comment
from harness.ci.matrix.selection import Cell
from harness.ci.matrix.verify import judge
from harness.core.errors import LONGEST_TEXT, RecipeError
from harness.core.events import Doing, Step
from harness.core.model import Outcome, RunWarning, Stage, StageResult, WarningCode
from harness.core.untrusted import MARK, quoted, visible
from harness.report import html, junit, summary
from harness.report.results import RunResult
from harness.report.site.badges import badge_svg
from harness.report.terminal import View, show_result
from harness.report.together import Ending, Row, show_together
from harness.verdict.decide import Verdict
from tests.unit.report.test_report_html import Page, full

FRAGMENTS = (
    "::", ":", "::add-mask::passed", "::stop-commands::x", "::set-output name=a::b", "##[", "##",
    "##vso[task.setvariable variable=a]b", "##teamcity[buildNumber '1']", "[[ATTACHMENT|/etc/x]]",
    "\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\t", " ", "\xa0", "\u3000",
    "\x1b[2J", "\x9b1A", "\u202e", "\u2066", "\u200b", "\ufeff", "\x00", "\x7f", "\udc80", "\ufffe",
    "`", "```", "~~~", "|", "]]>", "<b>", "</pre>", "<!--", "&amp;", '"', "*", "#", "- ",
    "> ", "\\", "--- group", "section_start:0:x\r\x1b[0K", "@all", "/merge",
    "x" * 90, "word " * 20, "\u00e4",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)
STYLES = re.compile(r"\x1b\[[0-9;]*m")  # rich's own, on a terminal
# What GitHub's runner and Azure's agent look for; act's patterns are narrower.
COMMANDS = re.compile(r"^\s*::|##[\w.-]*\[|\[\[ATTACHMENT\|", re.MULTILINE)
COMMON = settings(deadline=None, max_examples=50)


def safe(text: str, *, own: str = "") -> None:
    """Check that a CI, a terminal and a reader of lines see in a text what a person sees.

    Args:
        text: all of what is shown.
        own: characters that the harness puts there itself.
    """
    assert text.splitlines() == text.removesuffix("\n").split("\n") or not text
    assert not COMMANDS.search(text)
    strange = {c for c in text if not c.isprintable() and c not in f"\n\t{own}" and not c.isspace()}
    assert strange == set()


def run_of(said: str) -> RunResult:
    """Return a run that says that in every field, warnings included."""
    warned = RunWarning(code=WarningCode.NO_PAGE, text=said, next=said, stage=Stage.UPGRADE)
    known = RunWarning(code=WarningCode.DATA_IN_LAYER, text=said, accepted=said)
    return full(said, warnings=(warned, known))


def console(*, width: int, terminal: bool) -> tuple[Console, io.StringIO]:
    """Return a console as `python -m harness` makes it, and what is written to it."""
    file = io.StringIO()
    made = Console(
        file=file, force_terminal=terminal, width=width, highlight=False, emoji=False, markup=False
    )
    return made, file


@COMMON
@given(TEXTS)
def test_what_is_visible_is_safe_and_stays_as_it_is(said: str) -> None:
    """Renderers may call it on what has been through it already."""
    shown = visible(said)
    safe(shown)
    assert visible(shown) == shown
    assert all(line.startswith(f"  {MARK}") for line in quoted(said, indent="  "))
    safe("\n".join(quoted(said)))


@pytest.mark.parametrize(
    "said",
    ["plain: text\n\tindented", "r/test_x.py::TestIt::test_one[a::b]", "http://[fe80::1]:80/##x",
     "\u00e9\u4e2d\u6587 \U0001f600 a\xa0b", "C:\\new\\x1b", "list[[1], [2]] # 1"],
)  # fmt: skip
def test_what_does_no_harm_is_shown_as_it_is(said: str) -> None:
    """Names of tests and addresses have double colons in them, and people write other scripts."""
    assert visible(said) == said


def test_a_command_can_still_be_read() -> None:
    """Whoever looks into a log has to see what the app said."""
    said = "x\r::add-mask::passed\u2028##vso[a]b\r\n\x1b[2J"
    assert quoted(said) == [r"| x\r::add-mask::passed\u2028#\#vso[a]b", r"| \x1b[2J"]
    assert quoted(" ::group::x") == [r"|  :\:group::x"]
    assert quoted("") == quoted(" \n") == []


@COMMON
@given(TEXTS, st.sampled_from([20, 40, 79, 160]), st.booleans())
def test_nothing_gets_through_a_terminal_or_a_log(said: str, width: int, terminal: bool) -> None:  # noqa: FBT001  drawn
    """Wherever a reason is folded, a line may begin with any of its characters."""
    out, file = console(width=width, terminal=terminal)
    show_result(out, run_of(said), Path("/runs/r"))
    verdict = Verdict(outcome=Outcome.ERROR, exit_code=3, cause=said)
    ending = Ending(outcome=verdict.outcome, exit_code=3, cause=said, hint=said, notes=(said,))
    show_together(out, [Row(label=said, output=Path("o"), ending=ending, began=1.0)])
    safe(STYLES.sub("", file.getvalue()))


@COMMON
@given(TEXTS)
def test_nothing_gets_through_the_lines_of_a_run(said: str) -> None:
    """What is said while it goes on, on the screen and in run.log."""
    out, file = console(width=160, terminal=False)
    with TemporaryDirectory() as directory:
        log = Path(directory, "run.log")
        view = View(console=out, log=log)
        view.say(said)
        view.show(Doing(step=Step.IMAGE, about=said))
        view.finished(StageResult(stage=Stage.INSTALL, outcome=Outcome.FAILED, reason=said))
        written = log.read_text()
    for text in (file.getvalue(), written):
        safe(text)


@COMMON
@given(TEXTS)
def test_nothing_gets_through_a_message(said: str) -> None:
    """Also a message of several lines stays ours: what follows its first line is marked."""
    text = str(RecipeError(f"hook: {said}", cause=f"c: {said}", hint=f"h: {said}", detail=said))
    safe(text)
    assert all(line.startswith(("hook: ", "  ")) for line in text.split("\n"))


def skeleton(markdown: str) -> str:
    """Return Markdown without what stands in code spans and fenced blocks."""
    blocks = re.sub(r"(?ms)^(`{3,})text\n.*?\n\1$", "BLOCK", markdown)
    return re.sub(r"`[^`\n]+`", "SPAN", blocks)


@COMMON
@given(TEXTS)
def test_nothing_gets_through_a_summary_or_a_comment(said: str) -> None:
    """The Markdown around it is the same whatever it says."""
    run, plain = run_of(f"x{said}"), run_of("said")
    for told in (summary.render(run), summary.together([run], missing=[said])):
        safe(told)
    assert skeleton(summary.render(run)) == skeleton(summary.render(plain))
    body = comment.harmless(summary.render(run))
    safe(body, own=comment.ZERO_WIDTH_SPACE)
    assert "<!--" not in body


@COMMON
@given(TEXTS)
def test_nothing_gets_through_junit(said: str) -> None:
    """A file that no CI can read would hide the failure that it reports."""
    text = junit.render(run_of(said))
    root = ET.fromstring(text)  # noqa: S314  it is our own
    plain = ET.fromstring(junit.render(run_of("said")))  # noqa: S314  the same
    assert [one.tag for one in root.iter()] == [one.tag for one in plain.iter()]
    for element in root.iter():
        for value in (element.text or "", *element.attrib.values()):
            safe(value.replace("\r", "\n"))
    safe(text)


@COMMON
@given(TEXTS)
def test_nothing_gets_through_html(said: str) -> None:
    """Its elements are the same whatever is said, in a report and in a badge."""
    text, plain = (html.render(run_of(one), {one: one}, {}) for one in (said, "said"))
    tags = [[tag for tag, _ in Page(one).elements] for one in (text, plain)]
    assert {*tags[0]} <= {*tags[1], "p", "pre", "details", "summary", "h4", "br"}
    assert not {c for c in text if not c.isprintable() and c not in "\n\t" and not c.isspace()}
    svg = badge_svg(said, Outcome.FAILED)
    ET.fromstring(svg)  # noqa: S314  it is our own
    safe(svg)


@COMMON
@given(TEXTS)
def test_nothing_gets_through_the_comparison_of_a_matrix(said: str) -> None:
    """Its lines come from run directories that other jobs have written."""
    lines, _ = judge([Cell(name="c", recipes=("made",))], [run_of(said)], [said])
    for line in lines:
        safe(visible(line))


def test_a_message_is_of_a_length_that_can_be_read() -> None:
    """A hook may print megabytes: the end tells why it failed, and that there was more is said."""
    text = str(RecipeError("it broke" + "x" * 9000, detail="a" * 20_000 + "b" * 20_000))
    first, told, last = text.split("\n")
    assert len(first) == LONGEST_TEXT
    assert told == "  (20000 characters before that are left out)"
    assert last == "  | " + "b" * 20_000
    assert "left out" not in str(RecipeError("it broke", detail="b" * 20_000))
