"""The lying recipes as data, and the judge of what came of them. Nothing is run here."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.core import proc
from harness.core.errors import InvalidRecipeError, UnknownNameError, UsageError
from harness.core.model import Origin, Outcome, Stage
from harness.images import samples
from harness.recipes import approval, yamlfile
from tests.truth import __main__ as command
from tests.truth import cases, runner, table
from tests.truth.cases import Case, Expected
from tests.truth.runner import Came, Row, judge

ALL = cases.load()
RAW: Mapping[str, Any] = {
    "what": "Nothing good.",
    "lie": 1,
    "word": "failed",
    "stage": "upgrade",
    "reason": "was.rolled? back",
    "exit-code": 1,
    "options": ["--stages", "upgrade"],
    "stages": {"install": "passed"},
    "assertions": [
        {"stage": "install", "nodeid": "test_a", "outcome": "passed", "message": "^$"},
    ],
}
CASE = Case.parse("liar", RAW)
RESULTS: Mapping[str, Any] = {
    "run": "liar-1",
    "verdict": {"outcome": "failed", "stage": "upgrade", "cause": "it was\nrolled back", "exit": 1},
    "stages": [
        {
            "stage": "install",
            "outcome": "passed",
            "assertions": [
                {"nodeid": "x/test_a", "origin": "overlay", "outcome": "passed", "message": ""}
            ],
        },
        {"stage": "upgrade", "outcome": "failed", "assertions": []},
    ],
}


def came(**changes: Any) -> Came:  # noqa: ANN401  any field
    """Return what should have come of CASE, but for the changes."""
    return Came(**{"exit_code": 1, "results": RESULTS, **changes})


def verdict(**changes: str) -> Came:
    """Return the same with another verdict."""
    return came(results={**RESULTS, "verdict": {**RESULTS["verdict"], **changes}})


def test_a_case_is_read_with_all_its_fields() -> None:
    """What `truth.toml` says arrives typed."""
    assert CASE.word is Outcome.FAILED
    assert CASE.options == ("--stages", "upgrade")
    assert CASE.stages == {Stage.INSTALL: Outcome.PASSED}
    assert CASE.assertions == (
        Expected(stage=Stage.INSTALL, nodeid="test_a", outcome=Outcome.PASSED, message="^$"),
    )
    assert CASE.assertions[0].origin is Origin.OVERLAY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resaon": "x"}, "did you mean reason"),
        ({"word": "red"}, "red"),
        ({"lie": 99}, "lie number 99"),
        ({"stage": "upgarde"}, "stage 'upgarde'"),
        ({"stages": {"instal": "passed"}}, "instal"),
        ({"reason": "("}, "unterminated"),
        ({"reason": ""}, "has one that says something"),
        ({"reason": ".*"}, "has one that says something"),
        ({"word": "passed"}, "a pass has no reason"),
        ({"assertions": [{"stage": "install", "outcome": "passed", "node": "x"}]}, "nodeid"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    """With the file's name: a typing error must not make a check that cannot fail."""
    with pytest.raises((UsageError, ValueError)) as refused:
        Case.parse("liar", {**RAW, **change})
    assert said in str(refused.value)
    (tmp_path / cases.TRUTH).write_text("word = 1")
    with pytest.raises(UsageError, match=cases.TRUTH):
        Case.load(tmp_path)


def test_a_case_without_a_key_that_it_needs_is_refused(tmp_path: Path) -> None:
    """A verdict that nobody wrote down cannot be compared with."""
    (tmp_path / cases.TRUTH).write_text('what = "x"\nlie = 0\nword = "passed"\n')
    with pytest.raises(UsageError, match="exit_code"):
        Case.load(tmp_path)


def test_cases_are_chosen_by_name() -> None:
    """All without one; a wrong one is refused with the nearest."""
    assert [case.name for case in cases.load(["rolled-back"])] == ["rolled-back"]
    assert {case.name for case in cases.load()} == set(cases.names())
    with pytest.raises(UnknownNameError) as refused:
        cases.load(["roled-back"])
    assert "rolled-back" in refused.value.hint


