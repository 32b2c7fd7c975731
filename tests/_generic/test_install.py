"""What holds for every recipe that has just been installed."""

from harness.api import App, Facts, Ledger, Op
from harness.swarm.readiness import Before, unsettled


def test_it_was_deployed_exactly_once(ledger: Ledger, facts: Facts) -> None:
    """A run has one fresh deployment; everything later happens in place.

    A base that cannot be installed was one more: it was removed, and the head installed alone.
    """
    assert ledger.count(Op.DEPLOY) == facts.deploys


def test_every_service_has_converged(app: App) -> None:
    """What runs is what was asked for, all of it."""
    assert unsettled(app.snapshot(), Before()) == []


def test_the_version_label_is_that_of_what_was_deployed(app: App, facts: Facts) -> None:
    """The tag of a release, or what the head declares: so it was that and not another one."""
    labels = app.labels("version")
    expected = facts.base_version or facts.head_release or facts.deployed_version
    assert labels, (
        f"no service has the label coop-cloud.{facts.stack}.version: write it as an item of a list "
        "(docker fills in no variables in the keys of a mapping), and under deploy"
    )
    said = sorted(set(labels.values()))
    assert said == [expected], (
        f"the version label says {said}, and what was deployed is {expected!r}"
    )


def test_it_was_deployed_pinned_when_it_is_a_release(app: App, facts: Facts) -> None:
    """A base that was deployed as chaos would be whatever happened to be checked out."""
    assert set(app.labels("chaos").values()) == {"true" if facts.chaos else "false"}
    assert set(app.labels("recipe").values()) == {facts.recipe}


def test_the_app_itself_answers(app: App) -> None:
    """The app's own container is asked, so no proxy can answer in its place."""
    assert not (problem := app.health_problem()), problem
