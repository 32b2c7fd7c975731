"""Everything around a run's ops, faked: each act is an event, and any of them can go wrong."""

import base64
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
from docker.errors import NotFound

from harness.assertions.app import App
from harness.assertions.protocol import Order
from harness.assertions.runner import Asserted
from harness.backups.content import Entry
from harness.backups.restic import Snapshot
from harness.backups.witness import NAME
from harness.core.ledger import Ledger, Op
from harness.core.model import (
    Adaptation,
    AssertionResult,
    Origin,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
)
from harness.exec.exec import ExecTarget
from harness.exec.http import Response
from harness.platforms.base import Deployed, Revision, Target
from harness.recipes.doors import Door
from harness.recipes.files import Files
from harness.recipes.meta import RecipeMeta
from harness.recipes.releases import Release
from harness.recipes.versions import Version
from harness.stages.context import Context
from harness.stages.execute import Execution
from harness.stages.operations import Operations
from harness.stages.pages import GUESS_SECONDS
from harness.stages.planner import Head, Plan, PlannedStage
from harness.stages.seeding import SeedContext
from harness.swarm.nodes import Nodes
from harness.swarm.programs import Process
from harness.swarm.readiness import Before
from harness.swarm.states import ServiceState, StackSnapshot, TaskState
from harness.swarm.sweep import Swept
from harness.volumes.census import SCRIPT
from harness.volumes.watch import SUMS
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_stack import NODE, STACK, ended, look, service, task

BASE, HEAD = "b" * 40, "a" * 40
NOTE = Adaptation(kind="stand-in", subject="nginx:1", detail="built")
VERSION = Version.parse("1.0.0+1")
FILES = ((Path("t.py"), Origin.GENERIC),)
TARGET = Target(recipe="made", run="run1", scope="s", domain="made.test")
SECRET = "a secret of the app"  # noqa: S105  that is what it is
STARTED = "2026-01-01T00:00:00.123456789Z"
STAT = b'{"size": 1, "mode": 420, "mtime": "2026-01-01T00:00:01Z"}'
A_FILE = {"X-Docker-Container-Path-Stat": base64.b64encode(STAT).decode()}
LABELS = {
    "backupbot.backup": "true",
    "backupbot.backup.pre-hook": "dump",
    "backupbot.backup.post-hook": "tidy",
    "backupbot.restore.pre-hook": "stop",
    "backupbot.restore.post-hook": "load",
}


@dataclass(frozen=True, slots=True)
class SeenLedger(Ledger):
    """A ledger whose entries are events too."""

    happen: Callable[[str], None]

    def begin(self, op: Op, **facts: object) -> None:
        """Record that an op begins."""
        Ledger.begin(self, op, **facts)
        self.happen(f"begin {op}")

    def end(self, op: Op, **facts: object) -> None:
        """Record that an op ended."""
        Ledger.end(self, op, **facts)
        self.happen(f"end {op}")


