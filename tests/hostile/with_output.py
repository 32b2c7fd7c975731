"""Attempts by what an app, a hook, a health check or a forge says."""

import io
import json
import os
import re
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console

from harness.ci.forge import comment
from harness.ci.matrix import verify
from harness.core.errors import BackupError
from harness.core.model import Outcome, RunWarning, Stage, WarningCode
from harness.core.untrusted import MARK, visible
from harness.report import html, junit, results, summary
from harness.report.results import RunResult
from harness.report.terminal import View, show_result
from harness.report.together import Ending, Row, show_together
from harness.swarm.diagnose import diagnosis
from tests.hostile.readers import commands
from tests.hostile.table import attempt
from tests.unit.report.test_report_html import Page, full
from tests.unit.swarm.test_diagnose import look, task

PROMISE = "each line of others is marked, and none of them is a command, markup or an escape"
SAID = (
    ("carriage-return", "x\r::add-mask::passed\r::stop-commands::x", "google/osv-scanner#2669"),
    ("line-separators", "x\u2028::error::a\x85::set-output name=a::b\v::group::c\f::debug::d\x1c::",
     "stefanko-ch/Nexus-Stack#806"),
    ("blanks-before-a-command", "\t \xa0\u3000::add-mask::passed", "actions/runner"),
    ("legacy-command-in-a-line", "well ##[add-mask]passed", "github/gh-aw-threat-detection#855"),
    ("command-of-azure", "x ##vso[task.setvariable variable=a]b", "microsoft/azure-pipelines"),
    ("command-of-teamcity", "x ##teamcity[buildStatus status='SUCCESS']", ""),
    ("section-of-gitlab", "section_start:1:x\r\x1b[0Kpassed", ""),
    ("file-to-attach", "[[ATTACHMENT|/etc/passwd]]", "allure-framework/allure3#80"),
    ("line-break-in-a-name", "compose.a\n::error file=README.md::no", "infection/infection#3441"),
    ("suspends-commands", "fatal: x\n::stop-commands::deadbeef", "zuke-build/zuke#548"),
    ("folded-where-a-command-begins", "x" * 60 + " ::warning::a " + "y" * 47 + "::notice::b", ""),
    ("clears-the-screen", "\x1b[2J\x1b[H\x1b]0;passed\x07\x1b]52;c;cGFzc2Vk\x07", "cli/cli#13272"),
    ("escapes-of-eight-bits", "\x9b2J\x90q\x9d0;passed\x9c", "billybox1926-jpg/snipcontext#196"),
    ("turns-the-line-around", "verdict: \u202edeliaf\u2066 \u200b", "go-to-k/cdk-real-drift#1058"),
    ("ends-a-code-block", "```\n````\n~~~\n# passed\n<!-- `x` | y -->", ""),
    ("markup-of-xml-and-html", "]]></failure><script>alert(1)</script><img src=//x.test>&\"'", ""),
    ("mentions-and-quick-actions", "@all\n/merge\n/approve\nFixes #1", ""),
)  # fmt: skip


def shown(said: str) -> dict[str, str]:
    """Return all that is shown of a run in which everything said is that text."""
    warned = RunWarning(code=WarningCode.NO_PAGE, text=said, next=said, stage=Stage.UPGRADE)
    run = full(said, warnings=(warned,))
    found = {
        "summary": summary.render(run) + summary.together([run], missing=[said]),
        "comment": comment.harmless(summary.render(run)),
        "junit": junit.render(run),
        "report": html.render(run, {said: said}, {}),
        "message": str(BackupError(f"hook: {said}", cause=said, hint=said, detail=said)),
    }
    for width, terminal in ((160, False), (80, True)):
        file = io.StringIO()
        out = Console(file=file, width=width, force_terminal=terminal, color_system=None,
                      highlight=False, emoji=False, markup=False)  # fmt: skip
        View(console=out).say(f"kept {said}")
        show_result(out, run, Path("runs/x"))
        ending = Ending(outcome=Outcome.ERROR, exit_code=3, cause=said, notes=(said,))
        show_together(out, [Row(label=said, output=Path("o"), ending=ending)])
        found[f"terminal of {width}"] = file.getvalue()
    return found


