"""The result of a run that ended early says all that was known by then, and nothing more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import EngineError
from harness.core.measured import Retry
from harness.core.model import (
    AssertionResult,
    LintReport,
    Origin,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.core.settings import Settings
from harness.platforms.abra.program import Abra
from harness.recipes.meta import RecipeMeta
from harness.report.results import Revision
from harness.run.asked import Asked
from harness.run.observer import Seen
from harness.run.performed import Ended, Performed
from harness.run.prepared import Chosen
from harness.run.result import result_of
from harness.run.studied import Linted, Named, Sourced, Studied
from harness.verdict.facts import EndedBy, StageFacts
from tests.unit.fake_chain import asked, prepared
from tests.unit.fake_run import BASE, HEAD, full

STOPPED = EndedBy.of(EngineError("it went away"))
LINT = LintReport(program="cc-ci", gate=False)
PLAN = replace(full(), left_out=("a witness in data",))
META = RecipeMeta(KNOWN_LEAKS={"key": "shown"}, ACCEPT_WARNINGS={"no-page": "it has none"})
NONE: dict[str, Any] = {
    "head": None, "base": None, "engine": {}, "lint": None, "plan": (), "left_out": (),
}  # fmt: skip


def chain() -> Sequence[Asked]:
    """Return each value of a run, until its plan is known."""
    nothing: Any = None
    subject: Any = SimpleNamespace(plan=PLAN, meta=META)
    sourced = Sourced(**vars(prepared()), change=None, source="/fork")
    head = Revision(commit=HEAD, ref="main")
    named = Named(**vars(sourced), repo=nothing, head=head)
    linted = Linted(**vars(named), lint=LINT)
    abra = Abra(path=Path("/abra"), version="0.10")
    return (
        asked(), Chosen(**vars(asked()), abra=abra), prepared(), sourced, named, linted,
        Studied(**vars(linted), subject=subject),
    )  # fmt: skip


def test_what_was_known_when_a_run_ended_is_in_its_result() -> None:
    """The commit, for one: a status at a forge needs it, also where its files were unreadable."""
    known: Sequence[dict[str, Any]] = [
        {"source": "/src/made", "platform": "swarm"},
        {"platform": "abra"},
        {"platform": "swarm", "engine": {"host": "h"}},
        {"source": "/fork"},
        {"head": Revision(commit=HEAD, ref="main")},
        {"lint": LINT},
        {
            "plan": PLAN.lines(),
            "left_out": PLAN.left_out,
            "base": Revision(commit=BASE, ref="1.0.0+1", version="1.0.0+1"),
        },
    ]
    expected = dict(NONE)
    for last, new in zip(chain(), known, strict=True):
        expected |= new
        result, _ = result_of(last, STOPPED, ())
        assert {name: getattr(result, name) for name in expected} == expected
        assert (result.run, result.stack, result.stages) == ("made-1", "made-1_test", ())
        assert "it went away" in result.verdict.cause


@pytest.mark.parametrize("last", chain())
def test_the_command_that_repeats_a_run_names_its_commit_once_that_is_known(last: Asked) -> None:
    """A branch may be elsewhere by tomorrow."""
    result, _ = result_of(replace(last, environ={"CC_CI_NOX": "bin/nox"}), STOPPED, ())
    assert result.repeat == "bin/nox -s e2e -- made"
    exactly = f"bin/nox -s e2e -- made --ref {HEAD}"
    assert result.repeat_exactly == (exactly if isinstance(last, Named) else "")


def test_the_meta_counts_once_it_was_read() -> None:
    """Which stages were asked for is known before; what the recipe accepts, only then."""
    warning = RunWarning(code=WarningCode.NO_PAGE, text="no page")
    less = Settings(stages=(Stage.INSTALL,), origins={"stages": "--stages"}, strict=True)
    early, facts = result_of(asked(settings=less), STOPPED, [warning])
    assert (early.asked, facts.strict) == (("install",), True)
    assert facts.asked == {Stage.INSTALL}
    assert early.warnings == facts.warnings == (warning,)
    late, _ = result_of(chain()[-1], STOPPED, [warning])
    assert [one.accepted for one in late.warnings] == ["it has none"]
    assert late.asked == tuple(Stage)


@pytest.mark.parametrize("usable", [False, True])
@pytest.mark.parametrize("word", [Outcome.PASSED, Outcome.FAILED])
def test_the_end_of_a_run_is_in_its_result(word: Outcome, *, usable: bool) -> None:
    """No base where it was given up; what a person wants to see of a failure, only of a failure."""
    said = (AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=word, seconds=0.0),)
    performed = Performed(
        **vars(chain()[-1]), base_usable=usable, driver="restic", adaptations=(),
        stages=(StageResult(stage=Stage.INSTALL, outcome=word, started="now"),),
        stage_facts=(StageFacts(stage=Stage.INSTALL, assertions=said),),
    )  # fmt: skip
    down = TeardownResult(outcome=Outcome.PASSED, seconds=1.0)
    retried = Retry(at="now", text="again")
    ended = Ended(
        **vars(performed), teardown=down, diagnosis=("its log",), seen=Seen(retries=(retried,))
    )
    result, facts = result_of(ended, None, ())
    assert (result.verdict.outcome, result.backup_driver) == (word, "restic")
    assert (result.base is None, result.teardown, result.retries) == (not usable, down, (retried,))
    assert result.diagnosis == (() if word is Outcome.PASSED else ("its log",))
    assert (facts.stages, facts.teardown) == (performed.stage_facts, down)
    assert (result.stages, facts.stopped) == (performed.stages, None)
