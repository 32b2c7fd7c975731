"""Performing a plan: each op once and in its order, and what one stage's end means for the next."""

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import DockerException

from harness.assertions.runner import Asserted
from harness.core.errors import (
    AbortedError,
    BackupError,
    ContainerUnavailableError,
    ConvergenceError,
    EngineError,
    RecipeError,
)
from harness.core.ledger import Op
from harness.core.model import BROKEN_TEST_CODE, AssertionResult, Origin, Outcome, Stage
from harness.stages.handover import HandOvers
from harness.stages.planner import PlannedStage
from tests.unit.fake_run import BASE, FILES, HEAD, LABELS, Bench, full, set_up
from tests.unit.fake_stack import look, service

Mishap = Callable[[Bench], None]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which everything goes well."""
    return set_up(tmp_path, monkeypatch)


INSTALL = [
    "begin deploy", "deploy b pinned", "settle", "end deploy", "answer",
    "assert install",
]  # fmt: skip
UPGRADE = [
    "settle", "seed upgrade", "vault data", "witness data", "begin redeploy",
    "deploy a chaos", "settle", "end redeploy", "vault data", "answer", "assert upgrade",
]  # fmt: skip
BACKUP = [
    "settle", "seed backup", "vault data", "witness data", "begin restart", "restart", "settle",
    "end restart", "vault data", "begin backup", "hook dump", "vault data", "backup data, 1 own",
    "hook tidy", "end backup", "settle", "vault data", "answer", "assert backup",
]  # fmt: skip
RESTORE = [
    "settle", "seed restore", "vault data", "witness data", "begin restore", "hook stop",
    "vault data", "restore 0a1b data", "hook load", "vault data", "end restore", "settle",
    "vault data", "answer", "assert restore",
]  # fmt: skip
CUSTOM = ["settle", "seed custom", "answer", "assert custom"]


def test_every_act_comes_once_and_in_its_order(bench: Bench) -> None:
    """What went before has settled, seed hook, op, wait, an answer, assertions; nothing besides."""
    assert set(bench.performed().values()) == {"passed"}
    assert bench.events == [*INSTALL, *UPGRADE, *BACKUP, *RESTORE, *CUSTOM, "children ended"]


def test_assertions_are_told_what_is_deployed_by_now(bench: Bench) -> None:
    """The base pinned, then the head as chaos; what each op reported, what hooks remembered."""
    bench.performed()
    first, second = bench.orders[Stage.INSTALL].facts, bench.orders[Stage.UPGRADE].facts
    assert (first.deployed, first.chaos, second.deployed, second.chaos) == (BASE, False, HEAD, True)
    assert (second.base_commit, second.base_version, second.head_commit) == (BASE, "1.0.0+1", HEAD)
    assert (first.handed_over, second.handed_over) == (("c-app-1",), ("c-app-2",))
    last = bench.orders[Stage.CUSTOM].facts
    assert last.stage is Stage.CUSTOM
    assert last.seen["backup"]["snapshot"] == "0a1b"
    assert last.state == {"upgrade": 0, "backup": 1, "restore": 2, "custom": 3}


def test_an_order_says_where_everything_is(bench: Bench) -> None:
    """The files, where results go, the engine, and the harness's own containers."""
    bench.readers = {"n2": "reader2"}
    bench.performed()
    order = bench.orders[Stage.CUSTOM]
    assert (order.reader, order.readers, order.node_id) == ("reader1", {"n2": "reader2"}, "n")
    assert order.results == str(bench.directory / "assertions.custom.jsonl")
    assert (order.files, order.root) == ((("t.py", Origin.GENERIC),), "/tests")
    assert order.engine == {"DOCKER_HOST": "x"}


def test_assertions_have_more_time_on_slow_hosts(bench: Bench) -> None:
    """All of a stage's together, and whatever they wait for themselves."""
    bench.execution(factor=2.0).run()
    assert bench.timeouts["assert"] == 1800.0
    assert bench.orders[Stage.CUSTOM].timeout_factor == 2.0


# What became of the app while it was asserted about


def changed(**changes: object) -> Mishap:
    """Return a mishap that changes the service."""
    return lambda bench: bench.change(**changes)