def test_what_is_right_has_no_problems() -> None:
    """The judge is content with just what the case asks for."""
    assert judge(CASE, came()) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (verdict(outcome="error"), "word: error instead of failed"),
        (verdict(stage="install"), "stage: install instead of upgrade"),
        (verdict(cause="it was slow"), "reason: ['it was slow'] instead of what matches"),
        (verdict(cause=""), "reason: nothing instead of what matches"),
        (came(exit_code=0), "exit code: 0 instead of 1"),
        (came(left=("volume x",)), "left in the engine: ['volume x'] instead of nothing"),
        (came(canaries=("ops.py",)), "left behind by the recipe's code: ['ops.py']"),
        (came(text="Traceback (most recent call last)"), "traceback"),
        (came(results={}, text="no engine"), "word: nothing instead of failed"),
        (came(results={**RESULTS, "stages": []}), "install: not run instead of passed"),
        (came(results={**RESULTS, "stages": []}), "no assertion of install"),
    ],
)
def test_each_thing_that_is_wrong_is_a_problem(wrong: Came, said: str) -> None:
    """A right word for a wrong reason is wrong, and so is a clean-up that forgot something."""
    assert any(said in problem for problem in judge(CASE, wrong)), judge(CASE, wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "generic"},
        {"outcome": "failed"},
        {"nodeid": "x/test_b"},
        {"message": "skipped"},
    ],
)
def test_an_assertion_that_differs_in_anything_is_not_the_one(change: dict[str, str]) -> None:
    """Each of its fields counts."""
    install, upgrade = RESULTS["stages"]
    other = {**install, "assertions": [{**install["assertions"][0], **change}]}
    problems = judge(CASE, came(results={**RESULTS, "stages": [other, upgrade]}))
    assert [problem for problem in problems if problem.startswith("no assertion")]


def test_warnings_have_to_be_there_or_not_at_all() -> None:
    """By their codes; without the key they are not looked at."""
    warned = came(results={**RESULTS, "warnings": [{"code": "no-page"}]})
    wants = Case.parse("liar", {**RAW, "warnings": ["no-page"]})
    assert judge(wants, warned) == judge(CASE, warned) == ()
    assert judge(wants, came()) == ("no warning no-page",)
    healthy = Case.parse("liar", {**RAW, "warnings": []})
    assert judge(healthy, came()) == ()
    assert judge(healthy, warned) == ("warnings: no-page instead of nothing",)
    with pytest.raises(ValueError, match="no-pagge"):
        Case.parse("liar", {**RAW, "warnings": ["no-pagge"]})


def test_a_case_that_names_no_stage_takes_any() -> None:
    """What is decided wherever it shows first is not pinned down."""
    anywhere = Case.parse("liar", {**RAW, "stage": ""})
    assert judge(anywhere, verdict(stage="custom")) == ()


def test_one_of_several_reasons_is_enough() -> None:
    """What may show in more than one way has each of them written down, and no other."""
    either = Case.parse("liar", {**RAW, "reason": ["no such thing", "rolled? back"]})
    assert judge(either, came()) == ()
    assert judge(either, verdict(cause="it was slow")) != ()


def test_a_pass_with_a_cause_is_not_a_pass() -> None:
    """Nothing may be wrong with it at all."""
    green = Case.parse("fine", {"what": "x", "lie": 0, "word": "passed", "exit-code": 0})
    results = {"verdict": {"outcome": "passed", "stage": "", "cause": ""}}
    assert judge(green, came(exit_code=0, results=results)) == ()
    results["verdict"]["cause"] = "but"
    assert judge(green, came(exit_code=0, results=results)) == (
        "reason: ['but'] instead of nothing",
    )


def test_the_table_shows_each_case_and_every_problem() -> None:
    """What it does, what had to come, what came, and all that is wrong, in full."""
    wrong = verdict(cause="it was slow")
    rows = [
        Row(case=CASE, came=came(), problems=()),
        Row(case=CASE, came=wrong, problems=judge(CASE, wrong)),
    ]
    console = Console(file=StringIO(), width=300, highlight=False, markup=False)
    table.show(console, rows)
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "Nothing good. (lie 1)" in shown
    assert "failed in upgrade: was.rolled? back" in shown
    assert "failed in upgrade: it was slow" in shown
    assert "liar: reason: ['it was slow'] instead of what matches was.rolled? back" in shown
    assert "1 of 2 recipes" in shown
    assert shown.count("WRONG") == 1


