"""Performing a plan: each op once and in its order, and what one stage's end means for the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from docker.errors import DockerException

from harness.assertions.app import App
from harness.assertions.protocol import Order
from harness.assertions.runner import Asserted
from harness.backups.restic import Snapshot
from harness.docker.exec import ExecTarget
from harness.docker.readiness import Before
from harness.docker.snapshot import ServiceState, StackSnapshot, TaskState
from harness.errors import (
    AbortedError,
    BackupError,
    ConvergenceError,
    EngineError,
    RecipeError,
)
from harness.execute import Execution
from harness.ledger import Ledger
from harness.model import Adaptation, Origin, Outcome, Stage, StageResult
from harness.operations import Context, Operations
from harness.plan.planner import Head, Plan, PlannedStage
from harness.platforms.base import Deployed, Revision, Target
from harness.recipes.meta import RecipeMeta
from harness.recipes.repo import Release
from harness.recipes.versions import Version
from harness.seeding import SeedContext
from tests.unit.fake_engine import stop_the_clock

BASE, HEAD = "b" * 40, "a" * 40
NOTE = Adaptation(kind="stand-in", subject="nginx:1", detail="built")
VERSION = Version.parse("1.0.0+1")
FILES = ((Path("t.py"), Origin.GENERIC),)
TARGET = Target(recipe="made", run="run1", scope="s", domain="made.test")
LABELS = {
    "backupbot.backup": "true",
    "backupbot.backup.pre-hook": "dump",
    "backupbot.backup.post-hook": "tidy",
    "backupbot.restore.pre-hook": "stop",
    "backupbot.restore.post-hook": "load",
}


def look(labels: Mapping[str, str], *, image: str) -> StackSnapshot:
    """Return a look at a stack of one service with one volume."""
    mounts = [{"Type": "volume", "Source": "made_test_data", "Target": "/data"}]
    service = ServiceState(
        id="i", name="app", image=image, labels=labels, replicas=1, job=False, restart="any",
        update_state="", update_started=image, update_message="",
        template={"ContainerSpec": {"Image": image, "Mounts": mounts}},
    )  # fmt: skip
    return StackSnapshot(
        stack="made_test", node_id="n", services=(service,), tasks=(), containers={}
    )


def broken(number: int) -> TaskState:
    """Return a task that ended badly."""
    return TaskState(
        id=f"t{number}", service_id="i", slot="1", state="failed", desired="shutdown",
        error="non-zero exit (1)", exit_code=1, container_id="", node_id="n",
        created_at=f"{number}", spec={},
    )  # fmt: skip


@dataclass
class Bench:
    """Everything around a run, faked: each act is an event, and any of them can be made to fail."""

    directory: Path
    events: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    fails_later: dict[str, Exception] = field(default_factory=dict)  # once the install is done
    asserted: dict[Stage, Outcome] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    services: tuple[str, ...] = ("app",)
    ports: Mapping[str, int] = field(default_factory=dict)
    meta: RecipeMeta = field(default_factory=RecipeMeta)
    answers: list[int] = field(default_factory=list)  # before it answers 200
    tasks: tuple[TaskState, ...] = ()
    breaks_in: Stage | None = None
    image: str = "none"
    dirty_tree: bool = False
    path: Path = Path("/recipe")
    orders: dict[Stage, Order] = field(default_factory=dict)
    timeouts: dict[str, float] = field(default_factory=dict)
    befores: list[Before] = field(default_factory=list)
    finished: list[StageResult] = field(default_factory=list)
    name: str = "fake"

    def happen(self, event: str) -> None:
        """Record an event, or fail instead."""
        if "assert install" in self.events:
            self.failing |= self.fails_later
        if event in self.failing:
            raise self.failing[event]
        self.events.append(event)

    def checkout(self, commit: str) -> None:
        """Check a commit out, as the clone does."""
        self.happen(f"checkout {commit[0]}")

    def dirty(self) -> bool:
        """Whether the checkout was changed."""
        return self.dirty_tree

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy, as the platform does."""
        assert (revision.directory, revision.dirty) == (self.path, self.dirty_tree)
        how = "chaos" if revision.chaos else "pinned"
        self.happen(f"deploy {revision.commit[0]} {how}")
        self.image = f"nginx:{revision.commit[0]}"
        return Deployed(
            version="1.0.0+1", timeout=90, services=self.services, ports=self.ports,
            adaptations=(NOTE,),
        )  # fmt: skip

    def start_reader(self) -> str:
        """Start the reader, beside the deploy: its place among the events is left open."""
        if "reader" in self.failing:
            raise self.failing["reader"]
        return "reader1"

    def vault(self, volumes: tuple[str, ...]) -> Self:
        """Start the vault, which is this bench too."""
        assert volumes == ("made_test_data",)
        self.happen("vault")
        return self

    def backup(self, parts: Any, *, host: str) -> Snapshot:  # noqa: ANN401  parts of a backup
        """Back up."""
        assert ([part.volume for part in parts], host) == (["made_test_data"], "made_test")
        self.happen("backup")
        return Snapshot(id="0a1b", files=2, size=30)

    def restore(self, snapshot: str, parts: Any) -> None:  # noqa: ANN401  the same
        """Restore."""
        assert len(parts) == 1
        self.happen(f"restore {snapshot}")

    def seed(self, stage: Stage, context: SeedContext) -> bool:
        """Run a seed hook, which can ask the app that is up."""
        assert context.app.facts.stage is stage
        assert context.app.reader == "reader1"
        self.happen(f"seed {stage}")
        context.state[stage] = len(context.state)
        return True

    def hook(self, target: ExecTarget, command: str, *, label: str, timeout: float) -> str:
        """Run a hook of a label."""
        assert target.name == "app"
        self.happen(f"hook {command}")
        self.timeouts[label] = timeout
        return "x" * 3000

    def settle(
        self, _client: object, stack: str, *, node_id: str, before: Before, timeout: float
    ) -> StackSnapshot:
        """Wait until settled."""
        assert (stack, node_id) == ("made_test", "n")
        self.happen("settle")
        self.befores.append(before)
        self.timeouts.setdefault("settle", timeout)
        return look(self.labels, image=self.image)

    def read(self, _client: object, stack: str, *, node_id: str) -> StackSnapshot:
        """Take a look."""
        assert (stack, node_id) == ("made_test", "n")
        return replace(look(self.labels, image=self.image), tasks=self.tasks)

    def answer(self, app: App) -> Any:  # noqa: ANN401  a response
        """Answer a request for the health page."""
        assert app.reader == "reader1"
        status = self.answers.pop(0) if self.answers else 200
        self.happen("answer")
        return SimpleNamespace(status=status)

    def workers(self, logs: Path, environ: Mapping[str, str]) -> Self:
        """Return the children, which are this bench too."""
        assert (logs, environ) == (self.directory / "logs", {"A": "1"})
        return self

    def __enter__(self) -> Self:
        """Begin with no child."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the children."""
        self.events.append("children ended")

    def prepare(self, stage: Stage) -> None:
        """Start a child early; when, is another matter."""

    def run(self, stage: Stage, order: Order, *, timeout: float) -> Asserted:
        """Assert."""
        self.happen(f"assert {stage}")
        self.orders[stage], self.timeouts["assert"] = order, timeout
        outcome = self.asserted.get(stage, Outcome.PASSED)
        if stage is self.breaks_in:
            self.tasks = (*self.tasks, broken(2))
        return Asserted(outcome=outcome, reason=f"{outcome} {stage}", seconds=0.5, results=())

    def execution(self, plan: Plan, *, factor: float = 1.0) -> Execution:
        """Return an execution of a plan, over this bench."""
        fake: Any = self
        seeds: Any = SimpleNamespace(run=self.seed, has=lambda _stage: True)
        operations = Operations(
            context=Context(
                client=fake, plan=plan, target=TARGET, platform=fake, repo=fake, tools=fake,
                seeds=seeds, ledger=Ledger(self.directory / "ledger"), meta=self.meta,
                node_id="n", factor=factor,
            )
        )  # fmt: skip
        return Execution(
            plan=plan, operations=operations, directory=self.directory, tests=Path("/tests"),
            environ={"A": "1"}, engine={"DOCKER_HOST": "x"}, factor=factor,
            finished=self.finished.append,
        )  # fmt: skip

    def performed(self, plan: Plan | None = None) -> dict[str, str]:
        """Perform a plan, and return each stage's outcome."""
        execution = self.execution(plan or full())
        execution.run()
        assert self.finished == execution.results
        return {str(result.stage): str(result.outcome) for result in execution.results}

    def ledger(self) -> list[str]:
        """Return the ledger's ops, as they began and ended."""
        entries = Ledger(self.directory / "ledger").entries()
        return [f"{entry['event']} {entry['op']}" for entry in entries]


