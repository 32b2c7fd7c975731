"""The HTML report: whole, alone, and deaf to whatever a recipe says."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import EXIT_ABORTED, EXIT_FAILED
from harness.core.measured import (
    Jump,
    Measure,
    Resources,
    Retry,
    Screenshot,
    StageResources,
    VolumeContent,
)
from harness.core.model import (
    Adaptation,
    Leak,
    NotShown,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.report import html
from harness.report.html import logs, view
from harness.report.results import Revision, RunResult
from harness.verdict.decide import Verdict
from tests.unit.report.test_junit import assertion, result

VOID = {"meta", "img", "br", "rect", "link", "input", "hr"}
HOSTILE = "</pre></details><script>alert(1)</script><img src=//x.test/y onerror=a()>&amp;\"'"
PNG = b"\x89PNG\r\n a picture"
FETCHING = {"src", "href", "action", "data", "poster", "srcset", "background", "xlink:href"}


class Page(HTMLParser):
    """The page as elements; nesting that does not close is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element in."""
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the one that is open."""
        if tag not in VOID:
            assert self.open, f"{tag} ends and nothing is open"
            assert self.open.pop() == tag, f"{tag} ends something else"

    def handle_data(self, data: str) -> None:
        """Take text in; a style sheet's is none."""
        if "style" not in self.open:
            self.text.append(data)

    @property
    def said(self) -> str:
        """All text."""
        return "".join(self.text)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of each such element."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]


def stage(name: Stage, outcome: Outcome, *asserted: Any, **changes: Any) -> StageResult:  # noqa: ANN401
    """Return a stage's result, half a minute after the run began."""
    fields: dict[str, Any] = {
        "op_seconds": 3.0, "wait_seconds": 2.0, "assert_seconds": 1.0,
        "started": "2026-01-01T12:00:02+00:00",
    }  # fmt: skip
    return StageResult(stage=name, outcome=outcome, assertions=asserted, **{**fields, **changes})


def full(said: str = "said", **changes: Any) -> RunResult:  # noqa: ANN401  any field
    """Return a failed run that has something of everything, each text of it that one."""
    bad = assertion(
        Outcome.FAILED, nodeid=f"r/t.py::test_bad[{said}]", message=said, output=said, source=said,
        line=3, at="2026-01-01T12:00:05+00:00",
    )  # fmt: skip
    upgrade = {
        "labels_before": {"app": {"a": said, "v": "1", "same": "s"}},
        "labels_after": {"app": {"v": "2", "new": said, "same": "s"}},
        "images_before": {"app": said},
        "images": {"app": "nginx:2", "worker": said},
        "hooks": [{"service": said, "label": "x", "output": said}],
        "install_steps": [said],
    }
    fields: dict[str, Any] = {
        "recipe": said, "source": said, "domain": said, "run": said, "repeat": f"nox {said}",
        "verdict": Verdict(outcome=Outcome.FAILED, exit_code=EXIT_FAILED, stage="upgrade",
                           cause=f"{said}\nlikely cause: {said}"),
        "head": Revision(commit="a" * 40, ref=said, version=said),
        "base": Revision(commit="b" * 40, ref=said, version=said),
        "plan": ("install",), "left_out": (said,), "engine": {said: said}, "settings": {said: said},
        "adaptations": (Adaptation(kind=said, subject=said, detail=said),),
        "teardown": TeardownResult(outcome=Outcome.PASSED, reason=said, seconds=1.0,
                                   removed={said: 2}, left=(said,)),
        "diagnosis": (said,),
        "resources": Resources(
            stages=(StageResources(stage="install", healthy_seconds=2.5, memory={said: 2 << 20},
                                   images={said: 7 << 20}, volumes={said: 9 << 20}),),
            images={said: 3 << 20}, volumes={said: 5 << 20}, compared_with=said, notes=(said,),
            jumps=(Jump(measure=Measure.MEMORY, subject=said, before=1.0, now=2.0, fails=True),),
        ),
        "snapshot": (VolumeContent(volume=said, mounts={said: said}, declared=said),),
        "screenshots": (Screenshot(stage="install", file="screenshots/install.png", url=said,
                                   status=200, said=said),
                        Screenshot(stage="restore", said=said)),
        "retries": (Retry(at="2026-01-01T12:00:03+00:00", text=said),),
        "leaks": (Leak(secret=said, encoding=said, place=said, count=1, known=said),),
        "repeat_exactly": f"nox {said} --ref a", "backup_driver": said,
    }  # fmt: skip
    stages = (
        stage(Stage.INSTALL, Outcome.PASSED, assertion(Outcome.PASSED, nodeid="g/t.py::test_good")),
        stage(Stage.UPGRADE, Outcome.FAILED, bad, reason=said, facts=upgrade),
        StageResult(stage=Stage.BACKUP, outcome=Outcome.ABORTED, reason=said),
    )
    return result(*stages, **{**fields, **changes})


