"""Looking between the stages: what is seen, what is not asked, and that nothing of it decides."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import AbortedError, EngineError
from harness.core.ledger import Ledger, Op
from harness.core.measured import Resources, Retry, Screenshot
from harness.core.model import AssertionResult, Origin, Outcome, Stage, StageResult
from harness.platforms.base import Target
from harness.recipes.meta import RecipeMeta
from harness.run import observer as observers
from harness.run import screenshot
from harness.run.observer import Observer, Sizes, retries
from harness.swarm import stats
from harness.swarm.stats import Memory
from tests.unit.fake_stack import STACK
from tests.unit.report.test_junit import result as run

ASSERTION = AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=Outcome.PASSED, seconds=0.0)


def result(stage: Stage, outcome: Outcome = Outcome.PASSED, **changes: Any) -> StageResult:  # noqa: ANN401
    """Return a stage that was performed."""
    fields: dict[str, Any] = {
        "started": "2026-01-01T12:00:00+00:00", "wait_seconds": 1.23456,
        "assertions": (ASSERTION,), "facts": {"images": {"app": "a"}},
    }  # fmt: skip
    return StageResult(stage=stage, outcome=outcome, **{**fields, **changes})


class Watched:
    """An observer, and what it did."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, directory: Path, *, up: bool = True
    ) -> None:
        self.done: list[str] = []
        self.failing: dict[str, Exception] = {}
        context = SimpleNamespace(
            nodes=None, client=None, factor=1.0, step=lambda _: None,
            tools=SimpleNamespace(join=self._call("join", None)),
            target=SimpleNamespace(stack=STACK),
            plan=SimpleNamespace(base="1.0.0+1", head=SimpleNamespace(commit="4ead")),
            ledger=Ledger(directory / "ledger.jsonl"), warn_of_ends=self._call("ends", None),
            look=lambda: SimpleNamespace(services=(SimpleNamespace(name="app", image="a"),)),
        )  # fmt: skip
        view = SimpleNamespace(backup=SimpleNamespace(spec=None))
        operations: Any = SimpleNamespace(
            context=context,
            known=SimpleNamespace(reader="reader1" if up else "", app=lambda _: view),
            look_outside=self._call("look_outside", None),
        )
        self.observer = Observer(
            operations=operations, directory=directory, local=True, mask=lambda text, _: text
        )
        for owner, name, gives in (
            (stats, "memory", {"app": Memory(bytes=7, exact=False)}),
            (stats, "image_sizes", {"a": 8}),
            (stats, "volume_sizes", {f"{STACK}_data": 9}),
            (stats, "image_digests", {"a": "sha256:1"}),
            (observers, "files_in", {}),
            (observers, "contents", ()),
            (screenshot, "take", Screenshot(stage="x")),
        ):
            monkeypatch.setattr(owner, name, self._call(name, gives))

    def _call(self, name: str, gives: object) -> Any:  # noqa: ANN401  a function
        def call(*_: object, **__: object) -> object:
            self.done.append(name)
            if name in self.failing:
                raise self.failing[name]
            return gives

        return call

    def through(self, *results: StageResult) -> list[str]:
        """Observe these stages and the end, and return what was done."""
        for one in results:
            self.observer.stage(one)
        self.observer.finish(results)
        return self.done


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Watched:
    """An observer of an app that is up."""
    return Watched(monkeypatch, tmp_path)


def test_each_stage_is_measured_and_two_are_photographed(watched: Watched) -> None:
    """The snapshot is looked into once, after the backup; all images are weighed at the end."""
    results = tuple(result(stage) for stage in Stage)
    measured = ["memory", "image_sizes", "volume_sizes"]
    assert watched.through(*results) == [
        *measured, "join", "take", *measured, *measured, "files_in", "contents", *measured, "join",
        "take", *measured, "image_sizes", "look_outside",
    ]  # fmt: skip
    found = watched.observer.findings(results)
    assert [(one.stage, one.healthy_seconds) for one in found.stages] == [
        ("install", 1.235), ("upgrade", 1.235), ("backup", 1.235), ("restore", 1.235),
        ("custom", None),
    ]  # fmt: skip
    assert found.stages[0].memory == {"app": 7}
    assert [(dict(one.images), dict(one.volumes)) for one in found.stages] == [
        ({"app": 8}, {"data": 9})
    ] * 5
    assert not found.stages[0].exact
    assert (found.images, found.volumes, found.notes) == ({"a": 8}, {"data": 9}, ())


