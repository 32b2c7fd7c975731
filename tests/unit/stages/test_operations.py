"""Each stage's op: on a stack that has settled, with the wait and the facts that belong to it.

What keeps an app's data (backup, restore, witnesses) has a file of its own.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import (
    ConvergenceError,
    EngineError,
    InternalError,
    InvalidRecipeError,
    LockLostError,
    RecipeError,
    TestBedError,
)
from harness.core.ledger import Op
from harness.core.model import Stage, WarningCode
from harness.recipes.doors import Door
from harness.recipes.meta import RecipeMeta
from harness.stages.handover import NOTHING
from harness.swarm.jobs import JOB_SECONDS
from harness.swarm.readiness import Before
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_run import BASE, HEAD, LABELS, NOTE, Bench, full, previous, set_up
from tests.unit.fake_stack import ended, look, service, task

LATER = list(Stage)[1:]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which everything goes well."""
    return set_up(tmp_path, monkeypatch)


# Before an op


@pytest.mark.parametrize("stage", LATER)
def test_the_stack_has_settled_before_anything_is_done_to_it(bench: Bench, stage: Stage) -> None:
    """What an assertion, a kill or a slow host left under way must not meet the hook or the op."""
    operations = bench.until(previous(stage))
    given = operations.given.last.look
    operations.perform(stage)
    assert bench.events[:2] == ["settle", f"seed {stage}"]
    assert bench.befores[0] == Before.of(given)