def _everywhere(said: str, _place: Path) -> str:
    for name, text in shown(said).items():
        took = [one for one in commands(text) if name != "report" or one.startswith("JUnit")]
        assert took == [], f"{name}: {took}"
        seen = text.replace(comment.ZERO_WIDTH_SPACE, "") if name == "comment" else text
        strange = {c for c in seen if not c.isprintable() and c not in "\n\t" and not c.isspace()}
        assert strange == set(), f"{name}: {strange}"
        assert not re.search("[\r\v\f\x1c-\x1e\x85\u2028\u2029]", text), name
    texts, plain = shown(said), shown("said")
    for text in (texts["junit"], plain["junit"]):
        ET.fromstring(text)  # noqa: S314  it is our own
    tags = [{tag for tag, _ in Page(one["report"]).elements} for one in (texts, plain)]
    assert tags[0] <= tags[1], "the report has elements of theirs"
    return f"shown as {visible(said).split(chr(10))[0][:60]}"


for _name, _said, _known in SAID:
    attempt(
        promised=PROMISE, known=_known, name=_name, what=f"everything that is said is {_said!r}"
    )(partial(_everywhere, _said))


@attempt(promised=PROMISE, known="anothrNick/github-tag-action#357")
def log_line_with_commands(place: Path) -> str:
    """The last lines of a crashing app's log hold commands behind carriage returns."""
    log = place / "app.log"
    log.write_text(visible("2026-01-01T00:00:00Z x\r::add-mask::a\r\n::error::b\n##vso[c]d\n"))
    failed = task("app", 1, state="failed", desired="shutdown", error="exit\n::error::e")
    lines = diagnosis(look(failed, services=("app",)), {"app": log})
    assert commands("\n".join(map(visible, lines))) == []
    assert all(f"{MARK}" in line for line in lines if "add-mask" in line or "vso" in line)
    return lines[-3].strip()


@attempt(promised="a run directory from another job is data: its text is shown as text")
def results_of_a_stranger(place: Path) -> str:
    """A results.json that another job wrote names a recipe with a command in it."""
    run: RunResult = full("a\n::set-output name=verdict::passed\r##[add-mask]x")
    run.write(place)
    read = results.read(place)
    assert read is not None
    lines, code = verify.judge([], [read])
    assert code != 0
    assert commands("\n".join(map(visible, lines))) == []
    return f"not planned, exit code {code}"


@attempt(promised="a results.json that is not one is an unreadable run, never a pass")
def results_of_another_kind(place: Path) -> str:
    """A results.json has numbers where texts belong, is nested deeply, huge, a link, a pipe."""
    whole = json.loads(full("a").to_json())
    (place / "whole").mkdir()
    (place / "whole" / results.RESULTS_FILE).write_text(json.dumps(whole))
    assert summary.of([place / "whole"])[1]
    for number, (key, value) in enumerate((
        ("verdict", []), ("stages", [{}]), ("recipe", {"a": 1}), ("seconds", "1e9"),
        ("warnings", [{"code": "no-such"}]), ("diagnosis", 5), ("plan", None),
    )):  # fmt: skip
        directory = place / str(number)
        directory.mkdir()
        (directory / results.RESULTS_FILE).write_text(json.dumps({**whole, key: value}))
        assert not summary.of([directory])[1], f"{key}={value!r} was taken for a run"
    strange = place / "strange" / results.RESULTS_FILE
    strange.parent.mkdir()
    for make in (
        lambda: strange.write_text("[" * 100_000),
        lambda: strange.write_text(" " * results.MOST_BYTES + json.dumps(whole)),
        lambda: strange.symlink_to(place / "whole" / results.RESULTS_FILE),
        lambda: os.mkfifo(strange),
    ):
        make()
        assert not summary.of([strange.parent])[1]
        strange.unlink()
    return "each is listed as unreadable, exit code 3"
