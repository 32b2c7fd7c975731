"""The lint of a run: which program speaks, of what commit, and when it stops the run."""

from pathlib import Path
from typing import Any

import pytest

from harness.__main__ import main
from harness.core.errors import InvalidRecipeError, SourceError
from harness.core.model import LintReport, Outcome, RuleResult
from harness.core.settings import Settings
from harness.lint import linting
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.repo import Repo
from harness.report import junit
from harness.report.results import RESULTS_FILE, read
from harness.report.terminal import lint_lines
from tests.unit.fake_abra import calls, environ_with, make_abra
from tests.unit.lint.test_lint_checks import GOOD
from tests.unit.report.test_junit import read as read_junit
from tests.unit.report.test_junit import result
from tests.unit.run.test_subject import commit, release

ENTRY = Entry(name="made", source="s")
TABLE = "| REF | RULE | SATISFIED |\\n| R008 | a sample | ❌ |\\n"
SPEAKS = f"[ $1 = --version ] && echo abra version 0.10.0 && exit; printf '{TABLE}'"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good recipe, and a branch of it without its settings and with a database without checks."""
    path = tmp_path_factory.mktemp("lint") / "origin.git"
    worse = {key: value for key, value in GOOD.items() if key != ".env.sample"}
    stream = [
        commit("refs/heads/main", 1, GOOD),
        release("1.0.0+1", 1),
        commit("refs/heads/worse", 2, worse, parent=1),
        "reset refs/tags/loose\nfrom :1\n\n",
    ]
    import_history(path, "".join(stream).encode(), branch="main")
    return path


@pytest.fixture
def repo(origin: Path, tmp_path: Path) -> Repo:
    """The run's own clone of it."""
    return clone(str(origin), tmp_path / "recipe", timeout=20)


def linted(repo: Repo, tmp_path: Path, environ: dict[str, str], **changes: Any) -> LintReport:  # noqa: ANN401  any setting
    """Return what a lint says."""
    settings = Settings(cache=tmp_path / "cache", **changes)
    report = linting.lint(ENTRY, repo, settings, environ, work=tmp_path)
    assert report is not None
    return report


def test_without_abra_our_own_checks_speak_of_the_head_and_of_all_tags(
    repo: Repo, tmp_path: Path
) -> None:
    """The report says who spoke; a tag need not be a release to be refused by abra."""
    report = linted(repo, tmp_path, {})
    assert (report.program, report.gate, report.notes) == ("cc-ci", False, ())
    assert [(r.rule, r.reason) for r in report.broken()] == [("R014", "loose is a lightweight one")]


def test_the_commit_under_test_is_read_and_not_what_lies_in_the_runs_checkout(
    repo: Repo, tmp_path: Path
) -> None:
    """Hooks and steps may have changed the checkout; and a branch is not in a clone of a clone."""
    repo.checkout(repo.resolve("main"))
    (repo.path / "compose.yml").write_text("no: recipe\n")
    report = linted(repo, tmp_path, {}, ref="worse")
    assert [rule.rule for rule in report.broken("error")] == ["R008", "R014"]


def test_an_abra_speaks_first_in_a_directory_of_the_runs_own(repo: Repo, tmp_path: Path) -> None:
    """Its recipe is a clone whose origin is on this disk, at the commit under test."""
    bin_ = tmp_path / "bin"
    look = '; git -C "$ABRA_DIR/recipes/made" remote get-url origin > "$HOME/origin"'
    make_abra(bin_, SPEAKS + look)
    report = linted(repo, tmp_path, environ_with(bin_))
    assert report.program == "abra 0.10.0"
    assert [(rule.rule, rule.outcome) for rule in report.rules] == [
        ("R008", Outcome.FAILED), ("B001", Outcome.PASSED),
    ]  # fmt: skip
    assert calls(bin_) == [["--version"], ["recipe", "lint", "made"]]
    assert (bin_ / "origin").read_text().strip() == str(repo.path)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo abra version 0.1.0", "abra 0.1.0 is too old"),
        ("[ $1 = --version ] && echo abra version 0.10.0 || echo FATA", "cannot parse the output"),
        ("[ $1 = --version ] && echo abra version 0.10.0 || echo 'panic: x'", "crashed"),
    ],
)
def test_an_abra_that_is_of_no_use_is_said_to_be_and_ours_speak(
    repo: Repo, tmp_path: Path, body: str, why: str
) -> None:
    """A lint is no gate by default: a bad abra must not stop a run, nor be silent."""
    make_abra(tmp_path / "bin", body)
    report = linted(repo, tmp_path, environ_with(tmp_path / "bin"))
    assert report.program == "cc-ci"
    assert len(report.rules) == 16
    (note,) = report.notes
    assert why in note


