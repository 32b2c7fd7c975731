"""One word for a stage and for a run: a table of facts and what they come to."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from harness.core.errors import (
    AbortedError,
    BackupError,
    EngineError,
    LockTimeoutError,
    SourceError,
    TestCodeError,
)
from harness.core.model import (
    BROKEN_TEST_CODE,
    NOTHING_ASSERTED,
    AssertionResult,
    Leak,
    NotShown,
    Origin,
    Outcome,
    RunWarning,
    Stage,
    TeardownResult,
    WarningCode,
)
from harness.verdict.decide import BAD, decide, of_stage
from harness.verdict.facts import EndedBy, Growth, RunFacts, StageFacts

PASSED, FAILED, ERROR = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR
SKIPPED, ABORTED = Outcome.SKIPPED, Outcome.ABORTED


def assertion(outcome: Outcome, message: str = "", kind: str = "") -> AssertionResult:
    """Return an assertion's result."""
    return AssertionResult(
        nodeid=f"t::{outcome}", origin=Origin.GENERIC, outcome=outcome, seconds=0, message=message,
        kind=kind,
    )  # fmt: skip


def stage(name: Stage = Stage.BACKUP, word: Outcome = PASSED, why: str = "") -> StageFacts:
    """Return the facts of a stage that come to that word."""
    if word is SKIPPED:
        return StageFacts(stage=name, left_out=why or "why")
    if word is ABORTED:
        return StageFacts(stage=name, blocked_by=Stage.INSTALL)
    return StageFacts(stage=name, assertions=(assertion(word, why),))


def run(**facts: Any) -> RunFacts:  # noqa: ANN401  any fact
    """Return the facts of a run in which every stage passed, with these ones changed."""
    return replace(RunFacts(stages=tuple(stage(one) for one in Stage)), **facts)


def with_stage(*changed: StageFacts) -> tuple[StageFacts, ...]:
    """Return stages that all passed, but for those."""
    known = {one.stage: one for one in changed}
    return tuple(known.get(one, stage(one)) for one in Stage)


FAULT = EndedBy.of(EngineError("gone"))
RECIPE = EndedBy.of(BackupError("no snapshot"))
STOPPED = EndedBy.of(AbortedError("SIGINT"))
DIRTY = TeardownResult(outcome=ERROR, reason="left a network")
LEAK = Leak(secret="key", encoding="plain", place="run.log", count=2)  # noqa: S106
FULL = EndedBy.of(EngineError("disk full"))
GROWN = Growth(jumps=("memory of app",), compared_with="run0")
ORPHAN = RunWarning(code=WarningCode.VOLUME_ORPHANED, text="data is orphaned", stage=Stage.UPGRADE)


# One stage


