"""One word for a run: the first thing that went wrong decides, and a skip is no pass."""

from dataclasses import replace

import pytest

from harness.assertions.runner import judge
from harness.errors import AbortedError, EngineError
from harness.model import (
    NOTHING_ASSERTED,
    AssertionResult,
    Origin,
    Outcome,
    Stage,
    StageResult,
    TeardownResult,
)
from harness.report.verdict import conclude

ALL = frozenset(Stage)


def stage(name: Stage, outcome: Outcome, reason: str = "") -> StageResult:
    """Return a stage's result."""
    return StageResult(stage=name, outcome=outcome, reason=reason)


def assertion(outcome: Outcome, message: str = "") -> AssertionResult:
    """Return an assertion's result."""
    return AssertionResult(
        nodeid=f"t::{outcome}", origin=Origin.GENERIC, outcome=outcome, seconds=0, message=message
    )


def test_all_stages_passed_is_a_pass() -> None:
    """Exit code 0, and only then."""
    got = conclude([stage(s, Outcome.PASSED) for s in Stage], asked=ALL)
    assert (got.outcome, got.exit_code, got.cause) == (Outcome.PASSED, 0, "")


def test_a_skipped_upgrade_beside_passes_is_a_pass() -> None:
    """A recipe without releases is still tested."""
    results = [stage(Stage.INSTALL, Outcome.PASSED), stage(Stage.UPGRADE, Outcome.SKIPPED, "none")]
    assert conclude(results, asked=ALL).outcome is Outcome.PASSED


def test_only_skips_is_not_a_pass() -> None:
    """Nothing was asserted, so nothing is known: its own exit code."""
    got = conclude([stage(Stage.UPGRADE, Outcome.SKIPPED, "no release")], asked=ALL)
    assert (got.outcome, got.exit_code) == (Outcome.SKIPPED, 4)
    assert "no release" in got.cause


def test_a_pass_of_a_stage_that_was_only_needed_proves_nothing() -> None:
    """Asked for the upgrade, told that the install works: that is not an answer."""
    results = [stage(Stage.INSTALL, Outcome.PASSED), stage(Stage.UPGRADE, Outcome.SKIPPED, "x")]
    assert conclude(results, asked=frozenset({Stage.UPGRADE})).outcome is Outcome.SKIPPED


SOME = [
    stage(Stage.INSTALL, Outcome.PASSED),
    stage(Stage.UPGRADE, Outcome.SKIPPED, "no older release"),
    stage(Stage.BACKUP, Outcome.SKIPPED, "nothing is labelled"),
    stage(Stage.CUSTOM, Outcome.SKIPPED, "none of its own"),
]


def test_a_skip_that_the_recipe_does_not_expect_is_no_pass() -> None:
    """It used to be backed up: what passed beside it must not hide that. The first one is named."""
    for expected, first in (({Stage.BACKUP}, SOME[1]), ({Stage.UPGRADE}, SOME[2]), ((), SOME[1])):
        got = conclude(SOME, asked=ALL, expected_skips=frozenset(expected))
        assert (got.outcome, got.exit_code, got.stage) == (Outcome.SKIPPED, 4, first.stage)
        assert got.cause.startswith(f"{first.stage} was skipped ({first.reason})\n")
        assert "EXPECTED_SKIPS" in got.cause


def test_skips_that_the_recipe_expects_are_a_pass_beside_others() -> None:
    """Its meta gives the reason of each; where it says nothing, any stage may be skipped."""
    for expected in (frozenset({Stage.UPGRADE, Stage.BACKUP}), None):
        assert conclude(SOME, asked=ALL, expected_skips=expected).exit_code == 0


def test_a_recipe_need_not_have_tests_of_its_own() -> None:
    """So its custom stage may be skipped, whatever else is expected."""
    assert conclude([SOME[0], SOME[3]], asked=ALL, expected_skips=frozenset()).exit_code == 0


@pytest.mark.parametrize("why", ["", ": no test file applies"])
def test_a_stage_without_assertions_is_no_skip_that_the_recipe_did_not_expect(why: str) -> None:
    """Its op went well; whoever leaves assertions out says nothing of the recipe."""
    bare = stage(Stage.BACKUP, Outcome.SKIPPED, f"{NOTHING_ASSERTED}{why}")
    none: frozenset[Stage] = frozenset()
    assert conclude([SOME[0], bare], asked=ALL, expected_skips=none).exit_code == 0
    got = conclude([SOME[0], bare, SOME[1]], asked=ALL, expected_skips=none)
    assert (got.exit_code, got.stage) == (4, "upgrade"), "and it hides no other"
    assert conclude([bare], asked=ALL, expected_skips=none).exit_code == 4


def test_a_stage_that_nobody_asked_for_may_be_skipped() -> None:
    """It is only there because another one needs it."""
    asked = frozenset({Stage.INSTALL})
    assert conclude(SOME, asked=asked, expected_skips=frozenset()).exit_code == 0


