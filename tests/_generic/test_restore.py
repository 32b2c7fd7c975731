"""What holds for every recipe whose snapshot has just been restored."""

from harness.api import App, Facts, Ledger, Op, Witnesses
from harness.swarm.readiness import Before, unsettled


def test_the_snapshot_that_was_made_is_the_one_restored(facts: Facts) -> None:
    """Never "the latest": the one that the backup op named."""
    assert facts.seen["restore"]["snapshot"] == facts.seen["backup"]["snapshot"]


def test_no_volume_holds_less_than_before_the_backup(facts: Facts) -> None:
    """Every volume is counted, also those that the labels leave out."""
    assert not (lost := facts.seen["restore"]["files_lost"]), "; ".join(lost)


def test_the_restore_happened_on_the_same_deployment(ledger: Ledger, facts: Facts) -> None:
    """The app was neither deployed anew nor redeployed by it."""
    assert (ledger.count(Op.DEPLOY), ledger.count(Op.RESTORE)) == (facts.deploys, 1)


def test_every_volume_is_as_it_was_at_the_backup(witnesses: Witnesses) -> None:
    """The harness changed a file in each volume after the backup; what it held then is back."""
    assert not (wrong := witnesses.problems()), "; ".join(wrong)


def test_every_service_has_converged(app: App) -> None:
    """A restore, and its hooks, leave everything running."""
    assert unsettled(app.snapshot(), Before()) == []


def test_the_app_itself_answers(app: App) -> None:
    """The app works on the restored data."""
    assert not (problem := app.health_problem()), problem
