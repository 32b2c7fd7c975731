"""Warnings beside the verdict: accepted by code with a reason, and stale ones told."""

from harness.core.model import RunWarning, Stage, WarningCode
from harness.verdict.facts import StageFacts
from harness.verdict.warnings import left_out, settled, stale_skips

SEEN = RunWarning(code=WarningCode.VOLUME_ORPHANED, text="data", stage=Stage.UPGRADE)
OTHER = RunWarning(code=WarningCode.NO_PAGE, text="none")


def test_a_code_that_is_accepted_takes_its_reason_to_every_warning_of_it() -> None:
    """And no other warning is excused."""
    got = settled([SEEN, OTHER], {"volume-orphaned": "it is a cache"}, complete=True)
    assert [(one.code, one.accepted) for one in got] == [
        (WarningCode.VOLUME_ORPHANED, "it is a cache"),
        (WarningCode.NO_PAGE, ""),
    ]


def test_an_acceptance_without_its_warning_is_stale_after_a_complete_run_only() -> None:
    """A run of some stages, or one that failed, had no occasion to give it."""
    (told,) = settled([], {"no-page": "an API"}, complete=True)
    assert told.code is WarningCode.STALE_ACCEPTANCE
    assert "no-page" in told.text
    assert told.accepted == ""
    assert settled([], {"no-page": "an API"}, complete=False) == ()


def test_assertions_that_were_left_out_are_a_warning() -> None:
    """One for all stages."""
    (told,) = left_out([Stage.INSTALL, Stage.BACKUP])
    assert (told.code, told.stage) == (WarningCode.GENERIC_LEFT_OUT, None)
    assert "of install, backup were" in told.text
    assert left_out([]) == ()


def test_a_skip_that_the_recipe_expects_and_that_did_not_come_is_stale() -> None:
    """A stage that was not reached says nothing."""
    expected = {"upgrade": "one release", "backup": "no data", "restore": "no data"}
    ran = StageFacts(stage=Stage.UPGRADE)
    skipped = StageFacts(stage=Stage.BACKUP, left_out="no label")
    unreached = StageFacts(stage=Stage.RESTORE, blocked_by=Stage.BACKUP)
    (told,) = stale_skips([ran, skipped, unreached], expected)
    assert (told.code, told.stage) == (WarningCode.STALE_EXPECTED_SKIP, Stage.UPGRADE)
    assert stale_skips([ran], None) == ()