def test_an_expected_skip_is_still_nothing_asserted() -> None:
    """A run of only skips is no pass, however well they were explained."""
    got = conclude(SOME[1:], asked=ALL, expected_skips=ALL)
    assert (got.outcome, got.exit_code) == (Outcome.SKIPPED, 4)
    assert got.cause.startswith("nothing was asserted")


def test_what_is_wrong_says_more_than_a_skip_that_was_not_expected() -> None:
    """A stage that failed, a run that was stopped, a machine that was not left clean."""
    none: frozenset[Stage] = frozenset()
    bad = [*SOME, stage(Stage.RESTORE, Outcome.FAILED, "x")]
    assert conclude(bad, asked=ALL, expected_skips=none).exit_code == 1
    stopped = AbortedError("SIGINT")
    assert conclude(SOME, asked=ALL, expected_skips=none, stopped=stopped).exit_code == 130
    down = TeardownResult(outcome=Outcome.ERROR, reason="left a network")
    assert conclude(SOME, asked=ALL, expected_skips=none, teardown=down).exit_code == 3


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.FAILED, 1), (Outcome.ERROR, 3)])
def test_the_first_bad_stage_decides(outcome: Outcome, code: int) -> None:
    """What comes after it is an echo, and so is a teardown that fails too."""
    results = [
        stage(Stage.INSTALL, Outcome.PASSED),
        stage(Stage.UPGRADE, outcome, "why"),
        stage(Stage.BACKUP, Outcome.ABORTED, "upgrade did not pass"),
    ]
    down = TeardownResult(outcome=Outcome.ERROR, reason="left a network")
    got = conclude(results, asked=ALL, teardown=down)
    assert (got.outcome, got.exit_code, got.stage, got.cause) == (outcome, code, "upgrade", "why")


def test_a_teardown_that_leaves_something_is_an_error() -> None:
    """The app is fine, the machine is not clean."""
    down = TeardownResult(outcome=Outcome.ERROR, reason="left a network", left=("network x",))
    got = conclude([stage(Stage.INSTALL, Outcome.PASSED)], asked=ALL, teardown=down)
    assert (got.outcome, got.exit_code, got.stage) == (Outcome.ERROR, 3, "teardown")


def test_a_run_that_was_stopped_is_aborted() -> None:
    """Unless a stage was bad before it was stopped."""
    stopped = AbortedError("SIGINT")
    results = [stage(Stage.INSTALL, Outcome.PASSED), stage(Stage.UPGRADE, Outcome.ABORTED)]
    assert conclude(results, asked=ALL, stopped=stopped).exit_code == 130
    bad = [stage(Stage.INSTALL, Outcome.FAILED, "x")]
    assert conclude(bad, asked=ALL, stopped=stopped).outcome is Outcome.FAILED


def test_an_error_before_any_stage_keeps_its_own_code() -> None:
    """No engine is an error of the test bed."""
    got = conclude([], asked=frozenset(), stopped=EngineError("no engine"))
    assert (got.outcome, got.exit_code) == (Outcome.ERROR, 3)


def test_a_stage_of_skips_only_has_not_passed() -> None:
    """And neither has one of which nothing was collected."""
    assert judge([assertion(Outcome.SKIPPED, "x")]) == (Outcome.SKIPPED, "nothing asserted")
    assert judge([]) == (Outcome.SKIPPED, "nothing asserted")
    assert judge([assertion(Outcome.SKIPPED), assertion(Outcome.PASSED)])[0] is Outcome.PASSED


def test_the_first_bad_assertion_decides() -> None:
    """A broken app makes later assertions run into errors; a dead engine makes them fail."""
    failed, error = assertion(Outcome.FAILED, "f\nmore"), assertion(Outcome.ERROR, "e")
    assert judge([assertion(Outcome.PASSED), failed, error]) == (
        Outcome.FAILED,
        "t::failed: f (and 1 more)",
    )
    assert judge([error, failed])[0] is Outcome.ERROR


def test_a_child_that_died_is_an_error_whatever_it_wrote() -> None:
    """Half of the assertions is not all of them."""
    assert judge([assertion(Outcome.PASSED)], "it died") == (Outcome.ERROR, "it died")


def test_a_lock_that_a_stage_waits_for_in_vain_has_the_exit_code_of_locks() -> None:
    """The backup bot is taken in the middle of a run; it is an error all the same."""
    locked = replace(stage(Stage.BACKUP, Outcome.ERROR, "not free"), kind="LockTimeoutError")
    got = conclude([stage(Stage.INSTALL, Outcome.PASSED), locked], asked=ALL)
    assert (got.outcome, got.exit_code, got.stage) == (Outcome.ERROR, 5, "backup")
    got = conclude([replace(locked, kind="EngineError")], asked=ALL)
    assert got.exit_code == 3