@dataclass
class Bench:
    """A run on which everything goes well, as long as nothing else is asked for.

    Args:
        directory: where the ledger is written.
        events: what was done, in order.
        failing: what is raised instead of an event.
        then: what happens right after an event, once.
    """

    directory: Path
    events: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    then: dict[str, Callable[[], None]] = field(default_factory=dict)
    # what is deployed, and how it answers
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    volumes: Mapping[str, str] = field(default_factory=lambda: {"data": "/data"})
    unmade: set[str] = field(default_factory=set)  # volumes that no container has mounted yet
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # as services say them
    made_with: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # as the engine does
    services: tuple[str, ...] = ("app",)
    doors: tuple[Door, ...] = (Door(service="app", why="its health check"),)
    answers: list[int] = field(default_factory=list)  # before it answers 200
    title: str = ""  # of its page
    stack: StackSnapshot = field(default_factory=look)
    spoiled: bool = False  # whether the machine is not fit for a verdict any more
    asserted: dict[Stage, Outcome] = field(default_factory=dict)
    results: tuple[AssertionResult, ...] = ()  # of each stage's assertions
    # what the run is told
    meta: RecipeMeta = field(default_factory=RecipeMeta)
    scripts: tuple[Path, ...] = ()
    hooked: tuple[Stage, ...] = tuple(Stage)
    vanished: tuple[str, ...] = ()  # while they were backed up
    entries_held: Mapping[str, Entry] = field(default_factory=dict)  # by the snapshot
    broken: Mapping[str, str] = field(default_factory=dict)  # dumps, by name, and why
    lacking: tuple[str, ...] = ()  # after the restore
    # what it was seen to do
    mounted: set[str] = field(default_factory=set)  # in a vault
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)  # files in the container's own layer
    joined: bool = False  # whether the reader is on the network
    held: dict[str, int] = field(default_factory=dict)  # by volume's short name, or a folder in it
    witnesses: dict[str, str] = field(default_factory=dict)  # by volume
    saved: dict[str, str] = field(default_factory=dict)  # in the snapshot
    readers: dict[str, str] = field(default_factory=dict)
    declared: dict[str, list[str]] = field(default_factory=dict)  # by image: its volumes
    orders: dict[Stage, Order] = field(default_factory=dict)
    timeouts: dict[str, float] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    befores: list[Before] = field(default_factory=list)
    ran: dict[str, float] = field(default_factory=dict)  # of the base, as the last wait was told
    written: list[bytes] = field(default_factory=list)
    steps_said: list[str] = field(default_factory=list)
    finished: list[StageResult] = field(default_factory=list)
    warned: list[RunWarning] = field(default_factory=list)
    processes: tuple[Process, ...] = ()  # of each container
    seeded: bool = False  # whether the images have a file where a volume is mounted
    tasks_made: int = 0
    left: tuple[str, ...] = ()  # of a stack that was to be removed
    # what the fakes are asked for by those that know them by another name
    name: str = "fake"
    path: Path = Path("/recipe")
    secret_values: tuple[str, ...] = (SECRET,)

    def happen(self, event: str) -> None:
        """Record an event, or fail instead; then let happen what is to happen after it."""
        if event in self.failing:
            raise self.failing[event]
        self.events.append(event)
        self.then.pop(event, lambda: None)()

    # what can become of the app meanwhile

    def change(self, **changes: Any) -> None:  # noqa: ANN401  any field of a service
        """Let somebody change the service; its tasks are those of the new one at once."""
        first, *others = self.stack.services
        self.stack = look(replace(first, **changes), *others)

    def replace_task(
        self, code: int = 0, error: str = "", *, ready: bool = True, killed: bool = False
    ) -> None:
        """Let the task end, and Swarm start another one; by default it was shut down in order.

        With `ready` False, the new one is up only once somebody has waited for it; with `killed`,
        the engine's events say that the old one was killed from outside.
        """
        app, *_ = self.stack.services
        old = next(one for one in self.stack.tasks if one.desired == "running")
        over = (
            ended(old, code, error) if code else replace(old, state="shutdown", desired="shutdown")
        )
        new = self._task(app)
        others = tuple(one for one in self.stack.tasks if one is not old)
        dead = self.stack.killed | ({old.id} if killed else frozenset())
        up = replace(look(app, tasks=(*others, over, new)), killed=dead)
        self.stack = up
        if not ready:
            tasks = (*others, over, replace(new, state="starting"))
            self.stack = replace(up, tasks=tasks)
            self.then["settle"] = lambda: setattr(self, "stack", up)

    def observed(self) -> bool:
        """Whether something of ours is at the app's volumes or on its network."""
        return self.joined or bool(self.mounted)

    def crash(self) -> None:
        """Let the app break by itself."""
        self.replace_task(1, "non-zero exit (1)")

    def kill(self) -> None:
        """Let somebody kill the app's container from outside."""
        self.replace_task(137, "non-zero exit (137)", killed=True)

    @property
    def api(self) -> Any:  # noqa: ANN401  the engine's
        """The engine, which still knows the containers of the tasks that it keeps."""

        def inspect(identity: str) -> dict[str, Any]:
            if identity not in {one.container_id for one in self.stack.tasks}:
                raise NotFound(identity)
            return {"State": {"StartedAt": STARTED}}

        def inspect_volume(name: str) -> dict[str, Any]:
            if short(name) in self.unmade:
                raise NotFound(name)
            return {"Name": name, "Options": self.made_with.get(short(name))}

        return SimpleNamespace(
            inspect_container=inspect, base_url="http://elsewhere",
            inspect_volume=inspect_volume, networks=lambda **_: [{"Id": "shared"}],
            diff=lambda _: [{"Path": path, "Kind": 1} for path in self.changed] or None,
            api_version="1.41", head=lambda *_, **__: SimpleNamespace(headers=A_FILE),
        )  # fmt: skip

    @property
    def images(self) -> Any:  # noqa: ANN401  the engine's
        """The engine's images, with the volumes that they declare."""

        def get(name: str) -> Any:  # noqa: ANN401  an image
            volumes: dict[str, object] = {place: {} for place in self.declared.get(name, ())}
            return SimpleNamespace(attrs={"Config": {"Volumes": volumes or None}})

        return SimpleNamespace(get=get)

    def info(self) -> Mapping[str, Any]:
        """The engine, which is well, or has left its Swarm."""
        state = "inactive" if self.spoiled else "active"
        return {"Swarm": {"LocalNodeState": state, "ControlAvailable": True}}

    def _task(self, owner: ServiceState) -> TaskState:
        self.tasks_made += 1
        return task(owner, self.tasks_made)

    # the repository, the platform and the seed hooks

    def files(self, commit: str) -> Files:
        """Return a commit's files, as the clone does; nothing here reads any."""
        return Files(commit=commit, objects=lambda *_: b"")

    def start_over(self) -> None:
        """Take the app down and forget it, as the platform does."""
        self.happen("start over")

    def sweep_stack(self, client: object, stack: str, *, timeout: float, nodes: Nodes) -> Swept:
        """Remove the stack, or leave a volume of it."""
        assert (client, stack, nodes.own) == (self, STACK, NODE)
        self.happen("sweep the stack")
        self.timeouts["sweep"] = timeout
        self.stack = look()
        return Swept(removed={"service": 1}, left=self.left)

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy, as the platform does."""
        assert (revision.source, revision.files.commit) == (self.path, revision.commit)
        assert not self.observed(), "the app's containers may be replaced now"
        image = f"nginx:{revision.commit[0]}"
        app = service(image=image, labels=self.labels, volumes=self.volumes, options=self.options)
        self.stack = look(app, tasks=(self._task(app),))
        self.happen(f"deploy {revision.commit[0]} {'chaos' if revision.chaos else 'pinned'}")
        return Deployed(
            version="1.0.0+1", timeout=90, services=self.services, doors=self.doors,
            adaptations=(NOTE,), ignored=self.ignored,
        )  # fmt: skip

    def run_steps(
        self, target: Target, client: object, *, secrets: Sequence[str], seconds: float
    ) -> list[str]:
        """Run the install steps."""
        self.timeouts["install steps"] = seconds
        assert (target, client, secrets) == (TARGET, self, ())
        self.happen("install steps")
        return ["what they printed"]

    def seed(self, stage: Stage, context: SeedContext) -> None:
        """Run a seed hook, which can ask the app that is up."""
        assert context.app.facts.stage is stage
        assert context.app.reader == "reader1"
        assert self.joined
        self.happen(f"seed {stage}")
        context.state[stage] = len(context.state)

    # the tool containers

    def start_reader(self) -> str:
        """Start the reader, beside the deploy: its place among the events is left open."""
        if "reader" in self.failing:
            raise self.failing["reader"]
        return "reader1"

    def join(self) -> None:
        """Put the reader on the network."""
        self.joined = True

    def leave(self) -> None:
        """Take the reader off the network."""
        self.joined = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Keep the reader on the network for the length of a block."""
        self.join()
        yield
        self.leave()

    @contextmanager
    def vault(self, volumes: tuple[str, ...], *, node: str = "") -> Iterator[Any]:
        """Start a vault, which is this bench too."""
        assert node == "", "there is one node"
        self.mounted = set(volumes)
        self.happen(f"vault {' '.join(short(name) for name in volumes)}")
        yield self
        self.mounted = set()

    @property
    def target(self) -> Any:  # noqa: ANN401  where commands in the vault are run
        """The vault's container: files are counted there, and witnesses written and read."""

        def execute(argv: Sequence[str], **options: Any) -> Any:  # noqa: ANN401  as an exec
            if argv[2] == SCRIPT:
                lines = [f"D\t{n}\t{n * 10}\t0\t{STACK}_{key}\n" for key, n in self.held.items()]
                return SimpleNamespace(stdout="".join(lines).encode())
            if argv[2] == SUMS:
                assert options["stdin"] == b"a.js\0"
                return SimpleNamespace(stdout=b"of nginx:b  a.js\0")
            _, _, volume, name = argv[-1].split("/")
            assert (name, options["timeout"]) == (NAME, 60.0)
            assert volume in self.mounted
            if "stdin" not in options:
                text = self.witnesses.get(volume)
                return SimpleNamespace(code=100 if text is None else 0, text=text)
            self.written.append(options["stdin"])
            self.witnesses[volume] = options["stdin"].decode()
            return self.happen(f"witness {short(volume)}")

        return SimpleNamespace(exec=execute, resolve=lambda: "vault1")

    def backup(self, parts: Any, *, host: str, own_files: int) -> Snapshot:  # noqa: ANN401
        """Back up; the app itself has one file."""
        assert self.mounted >= {part.volume for part in parts}
        self.saved = dict(self.witnesses)
        assert host == STACK
        self.happen(f"backup {' '.join(short(part.volume) for part in parts)}, {own_files} own")
        return Snapshot(id="0a1b", files=1 + own_files, size=30, vanished=self.vanished)

    def restore(self, snapshot: str, parts: Any) -> None:  # noqa: ANN401  parts of a backup
        """Restore."""
        self.witnesses = dict(self.saved)
        self.happen(f"restore {snapshot} {' '.join(short(part.volume) for part in parts)}")

    def put_back(self, snapshot: str, parts: Any) -> Any:  # noqa: ANN401  stands in for a `PutBack`
        """Return what compares the volumes with the snapshot."""
        assert (snapshot, bool(parts)) == ("0a1b", True)

        def compare(*, since: float, whole: bool) -> tuple[str, ...]:
            assert since > 0
            assert whole is not any("restore" in label for label in self.labels)
            return self.lacking

        return SimpleNamespace(not_put_back=compare)

    def extract(self, snapshot: str) -> str:
        """Unpack the snapshot."""
        return f"/store/extracted/{snapshot}"

    def entries(self, directory: str) -> Mapping[str, Entry]:
        """Return what the snapshot holds."""
        assert directory == "/store/extracted/0a1b"
        return self.entries_held

    def broken_dumps(self, directory: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Return which of the dumps that hooks wrote are not whole."""
        assert directory == "/store/extracted/0a1b"
        return ((name, self.broken[name]) for name in names if name in self.broken)

    def hook(self, target: ExecTarget, command: str, *, label: str, timeout: float) -> str:
        """Run a hook of a label."""
        assert target.name == "app"
        assert not self.observed(), "a hook may restart the app"
        self.happen(f"hook {command}")
        self.timeouts[label] = timeout
        return "x" * 3000

    # the waits, and what they look at

    def settle(self, nodes: Nodes, stack: str, *, before: Before, timeout: float) -> StackSnapshot:
        """Wait until settled."""
        assert cast("object", nodes.client) is self
        assert (nodes.own, stack) == (NODE, STACK)
        assert not self.observed(), "the app's containers may be replaced now"
        self.happen("settle")
        self.befores.append(replace(before, ran={}))
        self.ran = dict(before.ran)
        self.waits.append(timeout)
        return self.stack

    def restart(
        self,
        client: object,
        look: Callable[[], StackSnapshot],
        *,
        ran: Container[str],
    ) -> tuple[str, ...]:
        """Restart all services."""
        assert client is self
        assert look() is self.stack
        assert not self.observed(), "the app's containers are replaced now"
        self.happen("restart" if "app" in ran else "restart all but what may be a job")
        return tuple(one.name for one in self.stack.services)

    def contents(
        self, client: object, image: str, place: str, labels: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the checksums of what an image has at a volume's place."""
        assert client is self
        assert (place in self.volumes.values(), labels["ccci.run"]) == (True, TARGET.run)
        return {"a.js": f"of {image}"} if self.seeded else {}

    def read(self, nodes: Nodes, stack: str) -> StackSnapshot:
        """Take a look."""
        assert cast("object", nodes.client) is self
        assert (nodes.own, stack) == (NODE, STACK)
        return self.stack

    def answer(self, app: App) -> Response:
        """Answer a request for the app's page, on a handle that waits for no container."""
        assert (app.reader, app.facts.handed_over) == ("reader1", ())
        assert self.joined
        body = f"<title>{self.title}</title>".encode() if self.title else b""
        if app.patience == GUESS_SECONDS:  # a last look before an op
            return Response(url="u", status=200, headers={}, body=body, container="c")
        status = self.answers.pop(0) if self.answers else 200
        self.happen("answer")
        return Response(url="u", status=status, headers={}, body=body, container="c")

    # the children that assert

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

    def run(self, order: Order, *, timeout: float) -> Asserted:
        """Assert."""
        assert self.joined
        stage = order.facts.stage
        self.happen(f"assert {stage}")
        self.orders[stage], self.timeouts["assert"] = order, timeout
        outcome = self.asserted.get(stage, Outcome.PASSED)
        said = AssertionResult(
            nodeid=str(stage), origin=Origin.GENERIC, outcome=outcome, seconds=0, message="said so"
        )
        return Asserted(seconds=0.5, results=self.results or (said,))

    # what is tested

    @property
    def ledger(self) -> Ledger:
        """The run's ledger."""
        return SeenLedger(self.directory / "ledger", self.happen)

    def operations(self, plan: Plan | None = None, *, factor: float = 1.0) -> Operations:
        """Return the ops of a plan, over this bench."""
        fake: Any = self
        steps: Any = SimpleNamespace(scripts=self.scripts, run=self.run_steps)
        seeds: Any = SimpleNamespace(run=self.seed, has=self.hooked.__contains__)
        return Operations(
            context=Context(
                nodes=Nodes(client=fake, own=NODE), plan=plan or full(), target=TARGET,
                platform=fake, repo=fake, tools=fake, seeds=seeds, steps=steps,
                ledger=self.ledger, meta=self.meta, factor=factor, warn=self.warned.append,
                step=lambda doing: self.steps_said.append(str(doing)),
            )
        )  # fmt: skip

    def until(self, last: Stage, plan: Plan | None = None) -> Operations:
        """Return the ops, of which those up to that stage have been performed, and no event yet."""
        made = self.operations(plan)
        self.leave()
        for stage in list(Stage)[: list(Stage).index(last) + 1]:
            made.perform(stage)
        self.events.clear()
        self.befores.clear()
        return made

    def execution(self, plan: Plan | None = None, *, factor: float = 1.0) -> Execution:
        """Return an execution of a plan, over this bench."""
        return Execution(
            operations=self.operations(plan, factor=factor), directory=self.directory,
            tests=Path("/tests"), environ={"A": "1"}, engine={"DOCKER_HOST": "x"},
            finished=self.finished.append,
        )  # fmt: skip

    def performed(self, plan: Plan | None = None) -> dict[str, str]:
        """Perform a plan, and return each stage's outcome."""
        execution = self.execution(plan)
        execution.run()
        assert self.finished == execution.results
        return {str(result.stage): str(result.outcome) for result in execution.results}


def short(volume: str) -> str:
    """Return a volume's name as the compose file has it."""
    assert volume.startswith(f"{STACK}_")
    return volume.removeprefix(f"{STACK}_")


def previous(stage: Stage) -> Stage:
    """Return the stage that comes before that one."""
    return list(Stage)[list(Stage).index(stage) - 1]


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


def set_up(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench on which everything goes well."""
    made = Bench(directory)
    monkeypatch.setattr("harness.stages.context.settle", made.settle)
    monkeypatch.setattr("harness.stages.context.read_stack", made.read)
    monkeypatch.setattr("harness.stages.context.restart", made.restart)
    monkeypatch.setattr("harness.volumes.running.Running._processes", lambda *_: made.processes)
    monkeypatch.setattr("harness.volumes.hidden.contents", made.contents)
    monkeypatch.setattr("harness.stages.operations.sweep_stack", made.sweep_stack)
    monkeypatch.setattr("harness.backups.native.run_hook", made.hook)
    monkeypatch.setattr("harness.assertions.runner.Workers", made.workers)
    monkeypatch.setattr(App, "ask", lambda app, *_: made.answer(app))
    stop_the_clock(monkeypatch)
    return made