def rendered(run: RunResult, written: Mapping[str, str] | None = None) -> tuple[str, Page]:
    """Return the report as text and as elements."""
    text = html.render(run, written or {}, {"screenshots/install.png": PNG})
    return text, Page(text)


def test_nothing_is_fetched_and_nothing_is_run() -> None:
    """It is opened from an artifact, by people on a train, and it is made of strangers' words."""
    text, page = rendered(full(), {"app": "x"})
    for tag, found in page.elements:
        for name in FETCHING & found.keys():
            assert found[name].startswith(("#", "data:image/png;base64,")), (tag, name, found[name])
        assert not [name for name in found if name.startswith("on")], tag
        assert "style" not in found, f"the policy refuses a style attribute: {tag}"
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "link", "object", "embed", "form", "base"}
    (css,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in css
    assert "@import" not in css


def test_the_policy_lets_only_its_own_style_and_pictures_in() -> None:
    """Should an escape fail one day, a browser still runs nothing; the style's hash is right."""
    text, page = rendered(full())
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    (css,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy["content"].split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_whatever_a_recipe_says_is_text() -> None:
    """In every field that there is, and in the logs."""
    plain, hostile = rendered(full("A"), {"A": "A"}), rendered(full(HOSTILE), {HOSTILE: HOSTILE})
    assert [tag for tag, _ in plain[1].elements] == [tag for tag, _ in hostile[1].elements]
    assert HOSTILE in hostile[1].said
    assert "<script" not in hostile[0]
    assert hostile[0].count("alert(1)") > 40, "every field is shown"


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\u202e", "\u2066", "\ud800", "\x85"])
def test_nothing_steers_the_reader(bad: str) -> None:
    """No control character, nothing that turns the direction of writing, no half of a character."""
    text, _ = rendered(full(f"a{bad}b"))
    assert bad not in text
    assert f"a{ascii(bad)[1:-1]}b" in text
    assert text.encode()


def test_the_verdict_and_its_cause_come_first() -> None:
    """The order is that of the questions: may I merge, what broke, how do I see it."""
    _, page = rendered(full("the cause"))
    sections = [found["id"] for found in page.all("section")]
    assert sections == [
        "verdict", "stages", "assertions", "page", "logs", "adaptations", "upgrade", "snapshot",
        "resources", "secrets", "retries", "repeat",
    ]  # fmt: skip
    assert page.said.index("Do not merge: the recipe is wrong.") < page.said.index("Time line")
    assert page.said.index("nox the cause --ref a") < page.said.index("Time line")
    (link, *_) = page.all("a", href="#decisive")
    assert link
    (decisive,) = page.all("details", id="decisive")
    assert decisive["data-nodeid"] == "r/t.py::test_bad[the cause]"


@pytest.mark.parametrize(
    ("verdict", "link"),
    [
        ({"stage": "backup"}, "#stage-backup"),
        ({"stage": ""}, "#secrets"),
    ],
)
def test_what_broke_is_one_click_away(verdict: Mapping[str, str], link: str) -> None:
    """Where no assertion decided: the stage, or what leaked, or what it took, or the time line."""
    cause = Verdict(outcome=Outcome.ERROR, exit_code=3, cause="x", stage=verdict["stage"])
    _, page = rendered(full(verdict=cause))
    assert page.all("a", href=link)
    assert page.all("a", href="#resources") == []
    unsaid = replace(cause, stage="")
    assert rendered(full(verdict=unsaid, leaks=()))[1].all("a", href="#resources")
    bare = full(verdict=unsaid, leaks=(), resources=None)
    assert rendered(bare)[1].all("a", href="#stages")
    assert not page.all("details", id="decisive")


def test_what_grew_is_said_once() -> None:
    """Of several stages the first, or the first that fails; the others are named behind it."""
    jumps = [
        Jump(measure=Measure.VOLUME, subject="data", stage=stage, before=1.0, now=3.0, fails=fails)
        for stage, fails in (("install", False), ("upgrade", True), ("backup", True))
    ]
    other = Jump(measure=Measure.HEALTHY, subject="", stage="install", before=1.0, now=30.0)
    run = full(resources=Resources(jumps=(*jumps, other), compared_with="x"))
    (first, second) = view.grown(run)
    assert (first.fails, first.also, second.also) == (True, ("install", "backup"), ())
    _, page = rendered(run)
    assert "size of the volume data in upgrade: 3 B, was 1 B (3.0 times); also in" in page.said
    assert "2 jumped" in page.said


def test_sizes_stand_by_stage() -> None:
    """Memory and images by service, volumes, and the wait."""
    stages = (
        StageResources(stage="install", healthy_seconds=1.0, memory={"app": 1}, images={"app": 2}),
        StageResources(stage="custom", memory={"app": 3}, volumes={"data": 4}),
    )
    run = full(resources=Resources(stages=stages))
    assert view.taken(run) == (
        ("memory of app", (1, 3)), ("image of app", (2, None)), ("volume data", (None, 4)),
    )  # fmt: skip
    assert "volume data" in rendered(run)[1].said


def test_it_says_who_deployed_and_who_backed_up() -> None:
    """A verdict of another program is another verdict."""
    text, _ = rendered(result(platform="abra", backup_driver="backupbot"))
    assert ", platform abra, backups by backupbot" in text
    text, _ = rendered(result(stage(Stage.INSTALL, Outcome.PASSED)))
    assert "backups by" not in text


def test_a_run_that_does_not_show_everything_does_not_say_merge() -> None:
    """The reader of the report did not type the command; what is missing is listed."""
    green = Verdict(outcome=Outcome.PASSED, exit_code=0)
    missing = (NotShown(stage=Stage.UPGRADE, why="no older <release>"),)
    text, page = rendered(result(verdict=replace(green, not_shown=missing)))
    assert "but upgrade was not shown in full." in page.said
    assert "upgrade: no older <release>" in page.said
    assert "you may merge" not in text.lower()
    text, _ = rendered(result(verdict=green))
    assert "You may merge" in text
    failed = Verdict(outcome=Outcome.FAILED, exit_code=EXIT_FAILED, not_shown=missing)
    text, page = rendered(result(verdict=failed))
    assert "Do not merge" in text
    assert "no older <release>" not in page.said


def test_what_the_verdict_does_not_rest_on_stands_below_it() -> None:
    """A reader of the word reads it, too."""
    _, page = rendered(full(left_out=("a witness in volume data",)))
    assert "left out a witness in volume data" in page.said


def test_warnings_stand_in_the_box_of_the_verdict() -> None:
    """Code, stage, text and next step; the reason of one that is accepted."""
    seen = RunWarning(
        code=WarningCode.VOLUME_ORPHANED, text="<b> is orphaned", next="mount it",
        stage=Stage.UPGRADE,
    )  # fmt: skip
    known = RunWarning(code=WarningCode.NO_PAGE, text="no page", accepted="an API only")
    green = Verdict(outcome=Outcome.PASSED, exit_code=0)
    text, page = rendered(result(verdict=green, warnings=(seen, known)))
    box = text.partition('id="verdict"')[2].partition("</section>")[0]
    for wanted in ("volume-orphaned in upgrade", "Next: mount it", "Accepted: an API only"):
        assert wanted in box
    assert "<b> is orphaned" in page.said
    assert "You may merge if you accept the warning" in box


def test_what_is_equal_stands_once() -> None:
    """A ref that is the commit, and volumes that each stage has already."""
    commit = "a" * 40
    page = rendered(full(head=Revision(commit=commit, ref=commit), repeat_exactly=""))[1]
    assert commit not in page.said.replace("--ref", "")
    older = full(resources=Resources(volumes={"old": 1 << 20}))
    assert "old" in rendered(older)[1].said
    staged = StageResources(stage="install", volumes={"kept": 1})
    both = full(resources=Resources(stages=(staged,), volumes={"kept": 1}))
    assert rendered(both)[1].said.count("kept") == 1


def test_where_a_secret_leaked_is_in_the_report() -> None:
    """Also one that is known, which fails nothing and is masked all the same."""
    leak = Leak(secret="admin", encoding="hex", place="logs/app.log", count=2, known="shown once")  # noqa: S106
    _, page = rendered(full(leaks=(leak,)))
    assert "logs/app.log" in page.said
    assert "shown once" in page.said
    assert "None was found." in rendered(full(leaks=()))[1].said


def test_every_assertion_is_there_and_those_that_failed_are_open() -> None:
    """With its origin, what it said, what it printed and what it is."""
    run = full()
    text, page = rendered(run)
    for one in (one for part in run.stages for one in part.assertions):
        assert page.all("details", **{"data-nodeid": one.nodeid})
        assert one.nodeid.partition("::")[2] in page.said
        assert str(one.origin) in page.said
    opened = ["open" in found for found in page.all("details", **{"class": "assertion"})]
    assert opened == [False, True]
    assert text.count("Source") + text.count("Its source") == 1


def test_every_stage_is_a_bar_with_its_parts_apart() -> None:
    """Also those of which nothing was done; together they fill the run."""
    bars = view.timeline(full())
    assert [bar.name for bar in bars] == ["preparation", "install", "upgrade", "backup", "teardown"]
    assert [(part.kind, part.seconds) for part in bars[1].segments] == [
        ("op", 1.0), ("wait", 2.0), ("assertions", 1.0),
    ]  # fmt: skip
    assert bars[0].seconds == 2.0
    assert bars[3].segments == ()
    (down,) = bars[4].segments
    assert (down.start, down.width) == (92.0, 8.0)
    inside = [part for bar in bars for part in bar.segments]
    assert all(0 <= part.start <= part.start + part.width <= 100.01 for part in inside)


def test_the_upgrade_is_a_diff() -> None:
    """Removed, changed and added labels and images; what stayed is counted."""
    app, worker = view.changes(full("x"))
    assert [(one.sign, one.text) for one in app.labels] == [
        ("-", "a=x"), ("+", "new=x"), ("-", "v=1"), ("+", "v=2"),
    ]  # fmt: skip
    assert [(one.sign, one.text) for one in app.images] == [("-", "x"), ("+", "nginx:2")]
    assert app.same == 1
    assert [(one.sign, one.text) for one in worker.images] == [("+", "x")]


LOG = """\
--- task t1 slot 1 running
2026-01-01T12:00:01.000000001Z early
2026-01-01T12:00:04.5Z shortly before
 a line without a time
2026-01-01T12:00:06Z late"""


def test_the_moment_of_failure_is_marked_in_each_log() -> None:
    """It stands between what was said before and after it; the seconds before it are tinted."""
    when = logs.moment(full())
    assert when is not None
    assert (when.clock, when.what) == ("12:00:05.000", "r/t.py::test_bad[said]: failed")
    found = logs.excerpt("app", LOG, when)
    assert [line.kind for line in found.lines] == [
        "task", "said", "near", "said", "moment", "said",
    ]  # fmt: skip
    assert [line.text for line in found.lines][1:3] == [
        "12:00:01.000 early", "12:00:04.500 shortly before",
    ]  # fmt: skip
    _, page = rendered(full(), {"app": LOG})
    assert "12:00:05.000 r/t.py::test_bad[said]: failed" in page.said
    assert len(page.all("span", **{"class": "moment"})) == 1, "the log is short: shown once"


def test_a_long_log_is_shown_around_the_moment() -> None:
    """And it is said how much is left out."""
    lines = [f"2026-01-01T12:{n // 60:02}:{n % 60:02}Z {n}" for n in range(1800)]
    when = logs.Moment(at=datetime(2026, 1, 1, 12, 10, 0, 5, UTC), what="x")
    found = logs.excerpt("app", "\n".join(lines), when)
    assert (found.lines[0].text, found.lines[-1].text) == (
        "301 lines before that are left out here",
        "1099 lines after that are left out here",
    )
    assert found.total == 1800
    shown = [line.text.rpartition(" ")[2] for line in found.lines[1:-1]]
    around = [line.text for line in found.around]
    assert (len(around), around[20], around[-1][-3:]) == (29, "12:10:00.000 x", "608")
    assert (shown[0], shown[299], shown[301], shown[-1]) == ("301", "600", "601", "700")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"verdict": Verdict(outcome=Outcome.PASSED, exit_code=0)}, None),
        (
            {"verdict": Verdict(outcome=Outcome.ABORTED, exit_code=EXIT_ABORTED, cause="stop")},
            "12:00:11.500 the run: aborted",
        ),
        (
            {"verdict": Verdict(outcome=Outcome.FAILED, exit_code=EXIT_FAILED, cause="it grew")},
            None,
        ),
        (
            {"stages": (stage(Stage.UPGRADE, Outcome.FAILED, assert_seconds=0.0),)},
            "12:00:05.000 upgrade: failed",
        ),
        (
            {
                "verdict": Verdict(
                    outcome=Outcome.ERROR, exit_code=2, stage="teardown", cause="left"
                )
            },
            "12:00:11.500 teardown: error",
        ),
    ],
)
def test_the_moment_is_when_it_was_decided(changes: dict[str, Any], expected: str | None) -> None:
    """Of an op when it gave up; of a run that was stopped when its removal began."""
    when = logs.moment(full(**{"stages": (), **changes}))
    assert (f"{when.clock} {when.what}" if when else None) == expected


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_run_that_never_began_has_a_report_too(outcome: Outcome) -> None:
    """Every word that a run can end in, with nothing but its cause."""
    verdict = Verdict(outcome=outcome, exit_code=1, cause="no engine")
    run = result(verdict=verdict, teardown=None)
    _, page = rendered(run)
    assert "no engine" in page.said
    assert view.sentence(run) in page.said