def full(**changes: PlannedStage) -> Plan:
    """Return a plan of all stages, with an upgrade; the changes replace stages by name."""
    assert VERSION is not None
    head = Head(commit=HEAD, ref="main", version=None, has_backup=True)
    base = Release(tag="1.0.0+1", version=VERSION, commit=BASE, annotated=True)
    stages = [
        changes.get(str(stage), PlannedStage(stage=stage, runs=True, asked=True, files=FILES))
        for stage in Stage
    ]
    return Plan(recipe="made", head=head, base=base, stages=tuple(stages))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which everything goes well."""
    made = Bench(tmp_path)
    monkeypatch.setattr("harness.operations.settle", made.settle)
    monkeypatch.setattr("harness.operations.read_stack", made.read)
    monkeypatch.setattr("harness.operations.run_hook", made.hook)
    monkeypatch.setattr("harness.assertions.runner.Workers", made.workers)
    monkeypatch.setattr(App, "http_get", lambda app: made.answer(app))  # noqa: PLW0108  or no app
    stop_the_clock(monkeypatch)
    return made


INSTALL = ["checkout b", "deploy b pinned", "settle", "answer", "assert install"]
UPGRADE = ["seed upgrade", "checkout a", "deploy a chaos", "settle", "answer", "assert upgrade"]
SAVE, LOAD = ["hook dump", "backup", "hook tidy"], ["hook stop", "restore 0a1b", "hook load"]
BACKUP = ["seed backup", "vault", *SAVE, "settle", "answer", "assert backup"]
RESTORE = ["seed restore", *LOAD, "settle", "answer", "assert restore"]
CUSTOM = ["seed custom", "assert custom"]


def test_every_act_comes_once_and_in_its_order(bench: Bench) -> None:
    """Seed hook, op, wait, an answer, assertions; no hook before the install."""
    assert set(bench.performed().values()) == {"passed"}
    assert bench.events == [*INSTALL, *UPGRADE, *BACKUP, *RESTORE, *CUSTOM, "children ended"]


def test_every_op_is_in_the_ledger_as_it_began_and_as_it_ended(bench: Bench) -> None:
    """One deployment, one redeploy in place: the assertions compare these counts."""
    bench.performed()
    ops = ("deploy", "redeploy", "backup", "restore")
    assert bench.ledger() == [f"{event} {op}" for op in ops for event in ("begin", "end")]


def test_assertions_are_told_what_is_deployed_by_now(bench: Bench) -> None:
    """The base pinned, then the head as chaos; what each op reported, what hooks remembered."""
    bench.performed()
    first, second = bench.orders[Stage.INSTALL].facts, bench.orders[Stage.UPGRADE].facts
    assert (first.deployed, first.chaos, second.deployed, second.chaos) == (BASE, False, HEAD, True)
    assert (second.base_commit, second.base_version, second.head_commit) == (BASE, "1.0.0+1", HEAD)
    last = bench.orders[Stage.CUSTOM].facts
    assert last.stage is Stage.CUSTOM
    assert last.seen["backup"]["snapshot"] == "0a1b"
    assert last.state == {"upgrade": 0, "backup": 1, "restore": 2, "custom": 3}
    order = bench.orders[Stage.CUSTOM]
    assert (order.reader, order.node_id, order.root) == ("reader1", "n", "/tests")
    assert order.results == str(bench.directory / "assertions.custom.jsonl")
    assert (order.files, order.engine) == ((("t.py", Origin.GENERIC),), {"DOCKER_HOST": "x"})


def test_an_upgrade_reports_what_it_changed(bench: Bench) -> None:
    """Before and after: without that, nobody could tell an upgrade from a no-op."""
    execution = bench.execution(full())
    execution.run()
    facts = execution.results[1].facts
    assert facts["changed_services"] == ["app"]
    assert (facts["images_before"], facts["images"]) == ({"app": "nginx:b"}, {"app": "nginx:a"})
    assert facts["update_started_before"] == {"app": "nginx:b"}
    assert facts["labels_before"] == facts["labels_after"] == {"app": LABELS}


def test_each_wait_knows_what_was_there_before_its_op(bench: Bench) -> None:
    """The first has nothing to compare with; the upgrade's has the base."""
    bench.performed()
    assert bench.befores[0] == Before()
    assert bench.befores[1].update_started == {"app": "nginx:b"}
    assert bench.befores[2].update_started == {"app": "nginx:a"}


