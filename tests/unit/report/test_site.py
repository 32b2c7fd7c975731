"""The page of all recipes: what a flake is, whose it is, and what stands on the page."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.core.errors import EXIT_USAGE
from harness.core.model import (
    DeployedImage,
    NotShown,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
    WarningCode,
)
from harness.report.results import Revision, RunResult
from harness.report.site import index
from harness.report.site.badges import COLOURS
from harness.report.site.command import write
from harness.report.site.flakes import Owner, flakes
from harness.report.site.page import file_name, rows
from harness.verdict.decide import Verdict
from tests.unit.report.test_leaks import RUN

EVIL = "<script>alert(1)</script>"


def run(
    number: int, outcome: str = "passed", *, head: str = "a" * 40, kind: str = "", **settings: str
) -> RunResult:
    """Return a run of a commit."""
    code = 0 if outcome == "passed" else 1
    return replace(
        RUN, run=f"run{number}", started=f"2026-01-{number:02}T00:00:00+00:00",
        head=Revision(commit=head, ref="main"), settings=settings,
        verdict=Verdict(outcome=Outcome(outcome), exit_code=code, cause=EVIL, kind=kind),
    )  # fmt: skip


def indexed(tmp_path: Path, *runs: RunResult) -> list[index.Indexed]:
    """Write runs, and return them as the index has them."""
    for one in runs:
        (tmp_path / one.run).mkdir(exist_ok=True)
        one.write(tmp_path / one.run)
    return index.refresh(tmp_path / "site" / "runs.sqlite", [tmp_path])[0]


@pytest.mark.parametrize(
    ("outcome", "kind", "owner"),
    [
        ("failed", "", Owner.RECIPE),
        ("error", "InternalError", Owner.HARNESS),
        ("error", "EngineError", Owner.TEST_BED),
        ("error", "", Owner.TEST_BED),
    ],
)
def test_a_flake_is_another_verdict_on_the_same(
    tmp_path: Path, outcome: str, kind: str, owner: Owner
) -> None:
    """The red run says whose it is."""
    got = flakes(indexed(tmp_path, run(1), run(2, outcome, kind=kind), run(3)))
    assert (got.compared, dict(got.owners)) == (3, {owner: 1})


def test_a_run_that_was_copied_counts_once(tmp_path: Path) -> None:
    """And it is read from the index as it was read from its file."""
    first = indexed(tmp_path, run(1))
    shutil.copytree(tmp_path / "run1", tmp_path / "copy")
    assert [one.run for one in indexed(tmp_path)] == ["run1"]
    shutil.rmtree(tmp_path / "copy")
    assert indexed(tmp_path) == first


def test_a_verdict_of_another_harness_is_no_flake(tmp_path: Path) -> None:
    """It may have learned to see what it did not see before."""
    runs = replace(run(1), harness="1a"), replace(run(2, "failed"), harness="1b")
    assert flakes(indexed(tmp_path, *runs)).compared == 0


def test_a_green_run_among_red_ones_is_the_flake(tmp_path: Path) -> None:
    """And its owner is whose the red ones are: what is seldom is not therefore all right."""
    got = flakes(indexed(tmp_path, run(1, "failed"), run(2), run(3, "failed")))
    assert dict(got.owners) == {Owner.RECIPE: 1}


def test_what_differs_is_not_compared(tmp_path: Path) -> None:
    """Another commit, other settings, or a run that was stopped: that says nothing of flakes."""
    runs = indexed(
        tmp_path, run(1), run(2, "failed", head="b" * 40),
        run(3, "failed", stages="install (--stages)"), run(4, "aborted"),
        replace(run(5, "error"), head=None),
    )  # fmt: skip
    assert flakes(runs).compared == 0
    alike = indexed(tmp_path, run(6, jobs="4 (--jobs)"))
    assert flakes(alike).compared == 2


def test_the_index_follows_the_directories(tmp_path: Path) -> None:
    """A changed run is read again, a removed one goes, one that cannot be read is told."""
    assert [one.outcome for one in indexed(tmp_path, run(1), run(2))] == ["passed", "passed"]
    (tmp_path / "run2" / "results.json").unlink()
    assert [one.outcome for one in indexed(tmp_path, run(1, "failed"))] == ["failed"]
    (tmp_path / "run1" / "results.json").write_text("{")
    _, unread = index.refresh(tmp_path / "site" / "runs.sqlite", [tmp_path])
    assert "results.json" in unread[0]


def test_the_page_and_the_badges(tmp_path: Path) -> None:
    """Nothing of a recipe's is markup, no name leads out of the directory, reports are linked."""
    evil = replace(run(2, "failed"), recipe=f"../{EVIL}")
    indexed(tmp_path, run(1), evil)
    (tmp_path / "run1" / "report.html").write_text("report")
    assert "2 run(s)" in write([tmp_path])
    text = (tmp_path / "site" / "index.html").read_text()
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert 'href="../run1/report.html"' in text
    assert 'href="../run2"' in text
    names = sorted(path.name for path in (tmp_path / "site" / "badges").iterdir())
    assert names[2:] == ["made.json", "made.svg"]
    assert len(names) == 4
    badge = json.loads((tmp_path / "site" / "badges" / "made.json").read_text())
    assert (badge["schemaVersion"], badge["label"], badge["message"]) == (1, "made", "passed")
    assert EVIL not in (tmp_path / "site" / "badges" / names[1]).read_text()