def test_it_is_for_phones_keyboards_and_both_kinds_of_light() -> None:
    """A view port, a link past the head, blocks that scroll by keyboard, links that lead there."""
    text, page = rendered(full(), {"app": LOG})
    assert page.all("meta", name="viewport")
    assert page.all("html", lang="en")
    assert page.all("a", **{"class": "skip", "href": "#stages"})
    assert all("tabindex" in found for found in page.all("pre"))
    for link in page.all("a"):
        assert link["href"].removeprefix("#") in page.ids
    assert len(page.ids) == len(set(page.ids))
    for wanted in ("prefers-color-scheme: dark", ":focus-visible", "max-width: 40rem"):
        assert wanted in text
    assert all(found.get("alt") for found in page.all("img"))


def test_a_picture_is_in_the_file_and_a_missing_one_is_said() -> None:
    """By the bytes that the run wrote, or by the reason."""
    text, page = rendered(full("why not"))
    (picture,) = page.all("img")
    assert base64.b64decode(picture["src"].partition(",")[2]) == PNG
    assert "why not" in text.partition("after restore")[2]


def test_it_is_made_of_what_the_run_left(tmp_path: Path) -> None:
    """From the logs and pictures that are there; what pytest printed is no service's log."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/app.log").write_text(LOG)
    (tmp_path / "logs/assertions.install.log").write_text("pytest's own")
    (tmp_path / "screenshots").mkdir()
    (tmp_path / "screenshots/install.png").write_bytes(PNG)
    text, problem = html.try_to_render(full(), tmp_path)
    page = Page(text)
    assert problem == ""
    assert "shortly before" in page.said
    assert "pytest's own" not in page.said
    assert page.all("img")


def test_a_report_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict stands, even if it cannot be shown."""
    monkeypatch.setattr(html, "render", lambda *_: 1 / 0)
    text, problem = html.try_to_render(full(), tmp_path)
    assert text == ""
    assert "report.html could not be written: ZeroDivisionError" in problem


def test_a_failed_upgrade_says_what_its_after_is() -> None:
    """Swarm may have rolled back: a diff without a change would lie."""
    assert "may have rolled back" in rendered(full())[1].said
    stages = [one for one in full().stages if one.stage is Stage.UPGRADE]
    passed = replace(stages[0], outcome=Outcome.PASSED, assertions=())
    assert "may have rolled back" not in rendered(full(stages=(passed,)))[1].said