def test_without_a_base_the_head_is_deployed_and_marked_as_such(bench: Bench) -> None:
    """As chaos, since it is no release."""
    left_out = PlannedStage(stage=Stage.UPGRADE, runs=False, asked=True, reason="no release")
    plan = replace(full(upgrade=left_out), base=None)
    bench.dirty_tree = True
    assert bench.performed(plan)["upgrade"] == "skipped"
    assert bench.events[:3] == ["checkout a", "deploy a chaos", "settle"]
    assert bench.orders[Stage.INSTALL].facts.base_commit == ""
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
        ("checkout a", OSError(28, "No space left on device"), Outcome.ERROR),
    ],
)
def test_an_op_that_goes_wrong_has_its_word_and_asserts_nothing(
    bench: Bench, event: str, error: Exception, outcome: Outcome
) -> None:
    """The recipe's fault or the machine's; never a pass, and never the end of the report."""
    bench.fails_later = {event: error}
    got = bench.performed()
    assert (got["install"], got["upgrade"], got["custom"]) == ("passed", outcome, "aborted")
    assert "assert upgrade" not in bench.events
    assert str(getattr(error, "what", error)).strip("'") in bench.finished[1].reason
    assert "end redeploy" not in bench.ledger()
    assert ("begin redeploy" in bench.ledger()) == (event in ("deploy a chaos", "settle"))


