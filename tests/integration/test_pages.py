"""The report and the page of all recipes in a real browser: on phones, by keyboard, in the dark."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.measured import Resources, StageResources
from harness.core.model import Outcome, Stage
from harness.report import html
from harness.report.results import Revision, RunResult
from harness.report.site.command import write
from harness.run.screenshot import Browser
from harness.verdict.decide import Verdict
from tests.integration.own_browser import Window, window
from tests.unit.report.test_report_html import LOG, full

pytestmark = pytest.mark.xdist_group("browser-window")

PHONE, DESKTOP = 390, 1280
LONG = "a-word-that-" + "never-ends-" * 30 + " and_one_without_any_" + "hyphen" * 40
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true })"
# What sticks out of the page to the right, but for what scrolls by itself.
STICKS_OUT = """[...document.querySelectorAll('body *')]
  .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
  .filter(one => !one.closest('pre, .scroll, .skip') || one.matches('pre, .scroll'))
  .filter(one => !one.closest('thead'))
  .map(one => one.outerHTML.slice(0, 80))"""
# Texts whose colour is too near to that behind them: below 4.5 to 1 (WCAG 2.2, 1.4.3).
FAINT = """(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  let seen = 0;
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !one.getClientRects().length) continue;
    const style = getComputedStyle(one), svg = one instanceof SVGElement;
    const [a, b] = [parts(svg ? style.fill : style.color), behind(one)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim().slice(0, 40)}`);
  }
  return {seen, faint};
})()"""
FOCUSED = """(() => { const one = document.activeElement;
  return `${one.localName} ${one.textContent.trim().slice(0, 40)}` })()"""


@pytest.fixture(scope="module", name="shown")
def shown_fixture(browser: Browser) -> Iterator[Window]:
    """A window, on a machine with a browser."""
    with window(browser) as made:
        yield made


def ended(outcome: Outcome, said: str = "said") -> RunResult:
    """Return a run that has something of everything and ended like that."""
    passed = outcome is Outcome.PASSED
    cause, stage = ("", "") if passed else (f"{said}\n  next: {said}", "upgrade")
    return full(said, verdict=Verdict(outcome=outcome, exit_code=1, cause=cause, stage=stage))


def report(shown: Window, run: RunResult, log: str = LOG) -> Path:
    """Write the run's report where the browser may read it."""
    path = shown.folder / "report.html"
    path.write_text(html.render(run, {"app": log}), encoding="utf-8")
    return path


def site(shown: Window, tmp_path: Path, said: str = "said") -> Path:
    """Write the page of some runs, with their reports, where the browser may read it."""
    folder = shown.folder / tmp_path.name
    for number, outcome in enumerate([*Outcome, Outcome.PASSED]):
        one = replace(
            ended(outcome, said), recipe=f"r{min(number, 3)}-{said}", run=f"run{number}",
            started=f"2026-01-0{number + 1}T12:00:00+00:00", head=Revision(commit="a", ref="main"),
            base=None, settings={},
        )  # fmt: skip
        (folder / one.run).mkdir(parents=True)
        one.write(folder / one.run)
        text, problem = html.try_to_render(one, folder / one.run)
        assert problem == ""
        (folder / one.run / html.HTML_FILE).write_text(text)
    write([folder])
    return folder / "site" / "index.html"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("said", ["said", LONG])
def test_nothing_sticks_out(shown: Window, tmp_path: Path, width: int, said: str) -> None:
    """Neither on a phone nor on a desk, with everything unfolded, whatever a recipe is called."""
    for page in (report(shown, ended(Outcome.FAILED, said)), site(shown, tmp_path, said)):
        shown.open(page, width=width)
        shown.value(OPEN_ALL)
        assert shown.value("innerWidth") == width
        assert shown.value("document.documentElement.scrollWidth") <= width, page.name
        assert shown.value(STICKS_OUT) == [], page.name


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_text_can_be_read(
    shown: Window, tmp_path: Path, outcome: Outcome, *, dark: bool
) -> None:
    """By its contrast, on a machine that prefers light and on one that prefers dark."""
    for page in (report(shown, ended(outcome)), site(shown, tmp_path)):
        shown.open(page, width=DESKTOP, dark=dark)
        shown.value(OPEN_ALL)
        found = shown.value(FAINT)
        assert found["seen"] > 40, page.name
        assert found["faint"] == [], page.name
        paper = shown.value("getComputedStyle(document.body).backgroundColor")
        assert (int(paper[4:].partition(",")[0]) < 128) is dark, page.name


def test_a_phone_answers_without_scrolling(shown: Window) -> None:
    """May I merge, what broke, how do I see it: all of that is on the first screen."""
    shown.open(report(shown, ended(Outcome.FAILED)), width=PHONE, height=844)
    for selector in (".answer", ".cause", ".see", ".command"):
        bottom = f"document.querySelector('#verdict {selector}').getBoundingClientRect().bottom"
        assert shown.value(bottom) < 844, selector


def test_a_phone_shows_all_stages_and_whole_lines_of_logs(shown: Window) -> None:
    """Nothing of these has to be pushed sideways to be read."""
    stages = tuple(
        StageResources(
            stage=str(stage), healthy_seconds=123.4, memory={"app": 999 << 20},
            volumes={"data": 999 << 20},
        )
        for stage in Stage
    )  # fmt: skip
    run = replace(ended(Outcome.FAILED), resources=Resources(stages=stages))
    page = report(shown, run, f"{LOG}\n2026-01-01T12:00:04.6Z {'one after another ' * 20}")
    shown.open(page, width=PHONE)
    shown.value(OPEN_ALL)
    wide = "[...document.querySelectorAll('.scroll, .log')].filter(o => o.scrollWidth > {})"
    assert shown.value("document.querySelectorAll('.scroll, .log').length") > 3
    assert shown.value(f"{wide.format('o.clientWidth')}.map(o => o.className)") == []


def test_the_report_is_read_by_keyboard(shown: Window) -> None:
    """Past the head, to what decided, and into what is folded."""
    shown.open(report(shown, ended(Outcome.FAILED)), width=DESKTOP)
    shown.press("Tab")
    assert shown.value(FOCUSED) == "a Skip to the stages"
    shown.press("Enter")
    assert shown.value("document.activeElement.id") == "stages"
    folded = "document.querySelector('details.assertion:not([open]) > summary')"
    for _ in range(20):
        shown.press("Tab")
        if shown.value(f"document.activeElement === {folded}"):
            break
    else:
        pytest.fail("no Tab leads to the first assertion that is folded")
    assert shown.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.press("Enter")
    assert shown.value("document.activeElement.parentElement.open") is True


def test_a_phone_tells_what_was_not_reached(shown: Window, tmp_path: Path) -> None:
    """What was not asked for is no news there, and is left out."""
    folder = shown.folder / tmp_path.name
    for name, settings in (("stopped", {}), ("asked", {"stages": "install (--stages)"})):
        run = replace(ended(Outcome.ABORTED), recipe=name, run=name, settings=settings)
        (folder / name).mkdir(parents=True)
        replace(run, stages=run.stages[:1]).write(folder / name)
    write([folder])
    shown.open(folder / "site" / "index.html", width=PHONE)
    said = "document.querySelector('#{}').innerText"
    assert shown.value(said.format("stopped")).count("not reached") == 4
    assert "not asked for" not in shown.value(said.format("asked"))


def test_the_report_fetches_nothing(shown: Window) -> None:
    """No request besides the file itself; its own style is let in by its policy."""
    shown.open(report(shown, ended(Outcome.FAILED)), width=DESKTOP)
    assert shown.value("performance.getEntriesByType('resource').map(one => one.name)") == []
    assert shown.value("getComputedStyle(document.querySelector('section')).borderStyle") == "solid"


def test_the_page_of_all_recipes_leads_to_reports_and_badges(shown: Window, tmp_path: Path) -> None:
    """A row for each recipe, its stages, a bar for each run; and links that lead somewhere."""
    page = site(shown, tmp_path)
    shown.open(page, width=DESKTOP)
    assert shown.value("document.querySelectorAll('tbody tr').length") == 4
    assert shown.value("document.querySelectorAll('.bars rect').length") == 6
    assert shown.value("document.querySelectorAll('#r3-said td.stage').length") == 5
    links = shown.value("[...document.querySelectorAll('a')].map(one => one.href)")
    assert len(links) == 4 * 3 + 6 + 1  # a row's badges and report, the bars, the data
    for link in links:
        target = Path(link.removeprefix("file://"))
        assert target.is_file(), link
        shown.open(target, width=DESKTOP)
        text = "document.documentElement.textContent"
        assert "said" in shown.value(text), link