def added(bench: Bench) -> None:
    """Deploy another service."""
    bench.stack = look(*bench.stack.services, service("db"))


def removed(bench: Bench) -> None:
    """Remove the service."""
    bench.stack = look()


@pytest.mark.parametrize("said", [Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED])
@pytest.mark.parametrize(
    ("mishap", "what"),
    [
        (changed(template={"ForceUpdate": 1}), "service app was changed (TaskTemplate)"),
        (changed(labels={"a": "b"}), "service app was changed (Labels)"),
        (changed(replicas=0), "service app was changed (replicas)"),
        (added, "service db was added"),
        (removed, "service app was removed"),
        (lambda bench: bench.ledger.begin(Op.REDEPLOY), "the ledger records 1 more redeploy"),
    ],
    ids=["spec", "labels", "replicas", "added", "removed", "ledger"],
)
def test_a_deployment_that_was_changed_under_its_assertions_is_an_error(
    bench: Bench, said: Outcome, mishap: Mishap, what: str
) -> None:
    """Assertions only look: whatever they say of an app that somebody changes is worth nothing."""
    bench.asserted = {Stage.BACKUP: said}
    bench.then["assert backup"] = partial(mishap, bench)
    assert bench.performed()["backup"] == "error"
    first, *_ = bench.finished[2].reason.splitlines()
    assert first == f"the deployment was changed while the assertions of backup ran: {what}"
    assert bench.finished[2].facts["snapshot"] == "0a1b", "the op is in the report all the same"


@pytest.mark.parametrize("said", [Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED])
def test_a_task_that_breaks_while_it_is_asserted_about_fails_the_stage(
    bench: Bench, said: Outcome
) -> None:
    """What the assertions ran into is only an echo of it, so its sentence comes first.

    And an app that crashes every few seconds looks fine in between. Each break is told once: a
    later stage is not held to it.
    """
    bench.asserted, bench.then["assert backup"] = {Stage.BACKUP: said}, bench.crash
    got = bench.performed()
    assert list(got.values()) == ["passed", "passed", "failed", "aborted", "passed"]
    echo = ["backup: said so"] if said in (Outcome.FAILED, Outcome.ERROR) else []
    sentence = "app broke after the backup had settled: non-zero exit (1)"
    assert bench.finished[2].reason == "\n".join([sentence, *echo])


@pytest.mark.parametrize("said", [Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED])
@pytest.mark.parametrize("mishap", [Bench.replace_task, Bench.kill], ids=["replaced", "killed"])
def test_a_task_that_was_only_replaced_or_killed_from_outside_changes_no_word(
    bench: Bench, said: Outcome, mishap: Mishap
) -> None:
    """Swarm replaces tasks by itself, and a kill from outside is not the recipe's doing."""
    bench.asserted, bench.then["assert backup"] = {Stage.BACKUP: said}, partial(mishap, bench)
    assert bench.performed()["backup"] == said
    reasons = {Outcome.PASSED: "", Outcome.SKIPPED: "nothing asserted"}
    assert bench.finished[2].reason == reasons.get(said, "backup: said so")


def test_code_137_without_a_kill_is_the_apps_own(bench: Bench) -> None:
    """A program may end itself with it; no event says that somebody else did."""
    bench.then["assert backup"] = partial(bench.replace_task, 137, "non-zero exit (137)")
    assert bench.performed()["backup"] == "failed"


def test_a_changed_deployment_says_more_than_a_task_that_broke(bench: Bench) -> None:
    """Whoever changed it may well be why it broke."""

    def mishap() -> None:
        bench.crash()
        bench.change(replicas=0)

    bench.then["assert backup"] = mishap
    assert bench.performed()["backup"] == "error"
    assert "broke" not in bench.finished[2].reason