def test_what_goes_wrong_is_a_note_and_for_a_gate_an_error(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that could not be asked has not been passed."""

    def broken(*_: object, **__: object) -> None:
        raise SourceError("it broke")

    make_abra(tmp_path / "bin", "echo abra version 0.10.0")
    environ = environ_with(tmp_path / "bin")
    monkeypatch.setattr(linting, "clone", broken)
    report = linted(repo, tmp_path / "a", environ)
    assert (report.rules, report.notes) == ((), ("the recipe could not be linted: it broke",))
    with pytest.raises(SourceError, match="it broke"):
        linted(repo, tmp_path / "b", environ, lint="gate")


def test_a_ref_that_is_not_there_is_a_fault_of_the_call(repo: Repo, tmp_path: Path) -> None:
    """The same as without a lint."""
    with pytest.raises(SourceError):
        linted(repo, tmp_path, {}, ref="nowhere")


def test_switched_off_nothing_is_done(repo: Repo, tmp_path: Path) -> None:
    """Not even a clone."""
    assert linting.lint(ENTRY, repo, Settings(lint="off"), {}, work=tmp_path) is None
    assert not (tmp_path / "lint").exists()


def rule(number: str, level: str, outcome: Outcome) -> RuleResult:
    """Return a rule's result."""
    return RuleResult(rule=number, level=level, about="a", outcome=outcome, reason="why")


RULES = (
    rule("R001", "warn", Outcome.FAILED),
    rule("R008", "error", Outcome.FAILED),
    rule("R009", "error", Outcome.PASSED),
    rule("R006", "warn", Outcome.SKIPPED),
)


def test_only_a_gate_stops_a_run_and_only_for_errors() -> None:
    """A warning is a matter of taste; and without being asked to, a lint changes no verdict."""
    linting.require(LintReport(program="cc-ci", gate=False, rules=RULES), "made")
    linting.require(LintReport(program="cc-ci", gate=True, rules=RULES[:1]), "made")
    with pytest.raises(InvalidRecipeError, match="made breaks 1 lint rule") as caught:
        linting.require(LintReport(program="cc-ci", gate=True, rules=RULES), "made")
    assert caught.value.detail == "R008: a: why"


def test_the_terminal_says_who_spoke_the_counts_and_what_is_broken() -> None:
    """And what is not a gate is said not to be."""
    report = LintReport(program="abra 0.10.0", gate=False, rules=RULES, notes=("n",))
    assert lint_lines(report) == (
        "by abra 0.10.0: 1 rules hold, 2 broken, 1 not checked (not a gate)",
        "n",
        "R001 warn: a: why",
        "R008 error: a: why",
    )


@pytest.mark.parametrize(("gate", "failures"), [(False, "0"), (True, "1")])
def test_junit_counts_a_broken_rule_only_where_it_is_a_gate(*, gate: bool, failures: str) -> None:
    """A CI that counts failures would be red for a run that has passed."""
    run = result(lint=LintReport(program="cc-ci", gate=gate, rules=RULES))
    root = read_junit(run)
    suite = root.find("testsuite[@name='made.lint']")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("4", failures)
    first = suite.find("testcase[@name='R001 a']/skipped")
    assert first is not None
    assert first.get("message") == "cc-ci: broken, and no gate: why"
    assert "R009" in junit.render(run)


def test_results_json_holds_each_rule_and_is_read_back(tmp_path: Path) -> None:
    """A file of a harness that did not lint is read, too."""
    run = result(lint=LintReport(program="cc-ci", gate=True, rules=RULES, notes=("n",)))
    path = run.write(tmp_path)
    assert read(tmp_path) == run
    path.write_text(result().to_json().replace('"lint": null,', ""))
    assert '"lint"' not in (tmp_path / RESULTS_FILE).read_text()
    assert read(tmp_path) == result()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["#main"], 0, "1 broken"),
        (["#main", "--lint", "gate"], 1, "breaks 1 lint rule"),
        (["#main", "--lint", "off"], 0, "switched off"),
    ],
)
def test_the_command_needs_no_engine(
    origin: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    code: int,
    said: str,
) -> None:
    """Only a gate has an exit code other than 0."""
    argv = ["lint", f"{origin}{words[0]}", *words[1:]]
    assert main(argv, {"CCCI_CACHE": str(tmp_path)}) == code
    assert said in capsys.readouterr().out