@pytest.mark.parametrize(
    ("facts", "outcome", "reason", "kind"),
    [
        ({"assertions": (assertion(PASSED),)}, PASSED, "", ""),
        ({"assertions": (assertion(SKIPPED), assertion(PASSED))}, PASSED, "", ""),
        ({"assertions": (assertion(SKIPPED),)}, SKIPPED, "nothing asserted", ""),
        ({}, SKIPPED, "nothing asserted", ""),
        ({"has_files": False}, SKIPPED, "nothing asserted: no test file applies", ""),
        ({"left_out": "no release"}, SKIPPED, "no release", ""),
        ({"blocked_by": Stage.INSTALL}, ABORTED, "install did not pass", ""),
        (
            {"assertions": (assertion(PASSED), assertion(FAILED, "f\nmore"), assertion(ERROR))},
            FAILED, "t::failed: f (and 1 more)", "",
        ),
        ({"assertions": (assertion(ERROR), assertion(FAILED))}, ERROR,
         "t::error: no message (and 1 more)", ""),
        ({"assertions": (assertion(ERROR, f"{BROKEN_TEST_CODE}: NameError: x", "TestCodeError"),)},
         ERROR, f"{BROKEN_TEST_CODE}: t::error: NameError: x", "TestCodeError"),
        ({"assertions": (assertion(ERROR, "gone", "EngineError"),)}, ERROR, "t::error: gone",
         "EngineError"),
        # words prove nothing: an app may say so itself, or a test quote it
        ({"assertions": (assertion(FAILED, f"{BROKEN_TEST_CODE}: says the app"),)}, FAILED,
         f"t::failed: {BROKEN_TEST_CODE}: says the app", ""),
        ({"assertions": (assertion(PASSED),), "unfinished": f"{BROKEN_TEST_CODE}?"}, ERROR,
         f"{BROKEN_TEST_CODE}?", ""),
        ({"error": EndedBy.of(TestCodeError("it hangs"))}, ERROR, "it hangs", "TestCodeError"),
        ({"assertions": (assertion(PASSED),), "unfinished": "it died"}, ERROR, "it died", ""),
        ({"assertions": (assertion(FAILED),), "unfinished": "it died"}, FAILED,
         "t::failed: no message", ""),
        ({"error": RECIPE}, FAILED, "no snapshot", "BackupError"),
        ({"error": RECIPE, "fault": FAULT}, ERROR, "gone\nno snapshot", "EngineError"),
        ({"error": FAULT, "assertions": (assertion(PASSED),)}, ERROR, "gone", "EngineError"),
        ({"error": STOPPED}, ABORTED, "SIGINT", "AbortedError"),
        ({"assertions": (assertion(FAILED),), "fault": FAULT}, ERROR,
         "gone\nt::failed: no message", "EngineError"),
        ({"assertions": (assertion(PASSED),), "fault": FAULT}, PASSED, "", ""),
        ({"assertions": (assertion(PASSED),), "broken": "app broke"}, FAILED, "app broke", ""),
        ({"assertions": (assertion(FAILED),), "broken": "app broke"}, FAILED,
         "app broke\nt::failed: no message", ""),
        ({"assertions": (assertion(ERROR),), "broken": "app broke"}, FAILED,
         "app broke\nt::error: no message", ""),
        # leaving assertions out does not leave the harness's own comparisons out
        ({"has_files": False, "broken": "app broke"}, FAILED, "app broke", ""),
        ({"has_files": False, "broken": "app broke", "fault": FAULT}, ERROR,
         "gone\napp broke", "EngineError"),
    ],
)  # fmt: skip
def test_what_a_stage_comes_to(
    facts: dict[str, Any], outcome: Outcome, reason: str, kind: str
) -> None:
    """The table of a stage."""
    got = of_stage(replace(StageFacts(stage=Stage.BACKUP), **facts))
    assert (got.outcome, got.reason, got.kind) == (outcome, reason, kind)


@pytest.mark.parametrize("has_files", [True, False])
@pytest.mark.parametrize("broken", ["", "app broke"])
@pytest.mark.parametrize("said", [PASSED, FAILED, ERROR, SKIPPED])
def test_a_changed_deployment_makes_all_that_was_asserted_worthless(
    said: Outcome, broken: str, *, has_files: bool
) -> None:
    """It is an error, whatever the assertions said and whatever broke."""
    got = of_stage(
        StageFacts(
            stage=Stage.BACKUP, assertions=(assertion(said),), has_files=has_files, broken=broken,
            changed="service db was added",
        )
    )  # fmt: skip
    assert got.outcome is ERROR
    assert "service db was added" in got.reason
    assert "broke" not in got.reason


# A run: what decides, in this order


@pytest.mark.parametrize(
    ("facts", "outcome", "code", "where", "cause"),
    [
        ({}, PASSED, 0, "", ""),
        ({"stages": with_stage(stage(Stage.BACKUP, FAILED))}, FAILED, 1, "backup", "t::failed"),
        ({"stages": with_stage(stage(Stage.BACKUP, ERROR))}, ERROR, 3, "backup", "t::error"),
        ({"stages": with_stage(stage(Stage.BACKUP, ABORTED))}, ABORTED, 130, "backup", "install"),
        ({"stopped": STOPPED}, ABORTED, 130, "", "SIGINT"),
        ({"stopped": FAULT, "stages": ()}, ERROR, 3, "", "gone"),
        ({"stopped": EndedBy.of(SourceError("no ref")), "stages": ()}, ERROR, 6, "", "no ref"),
        ({"teardown": DIRTY}, ERROR, 3, "teardown", "left a network"),
        ({"stages": (stage(Stage.UPGRADE, SKIPPED, "no release"),)}, SKIPPED, 4, "",
         "nothing was asserted (upgrade: no release)"),
        ({"growth": GROWN}, FAILED, 1, "", "it takes more than MAX_GROWTH"),
        ({"growth": Growth(jumps=(), compared_with="x")}, PASSED, 0, "", ""),
        ({"leaks": (LEAK,)}, FAILED, 1, "", "a secret was published: key in run.log (plain, 2"),
        ({"leaks": (replace(LEAK, known="on purpose"),)}, PASSED, 0, "", ""),
        ({"warnings": (ORPHAN,)}, PASSED, 0, "", ""),
        ({"warnings": (ORPHAN,), "strict": True}, FAILED, 1, "upgrade", "--strict"),
        ({"warnings": (replace(ORPHAN, accepted="empty"),), "strict": True}, PASSED, 0, "", ""),
        ({"strict": True}, PASSED, 0, "", ""),
        ({"unwritten": FULL}, ERROR, 3, "", "the results could not be written: disk full"),
    ],
)  # fmt: skip
def test_what_a_run_comes_to(
    facts: dict[str, Any], outcome: Outcome, code: int, where: str, cause: str
) -> None:
    """The table of a run in which one thing is out of the ordinary."""
    got = decide(run(**facts))
    assert (got.outcome, got.exit_code, got.stage) == (outcome, code, where)
    assert got.cause.startswith(cause)
    assert bool(got.cause) == bool(cause)