def test_a_run_that_is_told_to_stop_keeps_what_it_has(bench: Bench) -> None:
    """In an op or among assertions; the stage of the moment is aborted, nothing comes after it."""
    for event in ("backup", "assert backup"):
        bench.events.clear()
        bench.failing = {event: AbortedError("SIGINT")}
        execution = bench.execution(full())
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


@pytest.mark.parametrize(("own", "expected"), [(None, 180.0), (20, 40.0)])
def test_every_time_out_is_multiplied_for_slow_hosts(
    bench: Bench, own: int | None, expected: float
) -> None:
    """The deploy's is the recipe's label's, unless the meta says another."""
    bench.meta = RecipeMeta(DEPLOY_TIMEOUT=own)
    bench.execution(full(), factor=2.0).run()
    assert bench.timeouts == {
        "settle": expected,
        "assert": 1800.0,
        **dict.fromkeys(
            (label.removeprefix("backupbot.") for label in LABELS if "hook" in label), 1200.0
        ),
    }
    assert bench.orders[Stage.CUSTOM].timeout_factor == 2.0


def test_a_reader_that_does_not_start_is_the_machines_fault(bench: Bench) -> None:
    """It is started beside the deploy; where both fail, the recipe's own failure goes first."""
    bench.failing = {"reader": EngineError("no network")}
    assert bench.performed()["install"] == "error"
    bench.finished.clear()
    bench.failing["deploy b pinned"] = RecipeError("refused")
    assert bench.performed()["install"] == "failed"


@pytest.mark.parametrize("labels", [{}, {**LABELS, "backupbot.backup.volumes.data": "false"}])
def test_a_backup_of_nothing_has_failed(bench: Bench, labels: Mapping[str, str]) -> None:
    """An exit code of 0 and a snapshot without data would be a lie."""
    bench.labels = labels
    got = bench.performed()
    assert (got["backup"], got["restore"], got["custom"]) == ("failed", "aborted", "passed")
    assert "no volume is backed up" in bench.finished[2].reason
    assert "begin backup" not in bench.ledger()


@pytest.mark.parametrize("hook", ["hook dump", "hook tidy"])
def test_a_backups_hook_that_fails_fails_the_backup(bench: Bench, hook: str) -> None:
    """A dump that was not made is not in the snapshot, whatever restic says."""
    bench.failing = {hook: BackupError("the hook failed")}
    got = bench.performed()
    assert (got["backup"], got["restore"]) == ("failed", "aborted")
    assert "end backup" not in bench.ledger()