def test_a_wrong_call_is_told(tmp_path: Path) -> None:
    """It writes nothing."""
    assert main(["site", "--what"], {}) == EXIT_USAGE
    assert main(["site", str(tmp_path / "no")], {}) == EXIT_USAGE


@pytest.mark.parametrize(
    ("words", "came", "expected"),
    [
        ("", ["install", "upgrade"], ["not reached"] * 3),
        ("", [], ["not reached"] * 5),
        ("install", ["install"], ["not asked for"] * 4),
        ("custom", ["install", "upgrade", "custom"], ["not asked for"] * 2),
        ("upgrade", ["install"], ["not reached", *["not asked for"] * 3]),
    ],
)
def test_a_stage_that_is_not_there_says_why(
    tmp_path: Path, words: str, came: list[str], expected: list[str]
) -> None:
    """A run that was ended early did not leave the rest out: it never got there."""
    asked = (words,) if words else tuple(Stage)
    stages = tuple(
        StageResult(stage=Stage(one), outcome=Outcome.PASSED, op_seconds=2.0) for one in came
    )
    found = indexed(tmp_path, replace(run(1), stages=stages, asked=asked))
    (row,) = rows(found, tmp_path)
    assert [cell for cell in row.cells if isinstance(cell, str)] == expected


def test_the_page_is_there_as_data(tmp_path: Path) -> None:
    """Each recipe's last result, its stages, its history and its flakes; no path of the machine."""
    stages = (StageResult(stage=Stage.INSTALL, outcome=Outcome.PASSED, op_seconds=2.0),)
    indexed(tmp_path, *(replace(one, stages=stages) for one in (run(1), run(2, "failed"), run(3))))
    write([tmp_path])
    text = (tmp_path / "site" / "recipes.json").read_text()
    (recipe,) = json.loads(text)["recipes"]
    assert (recipe["recipe"], recipe["run"], recipe["outcome"]) == ("made", "run3", "passed")
    assert recipe["stages"]["install"]["median"] == 2.0
    assert recipe["history"] == ["passed", "failed", "passed"]
    assert recipe["flakes"] == {"count": 1, "compared": 3, "owners": {"recipe": 1}}
    assert str(tmp_path) not in text


@pytest.mark.parametrize("name", ["../x", ".hidden", "..", "a/b", "é", "a" * 300])
def test_the_name_of_a_badge_is_a_plain_file(name: str) -> None:
    """Whatever a recipe is called; two that are written alike are not the same file."""
    got = file_name(name)
    assert Path(got).name == got
    assert not got.startswith(".")
    assert got not in ("", file_name(f"{name}x"))
    assert len(f"{got}.json") < 255, "no file may have a longer one"