def test_an_engine_that_is_gone_after_the_assertions_is_an_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they said while it was there: nobody can tell what became of the app."""

    def gone(*_: object, **__: object) -> None:
        raise DockerException("gone")

    bench.then["assert backup"] = lambda: monkeypatch.setattr(
        "harness.stages.context.read_stack", gone
    )
    bench.results = (
        AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=Outcome.PASSED, seconds=0),
    )
    assert list(bench.performed().values())[:4] == ["passed", "passed", "error", "aborted"]
    result = bench.finished[2]
    assert "gone" in result.reason
    assert result.assertions == bench.results, "they are in the report all the same"
    assert (result.facts["snapshot"], result.assert_seconds) == ("0a1b", 0.5)


# Test files that the recipe ships and nobody approved


def test_files_that_nobody_approved_are_in_the_report_as_skips(bench: Bench) -> None:
    """By name, with the reason, after what was asserted; the stage's word does not change."""
    denied = ("test_backup.py", "custom/test_x.py")
    stage = PlannedStage(stage=Stage.BACKUP, runs=True, asked=True, files=FILES, denied=denied)
    why = "the recipe's tests are not approved: sha256:0a"
    assert bench.performed(replace(full(backup=stage), repo_local=why))["backup"] == "passed"
    denied_ones = bench.finished[2].assertions[1:]
    assert [(one.nodeid, one.message) for one in denied_ones] == [
        ("repo-local/test_backup.py", why),
        ("repo-local/custom/test_x.py", why),
    ]
    assert {one.origin for one in denied_ones} == {Origin.REPO_LOCAL}
    assert {one.outcome for one in denied_ones} == {Outcome.SKIPPED}
    assert not any("repo-local" in path for path, _ in bench.orders[Stage.BACKUP].files)
    assert not any(one.origin is Origin.REPO_LOCAL for one in bench.finished[1].assertions)


def test_a_stage_that_has_nothing_but_files_that_nobody_approved_asserts_nothing(
    bench: Bench,
) -> None:
    """They are in its report, and it has not passed."""
    stage = PlannedStage(stage=Stage.CUSTOM, runs=True, asked=True, denied=("test_x.py",))
    assert bench.performed(replace(full(custom=stage), repo_local="why"))["custom"] == "skipped"
    (result,) = bench.finished[4].assertions
    assert (result.nodeid, result.outcome) == ("repo-local/test_x.py", Outcome.SKIPPED)
    assert "assert custom" not in bench.events


def test_a_stage_that_is_left_out_says_what_else_nobody_approved(bench: Bench) -> None:
    """The recipe ships tests of its own, and that is why its custom stage has none."""
    stage = PlannedStage(
        stage=Stage.CUSTOM, runs=False, asked=True, reason="none", denied=("test_x.py",)
    )
    assert bench.performed(replace(full(custom=stage), repo_local="why"))["custom"] == "skipped"
    (result,) = bench.finished[4].assertions
    assert (result.nodeid, result.message) == ("repo-local/test_x.py", "why")


# What one stage's end means for the next


def test_a_stage_that_is_left_out_has_its_reason(bench: Bench) -> None:
    """And keeps nothing else from being done."""
    left_out = PlannedStage(stage=Stage.UPGRADE, runs=False, asked=True, reason="no release")
    plan = replace(full(upgrade=left_out), base=None)
    assert bench.performed(plan)["upgrade"] == "skipped"
    assert "deploy a chaos" in bench.events
    assert bench.finished[1].reason == "no release"
    assert bench.finished[4].outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("bad", "aborted"),
    [
        (Stage.INSTALL, ["upgrade", "backup", "restore", "custom"]),
        (Stage.UPGRADE, ["backup", "restore", "custom"]),
        (Stage.BACKUP, ["restore"]),
        (Stage.RESTORE, []),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERROR])
def test_what_a_stage_needs_has_to_have_passed(
    bench: Bench, bad: Stage, aborted: list[str], outcome: Outcome
) -> None:
    """Else it is aborted, untouched; after a bad backup the recipe's own tests still run."""
    bench.asserted[bad] = outcome
    got = bench.performed()
    assert [stage for stage, word in got.items() if word == "aborted"] == aborted
    assert got[bad] == outcome
    reasons = [result.reason for result in bench.finished if result.outcome is Outcome.ABORTED]
    assert reasons[:1] == [f"{bad} did not pass"] * bool(aborted)
    assert not any(stage in event for stage in aborted for event in bench.events)