def test_what_hooks_print_is_kept_up_to_a_limit(bench: Bench) -> None:
    """In the report, by service and label."""
    execution = bench.execution(full())
    execution.run()
    hooks = execution.results[2].facts["hooks"]
    assert hooks == [
        {"service": "app", "label": "backup.pre-hook", "output": "x" * 2000},
        {"service": "app", "label": "backup.post-hook", "output": "x" * 2000},
    ]


@pytest.mark.parametrize("status", [0, 502, 503, 504])
def test_an_app_that_does_not_answer_yet_is_waited_for(bench: Bench, status: int) -> None:
    """Without a health check a container is up before its program listens."""
    bench.answers = [status, status]
    bench.performed()
    assert bench.events[:6] == [*INSTALL[:3], "answer", "answer", "answer"]
    assert bench.events.count("answer") == 6


@pytest.mark.parametrize("status", [0, 404, 500])
def test_what_an_app_answers_is_for_the_assertions_to_judge(bench: Bench, status: int) -> None:
    """Here it is only waited for, and not for ever; a wrong answer is an answer."""
    bench.answers = [status] * 10_000
    assert set(bench.performed().values()) == {"passed"}
    if status:
        assert bench.events.count("answer") == 4


@pytest.mark.parametrize(
    ("services", "ports", "meta", "expected"),
    [
        (("db", "app"), {}, {}, ("app", 80)),
        (("db", "app"), {"db": 1, "app": 8080}, {}, ("app", 8080)),
        (("db", "web"), {"web": 3000}, {}, ("web", 3000)),
        (("db", "web"), {}, {}, ("db", 80)),
        (("app", "web"), {"web": 3000}, {"HEALTH_SERVICE": "web"}, ("web", 3000)),
        (("app",), {"app": 3000}, {"HEALTH_PORT": 81}, ("app", 81)),
    ],
)
def test_who_is_asked_for_a_page(
    bench: Bench,
    services: tuple[str, ...],
    ports: Mapping[str, int],
    meta: Mapping[str, Any],
    expected: tuple[str, int],
) -> None:
    """What is deployed now decides, unless the recipe's meta does: `app`, or where Traefik goes."""
    bench.services, bench.ports, bench.meta = services, ports, RecipeMeta(**meta)
    bench.performed()
    health = bench.orders[Stage.UPGRADE].facts.health
    assert (health.service, health.port) == expected


def test_how_the_page_is_judged_is_the_metas(bench: Bench) -> None:
    """Its path, its status, and the text that proves that it is this app."""
    bench.meta = RecipeMeta(HEALTH_PATH="/x", HEALTH_STATUS=204, MARKER="it")
    bench.performed()
    health = bench.orders[Stage.INSTALL].facts.health
    assert (health.path, health.status, health.marker) == ("/x", 204, "it")


def test_a_service_that_is_not_deployed_cannot_be_asked(bench: Bench) -> None:
    """The head dropped it, or the meta is wrong; the message names those that there are."""
    bench.meta = RecipeMeta(HEALTH_SERVICE="web")
    assert bench.performed()["install"] == "failed"
    assert "no service 'web'" in bench.finished[0].reason
    assert "one of app" in bench.finished[0].reason


def test_a_task_that_breaks_while_it_is_asserted_fails_the_stage(bench: Bench) -> None:
    """A service that crashes every few seconds looks fine in between."""
    bench.tasks, bench.breaks_in = (broken(1),), Stage.BACKUP
    got = bench.performed()
    assert list(got.values()) == ["passed", "passed", "failed", "aborted", "passed"]
    reason = "app broke after the backup had settled: non-zero exit (1)"
    assert bench.finished[2].reason == reason


def test_an_assertion_that_failed_says_more_than_a_broken_task(bench: Bench) -> None:
    """Its own words stay."""
    bench.asserted, bench.breaks_in = {Stage.BACKUP: Outcome.ERROR}, Stage.BACKUP
    assert bench.performed()["backup"] == "error"
    assert bench.finished[2].reason == "error backup"


def test_each_adaptation_is_reported_once(bench: Bench) -> None:
    """Both deploys made it."""
    execution = bench.execution(full())
    execution.run()
    assert list(execution.operations.adaptations) == [NOTE]