def test_a_pass_of_some_stages_is_not_a_green_badge(tmp_path: Path) -> None:
    """Nothing is known of the others; a failure of them is one all the same."""
    indexed(tmp_path, replace(run(1), asked=("install", "backup")))
    write([tmp_path])
    place = tmp_path / "site" / "badges" / "made.json"
    badge = json.loads(place.read_text())
    assert badge["message"] == "passed: install, backup only"
    assert badge["color"] == COLOURS[Outcome.SKIPPED]
    assert "passed: install, backup only" in place.with_suffix(".svg").read_text()
    assert "install, backup only" in (tmp_path / "site" / "index.html").read_text()
    indexed(tmp_path, replace(run(2, "failed"), asked=("install",)))
    write([tmp_path])
    assert json.loads(place.read_text())["color"] == COLOURS[Outcome.FAILED]


def test_a_pass_that_skipped_a_stage_is_not_a_green_badge(tmp_path: Path) -> None:
    """It was asked for everything, and could not show all of it; warnings stand in the row."""
    missing = (NotShown(stage=Stage.UPGRADE, why="no older release"),)
    seen = RunWarning(code=WarningCode.NO_PAGE, text="no <page>", stage=Stage.INSTALL)
    known = RunWarning(code=WarningCode.DATA_IN_LAYER, text="cache", accepted="made anew")
    one = run(1)
    verdict = replace(one.verdict, not_shown=missing)
    indexed(tmp_path, replace(one, verdict=verdict, warnings=(seen, known)))
    write([tmp_path])
    badge = json.loads((tmp_path / "site" / "badges" / "made.json").read_text())
    assert (badge["message"], badge["color"]) == (
        "passed: without upgrade",
        COLOURS[Outcome.SKIPPED],
    )
    page = (tmp_path / "site" / "index.html").read_text()
    assert "1 warning, 1 accepted" in page
    assert "no-page in install: no &lt;page&gt;" in page
    assert "(accepted: made anew)" in page
    (recipe,) = json.loads((tmp_path / "site" / "recipes.json").read_text())["recipes"]
    assert recipe["limits"] == "without upgrade"
    assert [one["where"] for one in recipe["warnings"]] == ["no-page in install", "data-in-layer"]


def deployed(digest: str, release: str = "head") -> DeployedImage:
    """Return the image that the app ran."""
    return DeployedImage(service="app", release=release, image="nginx:1", digest=digest)


def test_two_runs_of_one_tag_with_two_digests_are_not_a_flake(tmp_path: Path) -> None:
    """The image changed under the tag: that is news of the registry's, and no chance."""
    old, new = (deployed("sha256:a"),), (deployed("sha256:b"),)
    runs = (
        replace(run(1), images=old),
        replace(run(2), images=old),
        replace(run(3, "failed"), images=new),
    )
    got = flakes(indexed(tmp_path, *runs))
    assert (got.compared, got.count) == (2, 0)


def test_a_run_that_ended_before_its_image_was_known_is_compared_with_the_last(
    tmp_path: Path,
) -> None:
    """It contradicts nothing; a base that is known besides does not either."""
    old, new = deployed("sha256:a"), deployed("sha256:b")
    runs = (
        replace(run(1), images=(old,)),
        replace(run(2), images=(new, deployed("sha256:c", "base"))),
        replace(run(3, "error", kind="EngineError")),
        replace(run(4), images=(new,)),
    )
    got = flakes(indexed(tmp_path, *runs))
    assert (got.compared, dict(got.owners)) == (3, {Owner.TEST_BED: 1})


def test_a_run_without_results_is_told(tmp_path: Path) -> None:
    """Its recipe's last result is not its last run's."""
    indexed(tmp_path, run(1))
    (tmp_path / "run2" / "logs").mkdir(parents=True)
    said = write([tmp_path])
    assert f"left out  {tmp_path / 'run2'}: no results.json" in said
    assert "run1" not in said