# Each of these changes a pass; the earlier one in the list decides, whatever else is there.
RANKED = (
    ("stages", with_stage(stage(Stage.UPGRADE, FAILED, "first"), stage(Stage.RESTORE, ERROR))),
    ("stopped", STOPPED),
    ("teardown", DIRTY),
    ("growth", GROWN),
    ("leaks", (LEAK,)),
    ("warnings", (ORPHAN,)),
    ("unwritten", FULL),
)
WORDS = (FAILED, ABORTED, ERROR, FAILED, FAILED, FAILED, ERROR)


def test_the_first_of_several_things_decides() -> None:
    """All 128 combinations: the word of the first; a leak and a full disk are always told."""
    for mask in range(1 << len(RANKED)):
        present = [index for index in range(len(RANKED)) if mask >> index & 1]
        got = decide(run(strict=True, **dict(RANKED[index] for index in present)))
        first = present[0] if present else None
        assert got.outcome is (PASSED if first is None else WORDS[first]), present
        assert (got.exit_code == 0) == (got.outcome is PASSED), present
        assert ("a secret was published" in got.cause) == (4 in present), present
        assert ("the results could not be written" in got.cause) == (6 in present), present


def test_the_first_bad_stage_decides_and_only_a_pass_ends_with_0() -> None:
    """All combinations of three stages: no word but *passed* has the exit code 0."""
    names = (Stage.INSTALL, Stage.UPGRADE, Stage.BACKUP)
    for words in itertools.product(Outcome, repeat=3):
        stages = tuple(stage(name, word) for name, word in zip(names, words, strict=True))
        got = decide(run(stages=stages, asked=frozenset(names)))
        bad = [(word, name) for name, word in zip(names, words, strict=True) if word in BAD]
        if bad:
            assert (got.outcome, got.stage) == bad[0], words
        elif ABORTED in words:
            assert got.outcome is ABORTED, words
        else:
            assert got.outcome is (PASSED if PASSED in words else SKIPPED), words
        assert (got.exit_code == 0) == (got.outcome is PASSED), words


def test_growth_says_more_than_a_leak_and_both_are_told() -> None:
    """The leak is added to the cause."""
    got = decide(run(growth=GROWN, leaks=(LEAK,)))
    assert got.cause.startswith("it takes more than MAX_GROWTH")
    assert "besides, a secret was published" in got.cause


def test_a_lock_that_a_stage_waits_for_in_vain_has_the_exit_code_of_locks() -> None:
    """The backup bot is taken in the middle of a run; it is an error all the same."""
    locked = StageFacts(stage=Stage.BACKUP, error=EndedBy.of(LockTimeoutError("not free")))
    got = decide(run(stages=with_stage(locked)))
    assert (got.outcome, got.exit_code, got.kind) == (ERROR, 5, "LockTimeoutError")


# Skips

SOME = (
    stage(Stage.INSTALL),
    stage(Stage.UPGRADE, SKIPPED, "no older release"),
    stage(Stage.BACKUP, SKIPPED, "nothing is labelled"),
    StageFacts(stage=Stage.CUSTOM, left_out="none of its own", applies=False),
)


def test_a_pass_of_a_stage_that_was_only_needed_proves_nothing() -> None:
    """Asked for the upgrade, told that the install works: that is not an answer."""
    assert decide(run(stages=SOME[:2], asked=frozenset({Stage.UPGRADE}))).outcome is SKIPPED


@pytest.mark.parametrize(
    ("expected", "first"),
    [
        ({Stage.BACKUP}, SOME[1]),
        ({Stage.UPGRADE}, SOME[2]),
        ((), SOME[1]),
        ({Stage.UPGRADE, Stage.BACKUP}, None),
        (None, None),
    ],
)
def test_a_skip_that_the_recipe_does_not_expect_is_not_a_pass(
    expected: set[Stage] | None, first: StageFacts | None
) -> None:
    """The first one is named. The custom stage may always be skipped."""
    skips = None if expected is None else frozenset(expected)
    got = decide(run(stages=SOME, expected_skips=skips))
    if first is None:
        assert got.outcome is PASSED
        return
    assert (got.outcome, got.exit_code, got.stage) == (SKIPPED, 4, first.stage)
    assert got.cause.startswith(f"{first.stage} was skipped ({first.left_out})\n")
    assert "EXPECTED_SKIPS" in got.cause