def test_the_digests_that_each_op_deployed_are_kept(watched: Watched) -> None:
    """Of the base and of the head: a tag may lead to another image tomorrow."""
    op = {"commit": "0a1b", "images": {"app": "a", "gone": "not here any more"}}
    rolled_back = {"images": op["images"]}
    watched.through(
        result(Stage.INSTALL, facts=op),
        result(Stage.UPGRADE, facts=op),
        result(Stage.UPGRADE, Outcome.FAILED, facts=rolled_back),
    )
    assert [(one.service, one.release, one.digest) for one in watched.observer.deployed] == [
        ("app", "base", "sha256:1"),
        ("app", "head", "sha256:1"),
    ]


def test_how_services_ended_is_looked_at_once_the_head_was_deployed(watched: Watched) -> None:
    """Also where it did not come up; of a base that was not upgraded there is nothing to say."""
    ledger = watched.observer.operations.context.ledger
    failed = result(Stage.UPGRADE, Outcome.FAILED, assertions=(), facts={})
    ledger.begin(Op.DEPLOY, commit="ba5e")
    assert "ends" not in watched.through(failed)
    ledger.begin(Op.REDEPLOY, commit="4ead")
    assert watched.through(failed)[-1] == "ends"


def test_a_broken_machine_is_asked_nothing_more(watched: Watched) -> None:
    """An engine that is silent costs a minute for each question."""
    assert watched.through(result(Stage.INSTALL, Outcome.ERROR)) == []


def test_an_app_that_never_came_up_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There is no tool container to look from."""
    watched = Watched(monkeypatch, tmp_path, up=False)
    failed = result(Stage.INSTALL, Outcome.FAILED, assertions=(), facts={})
    assert watched.through(failed) == []
    assert watched.observer.findings((failed,)).stages == ()


def test_a_stage_whose_op_failed_has_no_time_to_healthy(watched: Watched) -> None:
    """It was measured, and it never was; a failed assertion comes after that."""
    broken = result(Stage.UPGRADE, Outcome.FAILED, assertions=(), facts={})
    refuted = result(Stage.INSTALL, Outcome.FAILED)
    watched.through(refuted, broken)
    found = watched.observer.findings((refuted, broken))
    assert [one.healthy_seconds for one in found.stages] == [1.235, None]


def test_pictures_can_be_left_out(watched: Watched) -> None:
    """They cost seconds."""
    watched.observer.pictures = False
    assert "take" not in watched.through(result(Stage.INSTALL))


def test_what_goes_wrong_while_looking_is_said_and_ends_nothing(watched: Watched) -> None:
    """Whatever it is; what comes next is looked at all the same."""
    watched.failing = {"memory": EngineError("no stats"), "take": KeyError("x")}
    assert watched.through(result(Stage.INSTALL))[:5] == [
        "memory", "image_sizes", "volume_sizes", "join", "take",
    ]  # fmt: skip
    first, second = watched.observer.findings(()).notes
    assert first == "memory in install: no stats"
    assert second.startswith("a picture after install: ")


def test_a_run_that_is_told_to_stop_stops(watched: Watched) -> None:
    """Also in the middle of a picture."""
    watched.failing = {"take": AbortedError("stop")}
    with pytest.raises(AbortedError):
        watched.observer.stage(result(Stage.INSTALL))


def test_all_of_it_goes_into_the_result(watched: Watched, tmp_path: Path) -> None:
    """With what the meta allows, and with the last green run of that recipe."""
    context: Any = watched.observer.operations.context
    context.meta = RecipeMeta(MAX_GROWTH={"volume": 1.5})
    context.target = Target(recipe="made", run="made-2", scope="s", domain="d.test")
    then = Resources(volumes={"data": 20 << 20})
    (tmp_path / "made-1").mkdir()
    run(run="made-1", resources=then).write(tmp_path / "made-1")
    Ledger(tmp_path / "ledger.jsonl").note("again")
    watched.observer.__dict__["_sizes"] = {Stage.INSTALL: Sizes(volumes={"data": 40 << 20})}
    seen = watched.observer.seen((result(Stage.INSTALL),), tmp_path)
    assert seen.resources is not None
    assert seen.resources.compared_with == "made-1"
    assert [(one.subject, one.fails) for one in seen.resources.jumps] == [("data", True)]
    assert [one.text for one in seen.retries] == ["again"]


def test_retries_are_the_ledgers_notes(tmp_path: Path) -> None:
    """Ops are no retries; no ledger or a torn one has none to tell."""
    path = tmp_path / "ledger"
    assert retries(path) == ()
    ledger = Ledger(path)
    ledger.begin(Op.DEPLOY)
    ledger.note("tried again")
    (found,) = retries(path)
    assert isinstance(found, Retry)
    assert (found.text, found.at[:2]) == ("tried again", "20")
    path.write_text(path.read_text()[:-5])
    assert retries(path) == ()