def test_an_install_has_nothing_to_wait_for(bench: Bench) -> None:
    """There is no stack, and so no seed hook either."""
    bench.operations().perform(Stage.INSTALL)
    assert bench.events[:2] == ["begin deploy", "deploy b pinned"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("stage", [one for one in Stage if one is not Stage.CUSTOM])
def test_a_run_whose_lock_was_lost_does_nothing_more(
    bench: Bench, stage: Stage, *, late: bool
) -> None:
    """The fence stands before the seed hook, and again between it and the op."""
    install = stage is Stage.INSTALL
    operations = bench.operations() if install else bench.until(previous(stage))
    looks = [*([True] if late and not install else []), False]

    def fence() -> None:
        if not looks.pop(0):
            raise LockLostError("taken over")

    operations.context = replace(operations.context, fence=fence)
    with pytest.raises(LockLostError):
        operations.perform(stage)
    waited = [] if install else ["settle"]
    assert bench.events == waited + ([f"seed {stage}"] if late and not install else [])


@pytest.mark.parametrize("stage", LATER)
def test_a_task_that_broke_since_the_hand_over_ends_the_stage(bench: Bench, stage: Stage) -> None:
    """The app broke by itself: nothing is seeded or done, and the reason names when it did."""
    operations = bench.until(previous(stage))
    bench.crash()
    with pytest.raises(ConvergenceError) as caught:
        operations.perform(stage)
    assert caught.value.what == (
        f"app broke after the {previous(stage)} had settled: non-zero exit (1)"
    )
    assert bench.events == ["settle"]


@pytest.mark.parametrize("stage", LATER)
def test_a_container_that_was_killed_from_outside_ends_nothing(bench: Bench, stage: Stage) -> None:
    """Somebody else did that; the new container is waited for, and the run goes on."""
    operations = bench.until(previous(stage))
    bench.kill()
    operations.perform(stage)
    assert bench.events[:3] == ["settle", "answer", f"seed {stage}"]


def test_a_job_gets_its_time_before_the_base_is_upgraded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """invoiceninja/dockerfiles#374: a migration may take 90 s, and an upgrade would stop it."""
    clock = stop_the_clock(monkeypatch)

    def grow() -> None:
        aged = {name: replace(one, age=clock.now) for name, one in bench.stack.containers.items()}
        bench.stack = replace(bench.stack, containers=aged)

    operations = bench.until(Stage.INSTALL)
    bench.change(restart="none")
    grow()
    clock.on_sleep = grow
    settled: list[float] = []
    bench.then["settle"] = lambda: settled.append(clock.now)
    operations.perform(Stage.UPGRADE)
    assert JOB_SECONDS["none"] <= settled[0] < JOB_SECONDS["none"] + 1
    assert operations.context.ran == {"app": settled[0]}


def test_what_ended_is_told_with_the_evidence_of_the_base(bench: Bench) -> None:
    """A service that the base ended as well is a job, and one that the kernel killed is told."""
    operations = bench.until(Stage.INSTALL)
    bench.change(restart="on-failure")
    app = bench.stack.services[0]
    bench.stack = look(app, tasks=(task(app, state="complete", desired="shutdown"),))
    context = operations.context
    context.warn_of_ends()
    assert [one.code for one in bench.warned[-1:]] == [WarningCode.SERVICE_ENDED]
    bench.warned.clear()
    context.remember_base(bench.stack)
    context.nodes.events.add({"Action": "oom", "id": "c-app-1"})
    context.warn_of_ends()
    assert [one.code for one in bench.warned] == [WarningCode.OUT_OF_MEMORY]


def test_what_broke_before_the_hand_over_is_not_held_against_a_later_stage(bench: Bench) -> None:
    """An app may crash until its database is up; what settled in the end has settled."""
    bench.then["deploy b pinned"] = bench.crash
    operations = bench.until(Stage.INSTALL)
    assert operations.given.broken_since() == ""
    operations.perform(Stage.UPGRADE)


def test_the_same_containers_are_not_asked_for_an_answer_again(bench: Bench) -> None:
    """They answered at the hand-over; only those that came since may not listen yet."""
    operations = bench.until(Stage.INSTALL)
    operations.perform(Stage.UPGRADE)
    assert bench.events.count("answer") == 1
    bench.events.clear()
    bench.replace_task()
    bench.answers = [0, 502]
    operations.perform(Stage.BACKUP)
    assert bench.events[:5] == ["settle", "answer", "answer", "answer", "seed backup"]


def test_a_hook_is_announced_where_there_is_one(bench: Bench) -> None:
    """A step that says so while there is none would send a reader looking for it."""
    bench.hooked = (Stage.INSTALL, Stage.BACKUP)
    bench.until(Stage.CUSTOM)
    assert [said for said in bench.steps_said if "hook" in said] == ["backup: seed hook"]
    assert [said for said in bench.steps_said if said.endswith(": op")] == [
        "install: op", "upgrade: op", "backup: op", "restore: op",
    ]  # fmt: skip


# The hand-over


def test_a_hand_over_remembers_what_it_gave(bench: Bench) -> None:
    """The look, the containers that ran in it, and how many ops there had been by then."""
    given = bench.until(Stage.UPGRADE).given.last
    assert (given.stage, given.look) == (Stage.UPGRADE, bench.stack)
    assert given.containers == ("c-app-2",)
    assert given.ops == {**dict.fromkeys(map(str, Op), 0), "deploy": 1, "redeploy": 1}


def test_what_was_replaced_while_it_was_asked_is_waited_for(bench: Bench) -> None:
    """The assertions get the container that has settled, not the one that answered first."""
    operations = bench.operations()
    bench.then["answer"] = lambda: bench.replace_task(ready=False)
    operations.perform(Stage.INSTALL)
    assert bench.events[-2:] == ["answer", "settle"]
    assert operations.given.last.look == bench.stack
    assert operations.given.last.containers == ("c-app-2",)
    assert bench.befores[-1].task_ids == {"task-app-1", "task-app-2"}


def test_what_has_not_settled_is_never_handed_over(bench: Bench) -> None:
    """A wait that ends too early is a fault of the harness; no assertion may run into it."""

    def replaced_for_good() -> None:
        bench.replace_task(ready=False)
        del bench.then["settle"]

    operations = bench.until(Stage.INSTALL)
    given = operations.given.last
    bench.then["answer"] = replaced_for_good
    with pytest.raises(InternalError) as caught:
        operations.perform(Stage.UPGRADE)
    assert caught.value.what == (
        "upgrade ended before the stack was stable: app: 0/1 running (starting)"
    )
    assert operations.given.last is given


def test_a_settled_stack_is_not_waited_for_twice(bench: Bench) -> None:
    """Each wait costs every run time."""
    bench.operations().perform(Stage.INSTALL)
    assert bench.events.count("settle") == 1


def test_assertions_and_hooks_are_told_which_containers_had_settled(bench: Bench) -> None:
    """A container that is not among them is new, and may not answer yet."""
    operations = bench.operations()
    assert operations.perform(Stage.INSTALL)["commit"] == BASE
    assert operations.known.facts(Stage.INSTALL).handed_over == ("c-app-1",)
    operations.perform(Stage.UPGRADE)
    assert operations.known.facts(Stage.UPGRADE).handed_over == ("c-app-2",)
    assert operations.known.app(Stage.UPGRADE).facts == operations.known.facts(Stage.UPGRADE)


def test_what_became_of_the_app_since_then_can_be_asked(bench: Bench) -> None:
    """By whoever judges the assertions: what was changed, and what broke by itself."""
    operations = bench.until(Stage.BACKUP)
    assert (operations.given.changed_since(), operations.given.broken_since()) == ("", "")
    bench.ledger.begin(Op.RESTORE)
    assert operations.given.changed_since() == "the ledger records 1 more restore"
    bench.crash()
    assert operations.given.broken_since().startswith("app broke after the backup had settled")
    bench.change(replicas=0)
    assert "service app was changed (replicas)" in operations.given.changed_since()


def test_a_break_is_told_once(bench: Bench) -> None:
    """A later stage is not held to it a second time, but to the next one."""
    operations = bench.until(Stage.INSTALL)
    bench.crash()
    assert (
        operations.given.broken_since()
        == "app broke after the install had settled: non-zero exit (1)"
    )
    assert operations.given.broken_since() == ""
    operations.perform(Stage.UPGRADE)
    bench.crash()
    assert operations.given.broken_since().startswith("app broke after the upgrade")


def test_before_any_hand_over_nothing_broke_since(bench: Bench) -> None:
    """There is nothing to compare with, and the engine is not asked."""
    app = service()
    bench.stack = look(app, tasks=(ended(task(app)),))
    assert bench.operations().given.broken_since() == ""


@pytest.mark.parametrize("stage", list(Stage))
def test_a_task_that_breaks_when_it_is_asked_fails_its_stage(bench: Bench, stage: Stage) -> None:
    """It had settled, and broke before anything was handed over; Swarm has started another."""
    operations = bench.operations()
    for earlier in list(Stage)[: list(Stage).index(stage)]:
        operations.perform(earlier)
    bench.then["answer"] = bench.crash
    with pytest.raises(ConvergenceError) as caught:
        operations.perform(stage)
    assert caught.value.what == f"app broke after the {stage} had settled: non-zero exit (1)"
    assert operations.given.broken_since() == ""  # it is told once


@pytest.mark.parametrize("status", [0, 502, 503, 504])
def test_an_app_that_does_not_answer_yet_is_waited_for(bench: Bench, status: int) -> None:
    """Without a health check a container is up before its program listens."""
    bench.answers = [status, status]
    bench.operations().perform(Stage.INSTALL)
    assert bench.events[-4:] == ["end deploy", "answer", "answer", "answer"]


@pytest.mark.parametrize("status", [0, 404, 500])
def test_what_an_app_answers_is_for_the_assertions_to_judge(bench: Bench, status: int) -> None:
    """Here it is only waited for, and not for ever; a wrong answer is an answer."""
    bench.answers = [status] * 10_000
    bench.until(Stage.INSTALL)
    assert bench.answers
    assert (len(bench.answers) == 9_999) == bool(status)


# The install


def test_install_steps_follow_a_deploy_that_has_settled(bench: Bench) -> None:
    """They may change the app, so it has to settle again; what they printed is in the report."""
    bench.scripts = (Path("/recipe/tests/install_steps.sh"),)
    facts = bench.operations().perform(Stage.INSTALL)
    assert bench.events[1:] == [
        "deploy b pinned", "settle", "end deploy", "install steps", "settle", "answer",
    ]  # fmt: skip
    assert facts["install_steps"] == ["what they printed"]
    assert bench.befores == [Before(), Before.of(bench.stack)]


def test_the_wait_after_install_steps_knows_what_was_there_before_them(bench: Bench) -> None:
    """Else the status of an update that a script began could not be told from an older one."""
    bench.scripts = (Path("install_steps.sh"),)
    changed = service(image="nginx:2", update_started="now")
    bench.then["install steps"] = lambda: setattr(bench, "stack", look(changed))
    bench.operations().perform(Stage.INSTALL)
    assert bench.befores[1].update_started == {"app": "nginx:b"}
    assert bench.befores[1].templates["app"] != changed.template


def test_install_steps_that_fail_fail_the_install(bench: Bench) -> None:
    """An app that cannot be set up is not handed to anybody."""
    bench.scripts = (Path("install_steps.sh"),)
    bench.failing = {"install steps": RecipeError("they failed")}
    operations = bench.operations()
    with pytest.raises(RecipeError, match="they failed"):
        operations.perform(Stage.INSTALL)
    assert operations.given.last is NOTHING
    assert "answer" not in bench.events


def test_without_install_steps_there_is_no_word_of_them(bench: Bench) -> None:
    """Neither a wait nor a fact."""
    facts = bench.operations().perform(Stage.INSTALL)
    assert "install_steps" not in facts
    assert not any("install steps" in said for said in bench.steps_said)


def test_without_a_base_the_head_is_deployed_and_marked_as_such(bench: Bench) -> None:
    """As chaos, since it is no release."""
    operations = bench.operations(replace(full(), base=None))
    operations.perform(Stage.INSTALL)
    assert bench.events[:2] == ["begin deploy", "deploy a chaos"]
    facts = operations.known.facts(Stage.INSTALL)
    assert (facts.deployed, facts.chaos, facts.base_commit) == (HEAD, True, "")


def test_a_reader_that_does_not_start_is_the_machines_fault(bench: Bench) -> None:
    """It is started beside the deploy; where both fail, the recipe's own failure goes first."""
    bench.failing = {"reader": EngineError("no network")}
    with pytest.raises(EngineError):
        bench.operations().perform(Stage.INSTALL)
    bench.failing["deploy a chaos"] = RecipeError("refused")
    with pytest.raises(RecipeError):
        bench.operations(replace(full(), base=None)).perform(Stage.INSTALL)


# A base that cannot be installed any more


def test_a_base_that_cannot_be_installed_is_removed_and_the_head_installed_alone(
    bench: Bench,
) -> None:
    """That is not the head's fault; the upgrade is skipped, a warning says so, both are counted."""
    bench.failing = {"deploy b pinned": RecipeError("its image is gone")}
    execution = bench.execution()
    execution.run()
    words = {str(result.stage): str(result.outcome) for result in execution.results}
    assert words == {
        "install": "passed", "upgrade": "skipped", "backup": "passed", "restore": "passed",
        "custom": "passed",
    }  # fmt: skip
    reason = "base unusable: 1.0.0+1 cannot be installed: its image is gone"
    assert execution.results[1].reason == reason
    assert WarningCode.BASE_UNUSABLE in {one.code for one in bench.warned}
    assert bench.events[:8] == [
        "begin deploy", "begin undeploy", "start over", "sweep the stack",
        "end undeploy", "begin deploy", "deploy a chaos", "settle",
    ]  # fmt: skip
    facts = execution.operations.known.facts(Stage.RESTORE)
    assert (facts.deploys, facts.base_commit, facts.deployed) == (2, "", HEAD)
    assert bench.timeouts["sweep"] == 120.0


def test_a_head_that_fails_alone_has_failed_whatever_its_base_did(bench: Bench) -> None:
    """The base is not an excuse."""
    bench.failing = {
        "deploy b pinned": RecipeError("its image is gone"),
        "deploy a chaos": RecipeError("refused"),
    }
    with pytest.raises(RecipeError, match="refused"):
        bench.operations().perform(Stage.INSTALL)


def test_a_base_that_fails_for_a_reason_of_the_machine_is_not_given_up(bench: Bench) -> None:
    """Nothing is known of it then."""
    bench.failing = {"deploy b pinned": EngineError("no engine")}
    with pytest.raises(EngineError):
        bench.operations().perform(Stage.INSTALL)
    bench.failing, bench.spoiled = {"deploy b pinned": RecipeError("never healthy")}, True
    with pytest.raises(RecipeError):
        bench.operations().perform(Stage.INSTALL)
    assert "sweep the stack" not in bench.events
    assert bench.warned == []


def test_what_is_left_of_a_base_would_spoil_the_heads_install(bench: Bench) -> None:
    """A volume of the base's would be taken for the head's own."""
    bench.failing = {"deploy b pinned": RecipeError("refused")}
    bench.left = ("volume data",)
    with pytest.raises(TestBedError, match=r"could not remove 1.0.0\+1.*volume data"):
        bench.operations().perform(Stage.INSTALL)


# The upgrade


def test_a_volume_with_files_of_the_base_s_image_is_a_warning(bench: Bench) -> None:
    """They hide those of the head's. A volume that leads to the host is not read."""
    bench.seeded = True
    bench.volumes = {"data": "/data", "host": "/host"}
    bench.made_with = {"host": {"type": "none", "o": "bind", "device": "/srv"}}
    operations = bench.until(Stage.INSTALL)
    operations.perform(Stage.UPGRADE)
    (warning,) = bench.warned
    assert (warning.code, warning.stage) == (WarningCode.VOLUME_HIDES_IMAGE, Stage.UPGRADE)
    assert warning.text.startswith("volume data of service app hides files of the head's image")


def test_an_upgrade_reports_what_it_changed(bench: Bench) -> None:
    """Before and after: without that, nobody could tell an upgrade from a no-op."""
    facts = bench.until(Stage.INSTALL).perform(Stage.UPGRADE)
    assert facts["changed_services"] == ["app"]
    assert (facts["images_before"], facts["images"]) == ({"app": "nginx:b"}, {"app": "nginx:a"})
    assert facts["update_started_before"] == {"app": "nginx:b"}
    assert facts["labels_before"] == facts["labels_after"] == {"app": LABELS}


def test_each_wait_of_a_deploy_knows_what_was_there_before(bench: Bench) -> None:
    """The first has nothing to compare with; the upgrade's has the base, as the hook left it."""
    operations = bench.until(Stage.INSTALL)
    bench.then["seed upgrade"] = bench.replace_task
    operations.perform(Stage.UPGRADE)
    assert bench.befores[1].update_started == {"app": "nginx:b"}
    assert bench.befores[1].task_ids == {"task-app-1", "task-app-2"}


def test_each_adaptation_is_reported_once(bench: Bench) -> None:
    """Both deploys made it."""
    assert list(bench.until(Stage.UPGRADE).adaptations) == [NOTE]


# Time-outs, and who is asked


@pytest.mark.parametrize(
    ("own", "deploy", "other"), [(None, 180.0, 600.0), (20, 40.0, 40.0)], ids=["label", "meta"]
)
def test_every_wait_is_as_long_as_the_recipe_and_the_host_need(
    bench: Bench, own: int | None, deploy: float, other: float
) -> None:
    """A deploy's time is the recipe's label's unless its meta says another; the host's factor."""
    bench.meta = RecipeMeta(DEPLOY_TIMEOUT=own)
    bench.then["answer"] = lambda: bench.replace_task(ready=False)
    operations = bench.operations(factor=2.0)
    for stage in Stage:
        operations.perform(stage)
    # install, its hand-over; before the upgrade, upgrade; before the backup, its restart, after it;
    # then before and after each other op
    assert bench.waits == [deploy, other, other, deploy, *[other] * 6]


def test_a_label_that_allows_more_time_holds_for_every_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for deploys alone: an app that is slow to start is slow after each restart, too."""
    deploy = Bench.deploy
    monkeypatch.setattr(
        Bench, "deploy", lambda self, revision: replace(deploy(self, revision), timeout=3000)
    )
    bench.scripts = (Path("steps"),)
    operations = bench.operations(factor=0.1)
    for stage in Stage:
        operations.perform(stage)
    assert set(bench.waits) == {300.0}
    assert bench.timeouts["install steps"] == 3000
    assert (operations.known.patience, operations.known.app(Stage.CUSTOM).patience) == (3000, 3000)


def test_the_page_that_is_asked_is_that_of_what_is_deployed_now(bench: Bench) -> None:
    """A head may listen elsewhere."""
    made = bench.until(Stage.INSTALL)
    bench.services = ("app", "web")
    bench.doors = (Door(service="web", port=3000, why="a router"),)
    made.perform(Stage.UPGRADE)
    health = made.known.facts(Stage.UPGRADE).health
    assert (health.service, health.port) == ("web", 3000)


def test_a_page_that_was_there_is_remembered_for_later_stages(bench: Bench) -> None:
    """A later 403 is a failure only then; what a stage itself showed is not held against it."""
    bench.answers = [403]
    made = bench.until(Stage.UPGRADE)
    assert [made.known.facts(stage).health.answered for stage in Stage] == [
        "", "", "upgrade", "upgrade", "upgrade",
    ]  # fmt: skip
    assert made.known.facts(Stage.UPGRADE).seen["upgrade"]["page"]["status"] == 200


def test_a_page_is_compared_with_the_one_right_before_the_op(bench: Bench) -> None:
    """It may not have been ready when the install had settled, and a seed hook may set it up."""
    bench.title = "One moment"
    made = bench.until(Stage.INSTALL)
    bench.title = "Bread"
    made.perform(Stage.UPGRADE)
    earlier = made.known.facts(Stage.UPGRADE).health.earlier
    assert (earlier and earlier.title) == "Bread"
    bench.then["seed backup"] = lambda: setattr(bench, "title", "Bread for members")
    made.perform(Stage.BACKUP)
    earlier = made.known.facts(Stage.BACKUP).health.earlier
    assert (earlier and earlier.title) == "Bread for members"
    assert [one.code for one in bench.warned] == []


def test_a_page_that_is_another_one_now_is_given_time_and_then_told(bench: Bench) -> None:
    """What has just come up may show that it is not ready; the op does not end on the first."""
    bench.title = "Bread"
    made = bench.until(Stage.INSTALL)
    bench.then["deploy a chaos"] = lambda: setattr(bench, "title", "Index of /")
    asked: list[str] = []

    def answer() -> None:
        asked.append(bench.title)
        if len(asked) == 3:  # by then it has come up
            bench.title = "Bread"
        bench.then["answer"] = answer

    bench.then["answer"] = answer
    made.perform(Stage.UPGRADE)
    assert asked == [*["Index of /"] * 3, "Bread"]
    assert made.known.facts(Stage.BACKUP).health.answered == "upgrade"
    bench.then["vault data"] = lambda: setattr(bench, "title", "Index of /")
    made.perform(Stage.BACKUP)
    page = made.known.facts(Stage.RESTORE).health.earlier
    assert (page and page.title, made.known.facts(Stage.RESTORE).health.answered) == (
        "Bread",
        "upgrade",
    )


def test_a_recipe_without_a_page_is_asked_for_none_and_that_is_said(bench: Bench) -> None:
    """A worker, a mail relay: its health is what the Swarm says of it."""
    bench.doors = ()
    bench.performed()
    assert "answer" not in bench.events
    # one, however many stages say it
    assert [warning.code for warning in dict.fromkeys(bench.warned)] == [
        WarningCode.NO_PAGE, WarningCode.RESTORE_NOT_SHOWN,
    ]  # fmt: skip


def test_a_page_that_nothing_names_is_only_tried(bench: Bench) -> None:
    """Where nothing listens, the app has no page; a page that answers must go on answering."""
    bench.doors = (Door(service="app"),)
    bench.answers = [0] * 10_000
    made = bench.until(Stage.INSTALL)
    assert [warning.code for warning in bench.warned] == [WarningCode.NO_PAGE]
    bench.answers = []
    made.perform(Stage.UPGRADE)
    assert made.known.facts(Stage.BACKUP).health.answered == "upgrade"


def test_how_the_page_is_judged_is_the_metas(bench: Bench) -> None:
    """Its path, its status, and the text that proves that it is this app."""
    bench.meta = RecipeMeta(HEALTH_PATH="/x", HEALTH_STATUS=204, MARKER="it")
    health = bench.until(Stage.INSTALL).known.facts(Stage.INSTALL).health
    assert (health.path, health.status, health.marker) == ("/x", 204, "it")


def test_a_service_that_is_not_deployed_cannot_be_asked(bench: Bench) -> None:
    """The head dropped it, or the meta is wrong; the message names those that there are."""
    bench.meta = RecipeMeta(HEALTH_SERVICE="web")
    with pytest.raises(InvalidRecipeError, match="HEALTH_SERVICE 'web' is not a service") as caught:
        bench.operations().perform(Stage.INSTALL)
    assert "one of app" in caught.value.hint


def test_a_break_while_it_settles_again_is_told(bench: Bench) -> None:
    """What was replaced while it was asked for an answer may break on its way up."""

    def answer() -> None:
        bench.replace_task(ready=False)
        bench.then["settle"] = bench.crash

    bench.then["answer"] = answer
    with pytest.raises(ConvergenceError):
        bench.operations().perform(Stage.INSTALL)


@pytest.mark.parametrize("base", [True, False])
def test_what_the_swarm_ignores_of_the_head_is_a_warning(bench: Bench, *, base: bool) -> None:
    """What it ignores of a base is of no interest, and is said at the head's own deploy."""
    bench.ignored = {"app": ("privileged",)}
    operations = bench.operations(full() if base else replace(full(), base=None))
    operations.perform(Stage.INSTALL)
    assert len(bench.warned) == (0 if base else 1)
    if base:
        operations.perform(Stage.UPGRADE)
    (warning,) = bench.warned
    assert warning.code is WarningCode.OPTION_IGNORED
    assert warning.stage is (Stage.UPGRADE if base else Stage.INSTALL)