@pytest.mark.parametrize(
    "bare",
    [
        StageFacts(stage=Stage.BACKUP, has_files=False),
        StageFacts(stage=Stage.BACKUP, assertions=(assertion(SKIPPED),)),
    ],
)
def test_a_stage_without_assertions_is_not_an_unexpected_skip(bare: StageFacts) -> None:
    """Its op was performed; leaving assertions out says nothing about the app."""
    assert of_stage(bare).reason.startswith(NOTHING_ASSERTED)
    none: frozenset[Stage] = frozenset()
    assert decide(run(stages=(SOME[0], bare), expected_skips=none)).exit_code == 0
    got = decide(run(stages=(SOME[0], bare, SOME[1]), expected_skips=none))
    assert (got.exit_code, got.stage) == (4, "upgrade"), "and it hides no other"
    assert decide(run(stages=(bare,), expected_skips=none)).exit_code == 4


def test_words_make_no_skip_an_expected_one() -> None:
    """What decides is that its op was left out, not how the reason begins."""
    skip = StageFacts(stage=Stage.BACKUP, left_out=f"{NOTHING_ASSERTED} here, says the recipe")
    none: frozenset[Stage] = frozenset()
    assert decide(run(stages=(SOME[0], skip), expected_skips=none)).exit_code == 4


def test_an_expected_skip_is_still_nothing_asserted() -> None:
    """A run of only skips is not a pass, whatever the reasons."""
    got = decide(run(stages=SOME[1:], expected_skips=frozenset(Stage)))
    assert (got.outcome, got.exit_code) == (SKIPPED, 4)
    assert got.cause.startswith("nothing was asserted")


# May it be merged?


def shown(**facts: Any) -> list[str]:  # noqa: ANN401  any fact
    """Return the stages of the full plan that a run does not show."""
    return [str(one.stage) for one in decide(run(**facts)).not_shown]


def test_only_a_run_of_the_full_plan_may_be_merged_on() -> None:
    """Every stage asserted; a recipe without tests of its own has no custom stage."""
    assert decide(run()).may_merge
    none = StageFacts(stage=Stage.CUSTOM, left_out="no tests of its own", applies=False)
    assert decide(run(stages=with_stage(none))).may_merge
    assert not decide(run(stages=with_stage(stage(Stage.BACKUP, FAILED)))).may_merge


def test_what_was_not_asked_for_is_not_shown() -> None:
    """Unless another stage needed it, and it passed."""
    some = {"stages": (stage(Stage.INSTALL), stage(Stage.BACKUP))}
    asked = frozenset({Stage.BACKUP})
    assert shown(**some, asked=asked) == ["upgrade", "restore", "custom"]
    got = decide(run(**some, asked=asked))
    assert (got.outcome, got.may_merge) == (PASSED, False)
    assert got.not_shown[0] == NotShown(stage=Stage.UPGRADE, why="not asked for")


def test_a_skip_is_not_shown_unless_the_recipe_expects_it() -> None:
    """No release, no backup, tests that are not approved."""
    skip = stage(Stage.UPGRADE, SKIPPED, "no older release")
    assert shown(stages=with_stage(skip)) == ["upgrade"]
    expected = frozenset({Stage.UPGRADE})
    assert shown(stages=with_stage(skip), expected_skips=expected) == []
    denied = stage(Stage.CUSTOM, SKIPPED, "not approved")
    assert shown(stages=with_stage(denied)) == ["custom"]


def test_a_stage_whose_generic_assertions_were_left_out_is_not_shown() -> None:
    """One overlay with `assert True` passes, and proves nothing: no word for a merge."""
    bare = [StageFacts(stage=one, has_files=False) for one in Stage if one is not Stage.INSTALL]
    got = decide(
        run(stages=(stage(Stage.INSTALL), *bare), opted_out=frozenset(Stage) - {Stage.CUSTOM})
    )
    assert (got.outcome, got.may_merge) == (PASSED, False)
    assert [one.stage for one in got.not_shown] == list(Stage)
    assert got.not_shown[0].why == "its generic assertions were left out"
    assert got.not_shown[-1].why == "nothing asserted: no test file applies"
