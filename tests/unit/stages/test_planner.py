"""The plan: what runs, why the rest does not, and from which release."""

import pytest

from harness.core.errors import SourceError
from harness.core.model import LEFT_OUT, Origin, Stage
from harness.recipes.releases import Candidates, Release
from harness.recipes.versions import Version
from harness.stages.planner import Head, Plan, choose_base, closure, make


def release(tag: str, commit: str = "") -> Release:
    """Return a release of that tag."""
    version = Version.parse(tag)
    assert version is not None
    return Release(tag=tag, version=version, commit=commit or tag.ljust(40, "0"), annotated=True)


def head(*, has_backup: bool = True) -> Head:
    """Return a head."""
    return Head(commit="f" * 40, ref="main", version=None, has_backup=has_backup)


OLDER = (release("1.0.0+1.9"), release("1.0.0+1.10"))
FILES = dict.fromkeys(Stage, (("t.py", Origin.GENERIC),))


def plan(**changes: object) -> Plan:
    """Return a plan for everything, but for the changes."""
    arguments: dict[str, object] = {
        "recipe": "r", "head": head(), "candidates": Candidates(older=OLDER), "version": "",
        "asked": tuple(Stage), "files": FILES,
    }  # fmt: skip
    return make(**{**arguments, **changes})  # type: ignore[arg-type]  # tests hand in what they like


def reasons(made: Plan) -> dict[str, str]:
    """Return why each stage does not run."""
    return {str(p.stage): p.reason for p in made.stages if not p.runs}


def test_everything_runs_on_the_newest_older_release() -> None:
    """Newest by the order of versions, not of text."""
    made = plan()
    assert all(made.runs(stage) for stage in Stage)
    assert made.base == OLDER[1]


def test_without_an_older_release_the_head_is_installed_and_nothing_upgraded() -> None:
    """Skipped, with the reason, and install says that it deploys the head."""
    made = plan(candidates=Candidates())
    assert made.base is None
    assert "no older release" in reasons(made)["upgrade"]
    assert "deploy the head" in "\n".join(made.lines())


def test_a_recipe_without_the_label_is_not_backed_up_and_so_not_restored() -> None:
    """Each with its own reason."""
    assert set(reasons(plan(head=head(has_backup=False)))) == {"backup", "restore"}


def test_one_stage_brings_what_it_needs_before_it_and_no_more() -> None:
    """A restore needs a backup needs an install; nobody asked for an upgrade."""
    made = plan(asked=(Stage.RESTORE,))
    assert [str(p.stage) for p in made.stages if p.runs] == ["install", "backup", "restore"]
    assert [str(p.stage) for p in made.stages if p.asked] == ["restore"]
    assert made.base is None
    assert closure([Stage.UPGRADE]) == {Stage.UPGRADE, Stage.INSTALL}


def test_a_custom_stage_without_tests_is_skipped() -> None:
    """It has no op, so there would be nothing at all."""
    assert "no tests of its own" in reasons(plan(files={}))["custom"]


def test_a_release_that_was_asked_for_is_the_base() -> None:
    """By its tag."""
    assert choose_base(head(), Candidates(older=OLDER), "1.0.0+1.9") == (OLDER[0], "")


def test_a_release_that_cannot_be_upgraded_from_is_refused() -> None:
    """With those that can."""
    with pytest.raises(SourceError) as caught:
        choose_base(head(), Candidates(older=OLDER), "9.9.9+9")
    assert "1.0.0+1.10" in caught.value.hint


def test_a_tag_that_is_not_a_release_is_a_base_only_where_it_is_asked_for() -> None:
    """And the plan says how to ask for it."""
    other = Release(tag="v1.0.1", version=Version.loose("v1.0.1"), commit="c" * 40, annotated=True)
    only = Candidates(others=(other,), refused={"latest": "it is the head itself"})
    assert choose_base(head(), only, "v1.0.1") == (other, "")
    found, why = choose_base(head(), only, "")
    assert found is None
    assert "v1.0.1 is not a release (X.Y.Z+upstream); --version v1.0.1 upgrades from it" in why
    assert choose_base(head(), Candidates(older=OLDER, others=(other,)), "") == (OLDER[1], "")
    for tag, reason in (("latest", "it is the head itself"), ("9", "there is no such tag")):
        with pytest.raises(SourceError) as caught:
            choose_base(head(), only, tag)
        assert (caught.value.cause, "v1.0.1" in caught.value.hint) == (reason, True)


def test_the_plan_says_in_words_what_it_will_do() -> None:
    """Before anything is touched."""
    text = "\n".join(plan(notes=["generic left out"]).lines())
    for words in ("ffffffff", "1.0.0+1.10", "redeploy the head", "1 generic", "generic left out"):
        assert words in text


def test_what_the_verdict_does_not_rest_on_is_marked_as_such() -> None:
    """The last table of a run repeats just these lines."""
    lines = plan(left_out=["generic assertions of backup"]).lines()
    assert [line for line in lines if line.startswith(LEFT_OUT)] == [
        "left out generic assertions of backup"
    ]


def test_refused_test_files_are_counted_in_the_stages_that_are_wanted() -> None:
    """They show up as skipped, whether anything else of the stage runs or not."""
    refused = {Stage.INSTALL: ("ops.py",), Stage.CUSTOM: ("test_x.py", "test_y.py")}
    files = {stage: () if stage is Stage.CUSTOM else FILES[stage] for stage in Stage}
    made = plan(denied=refused, files=files)
    assert {p.stage: p.denied for p in made.stages if p.denied} == refused
    assert reasons(made) == {"custom": "the tests that the recipe ships are not approved"}
    assert "1 generic test file(s), 1 repo-local not approved" in "\n".join(made.lines())
    only = plan(denied=refused, files=files, asked=(Stage.UPGRADE,))
    assert {p.stage: p.denied for p in only.stages if p.denied} == {Stage.INSTALL: ("ops.py",)}