def test_the_command_line_is_refused_when_it_makes_no_sense(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unknown case ends before any engine is looked for."""
    assert command.main(["no-such-liar"], {}) == UsageError.exit_code
    assert "there is no lying recipe 'no-such-liar'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--jobs", "0"])


def test_every_broken_recipe_is_complete() -> None:
    """Each has a history of folders that exist, and one sentence that says what it does."""
    assert [case.name for case in ALL if not case.what.endswith((".", "?"))] == []
    missing = [
        str(folder)
        for case in ALL
        for commit in samples.read_history(case.folder)
        for folder in commit.folders
        if not folder.is_dir()
    ]
    assert missing == []


def test_a_commit_of_several_folders_has_the_last_ones_word(tmp_path: Path) -> None:
    """A lying recipe is the common one, with just its lie laid over it."""
    for folder, files in {"one": ("a", "b"), "two": ("b", "dot-c")}.items():
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).write_text(f"{name} of {folder}")
    (tmp_path / samples.HISTORY).write_text(
        '[[commit]]\nfolder = ["one", "two"]\ndate = 2025-01-01T00:00:00Z\nmessage = "x"\n'
    )
    made = tmp_path / "made.git"
    samples.build(tmp_path, made)

    def shown(name: str) -> str:
        return proc.run(["git", "show", f"main:{name}"], timeout=30, cwd=made).stdout

    assert [shown(name) for name in ("a", "b", ".c")] == ["a of one", "b of two", "dot-c of two"]


def test_every_overlay_and_approval_belongs_to_a_case() -> None:
    """One that is named otherwise would never be used."""
    overlays = {path.name for path in cases.OVERLAYS.iterdir() if path.is_dir()}
    approved = approval.Approvals.load(cases.OVERLAYS / approval.FILE).entries
    assert overlays | {one.recipe for one in approved} <= {case.name for case in ALL}
    assert all(one.source == f"{runner.MADE}{one.recipe}.git" for one in approved)


def test_every_way_to_lie_is_told_by_a_recipe() -> None:
    """At least one for each of the list, and at least twenty that must not be green."""
    assert {case.lie for case in ALL} == set(cases.LIES)
    assert len([case for case in ALL if case.word is not Outcome.PASSED]) >= 20


@pytest.mark.parametrize(
    "cause",
    [
        "the app did not come up: app: its task failed and is not started again (out of luck)",
        "the app had not settled after 120 s: app: 0/1 running (starting)",
        "_generic/test_install.py::test_every_service_has_converged: AssertionError: assert []",
        "the harness itself failed: KeyError: 'app'",
        "nothing was asserted (install: not asked for)",
    ],
)
def test_no_reason_fits_just_any_failure(cause: str) -> None:
    """One that does could not tell a wrong reason from the right one."""
    fitting = [case.name for case in ALL if case.reason and re.search(case.reason, cause)]
    assert fitting == []


def given_twice(folder: Path) -> bool:
    """Whether two compose files of a recipe give one service a health check's test."""
    files: dict[str, Path] = {}
    for commit in samples.read_history(folder):
        for one in commit.folders:
            files |= {path.name: path for path in one.iterdir() if path.is_file()}
        env = files["dot-env.sample"].read_text() if "dot-env.sample" in files else ""
        named = re.search(r'^COMPOSE_FILE="?([^"\n]+)', env, re.MULTILINE)
        found: list[str] = []
        for name in (named[1] if named else "compose.yml").split(":"):
            try:
                read: Any = yamlfile.parse(name, files[name].read_bytes())
            except (InvalidRecipeError, KeyError):
                continue  # such is this recipe
            services = read.get("services") if isinstance(read, dict) else None
            found += [
                service
                for service, raw in (services or {}).items()
                if isinstance(raw, dict) and "test" in (raw.get("healthcheck") or {})
            ]
        if len(found) != len(set(found)):
            return True
    return False


def test_a_health_check_means_what_it_says() -> None:
    """Docker adds the words of a second one to the first: a row might be right by luck."""
    twice = [case.name for case in ALL if given_twice(case.folder)]
    assert twice == ["check-in-two-files"]