def test_a_stage_of_skips_keeps_nothing_from_being_done(bench: Bench) -> None:
    """Its op went well; that nothing was asserted is the verdict's affair."""
    bench.asserted = {Stage.INSTALL: Outcome.SKIPPED, Stage.BACKUP: Outcome.SKIPPED}
    assert list(bench.performed().values()) == ["skipped", "passed", "skipped", "passed", "passed"]


@pytest.mark.parametrize(
    ("event", "error", "outcome"),
    [
        ("deploy a chaos", DockerException("gone"), Outcome.ERROR),
        ("deploy a chaos", RecipeError("refused"), Outcome.FAILED),
        ("settle", ConvergenceError("it did not come up"), Outcome.FAILED),
        ("seed upgrade", EngineError("gone"), Outcome.ERROR),
        ("seed upgrade", KeyError("x"), Outcome.ERROR),
        ("begin redeploy", OSError(28, "No space left on device"), Outcome.ERROR),
    ],
)
def test_an_op_that_goes_wrong_has_its_word_and_asserts_nothing(
    bench: Bench, event: str, error: Exception, outcome: Outcome
) -> None:
    """The recipe's fault or the machine's; never a pass, and never the end of the report."""
    bench.then["assert install"] = lambda: bench.failing.update({event: error})
    got = bench.performed()
    assert (got["install"], got["upgrade"], got["custom"]) == ("passed", outcome, "aborted")
    assert "assert upgrade" not in bench.events
    assert str(getattr(error, "what", error)).strip("'") in bench.finished[1].reason
    assert "end redeploy" not in bench.events
    assert ("begin redeploy" in bench.events) == (event == "deploy a chaos")


def test_an_app_that_breaks_between_two_stages_fails_the_later_one(bench: Bench) -> None:
    """Its op is not performed, and what was asserted before stays as it was."""
    bare = PlannedStage(stage=Stage.INSTALL, runs=True, asked=True)
    bench.then["answer"] = lambda: bench.then.update({"settle": bench.crash})
    got = bench.performed(full(install=bare))
    assert (got["install"], got["upgrade"], got["backup"]) == ("skipped", "failed", "aborted")
    assert "app broke after the install had settled" in bench.finished[1].reason
    assert "seed upgrade" not in bench.events


NO_CONTAINER = "no container of app came up"


def breaks_before(event: str, bench: Bench) -> None:
    """Let the app break after the stage of that event had found it settled, and before the event.

    A seed hook comes right after that; so the container is killed first, and the new one breaks
    when it is asked for an answer.
    """
    if event == "hook dump":
        bench.then["begin backup"] = bench.crash
        return

    def killed() -> None:
        bench.kill()
        bench.then["answer"] = bench.crash

    bench.then["assert upgrade"] = killed


@pytest.mark.parametrize("event", ["hook dump", "seed backup"])
def test_a_container_that_is_missing_because_it_broke_is_the_apps_fault(
    bench: Bench, event: str
) -> None:
    """The command of an op or of a seed hook only met what had happened; that is said first."""
    breaks_before(event, bench)
    bench.failing = {event: ContainerUnavailableError(NO_CONTAINER)}
    assert bench.performed()["backup"] == "failed"
    first, *rest = bench.finished[2].reason.splitlines()
    assert first == "app broke after the upgrade had settled: non-zero exit (1)"
    assert rest == [f"  | {NO_CONTAINER}"]


@pytest.mark.parametrize("event", ["hook dump", "seed backup"])
@pytest.mark.parametrize("killed", [False, True])
def test_a_container_that_is_missing_though_nothing_broke_is_the_machines_fault(
    bench: Bench, event: str, *, killed: bool
) -> None:
    """Somebody killed it, or the host is slow: that says nothing of the recipe."""
    if killed:
        bench.then["begin backup"] = bench.kill
    bench.failing = {event: ContainerUnavailableError(NO_CONTAINER)}
    assert bench.performed()["backup"] == "error"
    assert bench.finished[2].reason == NO_CONTAINER


