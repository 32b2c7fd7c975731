"""What holds for every recipe after its head was redeployed over the base, in place."""

from harness.api import App, Facts, Ledger, Op, Witnesses
from harness.swarm.readiness import Before, lost, unsettled


def test_it_was_redeployed_in_place(ledger: Ledger) -> None:
    """An upgrade is no second fresh deployment."""
    assert (ledger.count(Op.DEPLOY), ledger.count(Op.REDEPLOY)) == (1, 1)


def test_every_service_has_converged(app: App) -> None:
    """What runs is what was asked for, all of it."""
    assert unsettled(app.snapshot(), Before()) == []


def test_no_update_was_rolled_back_or_is_stale(app: App, facts: Facts) -> None:
    """A rollback leaves the old version serving, so a good answer proves nothing.

    Each service's last update must have completed, and have begun after the upgrade did: the first
    read after a redeploy may still show the one before.
    """
    before = facts.seen["upgrade"]["update_started_before"]
    changed = facts.seen["upgrade"]["changed_services"]
    look = app.snapshot()
    assert lost(look, Before()) == ""
    for service in look.services:
        if service.name in changed and service.replicas != 0 and not service.job:
            # Of these two, `paused` only passes above for a one-shot service that ended well.
            assert service.update_state in {"completed", "paused"}, service.name
            assert service.update_started != before.get(service.name, ""), service.name


def test_what_runs_is_the_head_commit(app: App, facts: Facts) -> None:
    """The chaos version is the first eight digits of the head, of a clean tree."""
    assert set(app.labels("chaos").values()) == {"true"}
    assert set(app.labels("chaos-version").values()) == {facts.head_commit[:8]}


def test_the_version_label_is_the_heads(app: App, facts: Facts) -> None:
    """The labels come from the head's compose file: not rolled back, not masked by another file.

    A head that is a release itself has to declare the version of its tag.
    """
    labels = app.labels("version")
    assert labels, f"no service has the label coop-cloud.{facts.stack}.version"
    expected = facts.head_release or facts.head_version or facts.deployed_version
    said = sorted(set(labels.values()))
    assert said == [expected], f"the version label says {said}, and the head is {expected!r}"


def test_the_data_in_every_volume_survived(witnesses: Witnesses) -> None:
    """The harness put a file into each volume that the base backs up; it has to be there still."""
    assert not (lost := witnesses.problems()), "; ".join(lost)


def test_the_head_mounts_every_volume_that_holds_data(facts: Facts) -> None:
    """What the base keeps in a volume is lost to its users when the head does not mount it there.

    Whether or not it is backed up. At another place the program finds an empty folder, and writes
    where nothing is kept.
    """
    assert not (lost := facts.seen["upgrade"]["mounts_lost"]), "; ".join(lost)


def test_no_volume_lost_its_files(facts: Facts) -> None:
    """A volume or folder that held many files and holds almost none was emptied by the upgrade."""
    assert not (lost := facts.seen["upgrade"]["files_lost"]), "; ".join(lost)


def test_the_app_itself_answers(app: App) -> None:
    """The app's own container is asked, so no proxy can answer in its place."""
    assert not (problem := app.health_problem()), problem