def test_a_container_that_is_missing_before_any_hand_over_is_the_machines_fault(
    bench: Bench,
) -> None:
    """There is no look yet that the app could be compared with."""
    bench.failing = {"settle": ContainerUnavailableError(NO_CONTAINER)}
    assert bench.performed()["install"] == "error"
    assert bench.finished[0].reason == NO_CONTAINER


def test_a_container_that_is_missing_while_the_engine_is_gone_keeps_its_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whether it broke; that question must not hide what was run into."""

    def gone(*_: object, **__: object) -> None:
        raise DockerException("gone")

    bench.then["begin backup"] = lambda: monkeypatch.setattr(
        "harness.stages.context.read_stack", gone
    )
    bench.failing = {"hook dump": ContainerUnavailableError(NO_CONTAINER)}
    assert bench.performed()["backup"] == "error"
    assert bench.finished[2].reason == NO_CONTAINER


@pytest.mark.parametrize("event", ["backup data, 1 own", "assert backup"])
def test_a_run_that_is_told_to_stop_keeps_what_it_has(bench: Bench, event: str) -> None:
    """In an op or among assertions; the stage of the moment is aborted, nothing comes after it."""
    bench.failing = {event: AbortedError("SIGINT")}
    execution = bench.execution()
    with pytest.raises(AbortedError):
        execution.run()
    assert [(str(r.stage), str(r.outcome)) for r in execution.results] == [
        ("install", "passed"),
        ("upgrade", "passed"),
        ("backup", "aborted"),
    ]
    assert bench.events[-1] == "children ended"
    assert "seed restore" not in bench.events


def test_a_stage_without_test_files_performs_its_op_all_the_same(bench: Bench) -> None:
    """Leaving assertions out changes which assertions run, and nothing else."""
    bare = {str(stage): PlannedStage(stage=stage, runs=True, asked=True) for stage in Stage}
    assert set(bench.performed(full(**bare)).values()) == {"skipped"}
    ops = [*INSTALL, *UPGRADE, *BACKUP, *RESTORE, *CUSTOM]
    assert bench.events[:-1] == [event for event in ops if not event.startswith("assert")]
    assert all("nothing asserted" in result.reason for result in bench.finished)
    assert bench.finished[2].facts["snapshot"] == "0a1b"


def test_only_what_was_asked_for_or_is_needed_is_in_the_report(bench: Bench) -> None:
    """A stage that was left out by the user is no skip that needs a reason."""
    left_out = {
        str(stage): PlannedStage(stage=stage, runs=False, asked=False, reason="not asked for")
        for stage in (Stage.UPGRADE, Stage.RESTORE, Stage.CUSTOM)
    }
    needed = PlannedStage(stage=Stage.INSTALL, runs=True, asked=False, files=FILES)
    assert list(bench.performed(full(install=needed, **left_out))) == ["install", "backup"]


def test_a_bad_backup_keeps_the_restore_from_being_tried(bench: Bench) -> None:
    """There is nothing that could be restored; the reason is the backup's own."""
    bench.labels = {name: text for name, text in LABELS.items() if "pre" not in name}
    bench.failing = {"hook tidy": BackupError("the hook failed")}
    got = bench.performed()
    assert (got["backup"], got["restore"], got["custom"]) == ("failed", "aborted", "passed")
    assert bench.finished[2].reason == "the hook failed"
    assert "end backup" not in bench.events


def test_a_stop_while_it_is_asked_what_broke_is_a_stop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first Ctrl-C must not be lost: the second one leaves things behind."""

    def stop(*_: object, **__: object) -> None:
        raise AbortedError("SIGINT")

    bench.then["begin backup"] = lambda: monkeypatch.setattr(
        "harness.stages.context.read_stack", stop
    )
    bench.failing = {"hook dump": ContainerUnavailableError("none")}
    execution = bench.execution()
    with pytest.raises(AbortedError):
        execution.run()
    assert [str(result.outcome) for result in execution.results] == ["passed", "passed", "aborted"]


@pytest.mark.parametrize("moment", ["assert backup", "hook tidy"])
def test_a_break_is_told_once(bench: Bench, moment: str) -> None:
    """The stages after the one that it is told in are judged by what happens in them."""
    event = "settle" if moment == "assert backup" else "answer"
    bench.then[moment] = lambda: bench.then.update({event: bench.crash})
    assert bench.performed()["custom"] == "passed"


@pytest.mark.parametrize("moment", ["settle", "assert backup"])
def test_nothing_is_a_verdict_on_a_machine_that_is_not_fit_for_one(
    bench: Bench, moment: str
) -> None:
    """An app that fails where the disk is full, or the Swarm gone, fails in words of its own."""
    bench.spoiled = True
    if moment == "settle":
        bench.failing = {"settle": ConvergenceError("the app did not come up")}
    else:
        bench.asserted = {Stage.BACKUP: Outcome.FAILED}
    words = set(bench.performed().values())
    assert "error" in words
    assert "failed" not in words


def test_the_waits_of_a_stage_are_counted_apart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it had settled and answered; each look at this clock is a second later."""
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr("harness.stages.context.time", clock)
    execution = bench.execution()
    execution.run()
    waits = {str(one.stage): one.wait_seconds for one in execution.results}
    assert waits == {"install": 2, "upgrade": 3, "backup": 4, "restore": 3, "custom": 2}
    assert all(datetime.fromisoformat(one.started).tzinfo for one in execution.results)


def test_a_stage_that_was_performed_is_looked_at_once_however_it_ended(bench: Bench) -> None:
    """One that was left out or aborted has nothing to see."""
    bench.asserted = {Stage.UPGRADE: Outcome.FAILED}
    seen: list[Stage] = []
    execution = bench.execution()
    execution.observe = lambda result: seen.append(result.stage)
    execution.run()
    assert seen == [Stage.INSTALL, Stage.UPGRADE]
    assert [one.started != "" for one in execution.results] == [True, True, False, False, False]


def test_an_upgrade_that_went_wrong_still_says_what_it_changed(bench: Bench) -> None:
    """Whoever reads the report wants to see just that."""
    bench.then["deploy a chaos"] = lambda: bench.failing.update(
        {"settle": ConvergenceError("it did not come up")}
    )
    execution = bench.execution()
    execution.run()
    upgrade = execution.results[1]
    assert (upgrade.outcome, upgrade.reason) == (Outcome.FAILED, "it did not come up")
    assert upgrade.facts["images_before"] == {"app": "nginx:b"}
    assert upgrade.facts["images"] == {"app": "nginx:a"}
    assert upgrade.facts["labels_after"] == {"app": LABELS}
    assert execution.results[0].facts["images"] == {"app": "nginx:b"}


@pytest.mark.parametrize(
    ("look", "said", "word"),
    [
        ("broken_since", "app broke", "failed"),
        ("changed_since", "service db was added", "error"),
    ],
)
def test_a_stage_without_test_files_is_compared_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, look: str, said: str, word: str
) -> None:
    """The harness's own comparisons do not depend on which assertions run."""
    bare = {str(stage): PlannedStage(stage=stage, runs=True, asked=True) for stage in Stage}
    monkeypatch.setattr(HandOvers, look, lambda _: said)
    assert bench.performed(full(**bare))["install"] == word
    assert said in bench.finished[0].reason


def test_test_files_that_cannot_be_read_to_their_end_are_an_error_of_that_kind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is deployed, and the first stage has the reason; nobody has to read its words."""
    hangs = Asserted(seconds=1, results=(), unfinished="test_it.py did not end within 120 s")

    class Hanging(nullcontext[Any]):
        def read(self, _: object, *, timeout: float) -> Asserted:
            assert timeout == 120
            return hangs

    monkeypatch.setattr("harness.assertions.runner.Workers", lambda *_: Hanging(Hanging()))
    plan = full()
    mine = [replace(one, files=((Path("t.py"), Origin.OVERLAY),)) for one in plan.stages]
    execution = bench.execution(replace(plan, stages=tuple(mine)))
    execution.run()
    first, *later = execution.results
    assert (first.outcome, first.kind) == (Outcome.ERROR, "TestCodeError")
    assert first.reason == f"{BROKEN_TEST_CODE}: {hangs.unfinished}"
    assert {one.outcome for one in later} == {Outcome.ABORTED}
    assert not bench.events
