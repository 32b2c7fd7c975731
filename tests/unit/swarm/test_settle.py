"""Waiting until a stack has settled: what the wait ends in, and whose fault that is."""

import base64
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.errors import (
    ConvergenceError,
    DiskFullError,
    EngineError,
    HarnessError,
    ImageError,
    TestBedError,
)
from harness.swarm import own_limits
from harness.swarm.nodes import Nodes
from harness.swarm.readiness import Before
from harness.swarm.settle import BEFORE_START, LOOKS, describe_tasks, settle
from harness.swarm.states import ServiceState, StackSnapshot, TaskState
from tests.unit.fake_clock import stop_the_clock

SPEC: dict[str, Any] = {"ContainerSpec": {"Image": "app:1"}}
PAUSE = 0.3  # seconds between looks
OLD: dict[str, Any] = {"ContainerSpec": {"Image": "app:0"}}


def task(number: int = 1, **changes: Any) -> TaskState:  # noqa: ANN401  any field
    """Return a running task, but for the changes; its container is out of sight."""
    fields: dict[str, Any] = {
        "id": f"t{number}", "service_id": "i", "slot": "1", "state": "running",
        "desired": "running", "error": "", "exit_code": 0, "container_id": "", "node_id": "there",
        "created_at": f"2026-01-01T00:00:{number:02}Z", "spec": SPEC,
    }  # fmt: skip
    return TaskState(**{**fields, **changes})


def service(name: str = "app", identity: str = "i", **changes: Any) -> ServiceState:  # noqa: ANN401
    """Return a service of one replica, but for the changes."""
    fields: dict[str, Any] = {
        "id": identity, "name": name, "image": "app:1", "labels": {}, "replicas": 1, "job": False,
        "restart": "any", "update_state": "", "update_started": "", "update_message": "",
        "template": SPEC,
    }  # fmt: skip
    return ServiceState(**{**fields, **changes})


def look(*tasks: TaskState, services: tuple[ServiceState, ...] = (service(),)) -> StackSnapshot:
    """Return a look at a stack, of one service unless others are given, with these tasks."""
    return StackSnapshot(stack="s", node_id="here", services=services, tasks=tasks, containers={})


@dataclass
class SettleBench:
    """An engine whose stack is seen in these looks, the last of them for ever.

    Args:
        monkeypatch: makes it so.
        before: the stack before the op.
        fault: what is wrong with the machine, or None.
        found: the stack's networks, as the engine lists them.
        said: what containers wrote to their logs, by their ids.
        configs: the texts of configs, by their ids.
        events: what the engine has said of containers.
    """

    monkeypatch: pytest.MonkeyPatch
    before: Before = field(default_factory=Before)
    fault: TestBedError | None = None
    found: list[dict[str, Any]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, str]] = field(default_factory=list)

    def settle(self, *given: StackSnapshot) -> list[StackSnapshot]:
        """Settle over these looks, and return those that were taken."""
        taken: list[StackSnapshot] = []
        nodes = Nodes(client=cast("Any", SimpleNamespace(api=self)), own="there")
        for event in self.events:
            nodes.events.add(event)

        def read(used: object, stack: str) -> StackSnapshot:
            assert (used, stack) == (nodes, "s")
            taken.append(given[min(len(taken), len(given) - 1)])
            return taken[-1]

        def spoiled(used: object) -> TestBedError | None:
            assert used is nodes
            return self.fault

        self.monkeypatch.setattr("harness.swarm.settle.read_stack", read)
        self.monkeypatch.setattr("harness.swarm.settle.spoiled", spoiled)
        assert settle(nodes, "s", before=self.before, timeout=9, interval=PAUSE) is taken[-1]
        return taken

    def error(self, kind: type[HarnessError], *given: StackSnapshot) -> HarnessError:
        """Settle over these looks, and return the error of exactly that kind that it ends in."""
        with pytest.raises(kind) as caught:
            self.settle(*given)
        assert type(caught.value) is kind
        return caught.value

    def networks(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List the stack's networks, as the engine does."""
        assert filters == {"label": "com.docker.stack.namespace=s"}
        return self.found

    def inspect_config(self, identity: str) -> dict[str, Any]:
        """Return a config, as the engine does."""
        return {"Spec": {"Data": base64.b64encode(self.configs[identity].encode()).decode()}}

    def nodes(self) -> list[dict[str, Any]]:
        """List the Swarm's nodes, of which there is one."""
        node = {"Hostname": "here", "Resources": {"NanoCPUs": 2e9, "MemoryBytes": 8 << 30}}
        return [{"ID": "there", "Status": {"State": "ready"}, "Spec": {}, "Description": node}]

    def logs(self, container: str, *, tail: int) -> bytes:
        """Return the last lines of a container's log."""
        assert tail
        return self.said.get(container, "").encode()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SettleBench:
    """An engine on a machine that is well."""
    stop_the_clock(monkeypatch)
    return SettleBench(monkeypatch)


UP, STARTING = look(task()), look(task(state="starting"))
CRASH: dict[str, Any] = {"state": "failed", "desired": "shutdown", "exit_code": 1}
REFUSED: dict[str, Any] = {"state": "rejected", "desired": "shutdown"}
NO_ROOM = "write /x: No space left on device"


def test_it_has_settled_after_several_good_looks_in_a_row(bench: SettleBench) -> None:
    """One may fall between a container's end and the next one's start."""
    assert bench.settle(STARTING, UP, STARTING, UP) == [STARTING, UP, STARTING, *[UP] * LOOKS]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (look(task(**CRASH)), "did not come up: app: its task failed"),
        (STARTING, "not settled after 9 s: app: 0/1 running (starting)"),
    ],
)
def test_what_never_settles_is_the_recipes_fault(
    bench: SettleBench, given: StackSnapshot, words: str
) -> None:
    """Unless something accuses the machine."""
    assert words in bench.error(ConvergenceError, STARTING, given).what


@pytest.mark.parametrize("given", [look(task(**CRASH)), STARTING])
def test_a_machine_that_is_not_well_spoils_the_verdict(
    bench: SettleBench, given: StackSnapshot
) -> None:
    """What was seen of the app is kept: it may tell of both."""
    bench.fault = DiskFullError("the disk is full", hint="make room")
    error = bench.error(DiskFullError, given)
    assert error is bench.fault
    assert "app: " in error.detail


def test_a_machine_that_is_not_well_is_no_matter_while_all_goes_well(bench: SettleBench) -> None:
    """Nobody looks, and the app is up."""
    bench.fault = DiskFullError("the disk is full")
    assert bench.settle(UP)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("No such image: nginx:1", ImageError),
        ("node is missing network attachments, ip addresses may be exhausted", EngineError),
        ("starting container failed: context deadline exceeded", EngineError),
    ],
)
def test_tasks_that_the_engine_refuses_for_the_machines_sake(
    bench: SettleBench, said: str, kind: type[HarnessError]
) -> None:
    """Given up as ever, and in time; only the word is another one."""
    refused = [task(number, **REFUSED, error=said) for number in (1, 2, 3)]
    next_one = task(4, state="ready", desired="ready")
    for given in (look(*refused, next_one), look(refused[0], next_one)):
        error = bench.error(kind, STARTING, given)
        assert f"app: {said}" in error.what
        assert error.hint
        assert f"app.1: rejected: {said}" in error.detail


def test_a_full_disk_ends_the_wait_at_once(bench: SettleBench) -> None:
    """The Swarm's own records stand still then: nothing more would be seen."""
    error = bench.error(
        DiskFullError,
        look(task(1, **REFUSED, error=NO_ROOM), task(2, state="accepted")),
        UP,  # which nobody looks at any more
    )
    assert NO_ROOM in error.what
    assert "make room" in error.hint


def test_an_app_that_has_not_begun_makes_us_look_at_the_machine(bench: SettleBench) -> None:
    """A node that cannot write its records takes no tasks, and says nothing at all."""
    waiting = look(task(state="accepted"))
    bench.fault = DiskFullError("the disk is full", hint="make room")
    early = [waiting] * 15  # 4.5 s
    assert len(bench.settle(*early, UP)) == len(early) + LOOKS
    error = bench.error(DiskFullError, *early, *[waiting] * 4, UP)
    assert "did not come up" in error.detail
    begun = [STARTING] * 20  # it has no room either, perhaps, and may well get by
    assert len(bench.settle(*begun, UP)) == len(begun) + LOOKS
    bench.fault = None  # a registry or a file server is slow, perhaps
    assert len(bench.settle(*[waiting] * 20, UP)) == 20 + LOOKS


def test_one_fault_of_the_machine_among_crashes_is_enough(bench: SettleBench) -> None:
    """Nobody knows whether the app would have crashed on a machine that is well."""
    crashes = [task(number, **CRASH) for number in (2, 3, 4, 5)]
    first = task(1, **REFUSED, error="could not find network proxy")
    bench.error(EngineError, look(*crashes, first, task(6, state="ready", desired="ready")))
    bench.error(ConvergenceError, look(*crashes, task(6, state="ready", desired="ready")))


def test_what_the_engine_said_before_the_op_counts_for_nothing(bench: SettleBench) -> None:
    """Nor does a word about a task that Swarm itself has taken back."""
    old = task(1, **REFUSED, error=NO_ROOM)
    taken_back = task(2, state="shutdown", desired="shutdown", error="context canceled")
    bench.before = Before.of(look(old))
    bench.error(ConvergenceError, look(old, taken_back, task(3, **CRASH)))


def test_a_container_that_was_killed_is_not_one_that_crashed(bench: SettleBench) -> None:
    """By an operator, or by the kernel of a machine that has run out of memory."""
    crash = task(**{**CRASH, "exit_code": 137}, container_id="c")
    error = bench.error(TestBedError, replace(look(crash), killed=frozenset({crash.id})))
    assert "killed from outside" in error.what
    assert "memory" in error.cause
    bench.error(ConvergenceError, look(crash))  # it ended itself with that code


@pytest.mark.parametrize(("laid", "named"), [("memory,pids", True), ("pids", False)])
def test_a_service_that_meets_our_memory_limit_again_and_again_is_named(
    bench: SettleBench, *, laid: str, named: bool
) -> None:
    """Three of its tasks are enough; nothing is waited for until the time is up."""
    template = {
        "ContainerSpec": {"Labels": {own_limits.LABEL: laid}},
        "Resources": {"Limits": {"MemoryBytes": 64 << 20}},
    }
    crash = {**CRASH, "exit_code": 137, "spec": template}
    tasks = [task(number, **crash, container_id=f"c{number}") for number in (1, 2, 3)]
    after = task(9, state="starting", spec=template)
    bench.events = [{"Action": "oom", "id": one.container_id} for one in tasks]
    seen = [
        replace(
            look(*tasks[:count], after, services=(service(template=template),)),
            killed=frozenset(one.id for one in tasks[:count]),
        )
        for count in (1, 2, 3)
    ]
    error = bench.error(TestBedError, *seen)
    assert ("app needs more memory than a container may have here: 64.0 MiB" in error.what) == named
    assert ("LIMITS" in error.hint) == named
    assert not named or "the app did not come up" in error.detail, "not after the whole time-out"


@pytest.mark.parametrize("state", [*BEFORE_START])
def test_an_app_that_was_never_even_started_cannot_have_failed(
    bench: SettleBench, state: str
) -> None:
    """Whatever held it up, it was not the app; each state has its own likely cause."""
    error = bench.error(EngineError, STARTING, look(task(state=state)))
    assert error.what == f"the app was not even started in time: app ({state})"
    assert error.cause == BEFORE_START[state]
    assert error.hint
    assert "0/1 running" in error.detail


def test_another_service_may_be_what_was_never_started(bench: SettleBench) -> None:
    """The app crashes for want of its database, whose volume does not come."""
    both = (service(), service("db", "d"))
    crash = task(1, **CRASH)
    again = task(2, state="ready", desired="ready")
    waiting = task(3, service_id="d", state="preparing")
    error = bench.error(EngineError, look(crash, again, waiting, services=both))
    assert "db (preparing)" in error.what


def test_a_task_that_follows_a_crash_has_had_its_chance(bench: SettleBench) -> None:
    """In whatever state the end of the wait finds it."""
    given = look(task(1, **CRASH), task(2, state="preparing"))
    assert "not settled" in bench.error(ConvergenceError, given).what


def test_a_task_that_follows_one_that_is_being_ended_has_had_its_chance(bench: SettleBench) -> None:
    """Its health check has failed, and the Swarm has not said yet how its container ended."""
    ending = task(1, state="running", desired="shutdown", container_id="c")
    given = look(ending, task(2, state="pending", container_id=""))
    assert "not settled" in bench.error(ConvergenceError, given).what
    bench.error(EngineError, look(ending, task(2, state="pending", container_id="", slot="2")))


def test_a_swarm_that_makes_no_tasks_is_to_blame(bench: SettleBench) -> None:
    """Nothing was ever tried."""
    error = bench.error(EngineError, look())
    assert error.cause == "the Swarm makes no tasks"


def test_a_network_without_addresses_is_named(bench: SettleBench) -> None:
    """Swarm itself says nothing. A network of this node alone has none of the Swarm's."""
    bench.found = [
        {"Name": "s_inner", "Scope": "swarm", "IPAM": {"Config": None}},
        {"Name": "s_outer", "Scope": "swarm", "IPAM": {"Config": [{"Subnet": "10.0.1.0/24"}]}},
        {"Name": "s_local", "Scope": "local", "IPAM": {}},
    ]
    error = bench.error(EngineError, look(task(state="new")))
    assert "no addresses left for networks: s_inner got none, so app (new)" in error.what
    assert "prune" in error.hint


PORT = "no suitable node (host-mode port already in use on 1 node)"


@pytest.mark.parametrize(
    ("others", "kind"),
    [((), EngineError), ((task(1, spec=OLD),), ConvergenceError)],
    ids=["somebody-elses", "its-own"],
)
def test_a_port_of_the_machine_that_is_taken(
    bench: SettleBench, others: tuple[TaskState, ...], kind: type[HarnessError]
) -> None:
    """By another app; or by the very task to be replaced, which the recipe lets run meanwhile."""
    bench.before = Before.of(look(*others))
    bench.error(kind, look(*others, task(2, state="pending", error=PORT)))


def test_task_errors_are_described_in_full(bench: SettleBench) -> None:
    """With the engine's own sentence, or the exit code where it has none."""
    said = "starting container failed: " + "x" * 300
    bad = look(task(1, **CRASH, error=said), task(2, **CRASH), task(3))
    assert describe_tasks(bad).splitlines() == [
        "app.1: failed: exit code 1",
        f"app.1: failed: {said}",
    ]
    assert said in bench.error(ConvergenceError, look(task(1, **CRASH, error=said))).detail


def test_a_service_that_is_removed_under_it_is_nothing_of_the_recipes(bench: SettleBench) -> None:
    """No recipe removes its own services: the wait ends at once, with who is to blame."""
    other = service("db", "j")
    with pytest.raises(TestBedError, match=r"services were removed .*: db") as caught:
        bench.settle(look(services=(service(), other)), look(services=(service(),)))
    assert "docker events" in caught.value.hint


def test_a_stack_that_is_gone_before_the_first_look_was_removed(bench: SettleBench) -> None:
    """The op was a redeploy, so there were services before it."""
    bench.before = Before(templates={"app": SPEC})
    with pytest.raises(TestBedError, match=r"services were removed .*: app"):
        bench.settle(look(services=()))


def test_a_constraint_that_no_node_meets_is_an_error_at_once(bench: SettleBench) -> None:
    """Nothing that the run waits for would change it (moby/moby#33807)."""
    placement = {"TaskTemplate": {"Placement": {"Constraints": ["node.labels.gpu == true"]}}}
    lonely = service("gpu", "g", replicas=None, definition=placement)
    both = (service(), lonely)
    error = bench.error(EngineError, look(task(), services=both))
    assert error.what == "gpu: no node of this Swarm meets the constraint node.labels.gpu == true"
    assert "--label-add gpu=true" in error.hint


def test_of_several_that_crash_the_first_and_most_frequent_is_named(bench: SettleBench) -> None:
    """The app ends with 1 only because its database ends with 127, and it gives up earlier."""
    both = (service(), service("db", "d"))
    crashes = [
        task(n, service_id="d", container_id=f"d{n}", **{**CRASH, "exit_code": 127})
        for n in range(1, 4)
    ]
    given_up = [task(9, **CRASH)]
    again = task(5, service_id="d", state="ready", desired="ready")
    error = bench.error(ConvergenceError, look(*crashes, *given_up, again, services=both))
    assert error.what.startswith("the app did not come up: db: it crashed 3 times in a row (exit")
    assert "app: its task failed and is not started again" in error.what


def test_who_waits_for_whom_is_read_from_configs_too(bench: SettleBench) -> None:
    """The app's config names the database, so the database does not wait for the app."""
    bench.configs["c1"] = "fastcgi_pass db:9000;"
    spec = {"ContainerSpec": {"Image": "app:1", "Configs": [{"ConfigID": "c1"}]}}
    db, app = service("db", "d"), service("app", "a", template=spec)
    crashes = tuple(task(n, service_id="d", error="exit 1", **CRASH) for n in range(1, 5))
    again = task(9, service_id="d", state="ready", desired="ready")
    waits = task(10, service_id="a", state="starting", spec=spec)
    error = bench.error(ConvergenceError, look(*crashes, again, waits, services=(app, db)))
    assert error.what == "the app did not come up: db: it crashed 4 times in a row (exit 1)"


def test_a_crash_is_named_where_time_runs_out(bench: SettleBench) -> None:
    """The app that waits for it is not slow to start."""
    both = (service(), service("db", "d"))
    crash = task(1, service_id="d", **CRASH)
    again = task(2, service_id="d", state="ready", desired="ready")
    waits = task(3, state="running", container_id="")
    error = bench.error(ConvergenceError, look(crash, again, waits, services=both))
    assert "after 9 s: db: it crashed once (exit code 1)" in error.what
    assert "slow to start" not in error.cause


def test_a_name_that_our_adaptation_hides_is_not_the_recipes_fault(bench: SettleBench) -> None:
    """With dnsrr a neighbour's name resolves only once it runs; nginx looks it up at its start."""
    adapted = service("db", "d", labels={"ccci.endpoint-mode": "dnsrr"})
    starting = task(3, service_id="d", state="starting")
    crash = task(1, **CRASH, container_id="c")

    def given(other: ServiceState, *more: TaskState) -> StackSnapshot:
        return look(crash, *(more or (starting,)), services=(service(), other))

    bench.said["c"] = 'nginx: [emerg] host not found in upstream "s_db" in /etc/nginx/x.conf:1'
    error = bench.error(TestBedError, given(adapted))
    assert error.what == "app ended because it could not resolve the name of db"
    assert "dnsrr" in error.cause
    bench.error(ConvergenceError, given(replace(adapted, labels={})))
    dead = task(4, **CRASH, service_id="d")
    bench.error(ConvergenceError, given(adapted, dead))  # it is not there for its own reason
    for said in ('host not found in upstream "nothing-here"', "s_db: connection refused"):
        bench.said["c"] = said
        bench.error(ConvergenceError, given(adapted))


@pytest.mark.parametrize(
    ("kind", "said", "limits"),
    [
        (
            TestBedError,
            "error loading seccomp filter: too many open files",
            {"Ulimits": [{"Name": "nofile"}]},
        ),
        (
            EngineError,
            "container init caused: read init-p: connection reset by peer",
            {"MemoryBytes": 6 << 20},
        ),
        (TestBedError, "fork/exec /proc/self/exe: resource temporarily unavailable", {"Pids": 1}),
    ],
)
def test_a_limit_of_the_recipes_own_may_be_too_low(
    bench: SettleBench, kind: type[HarnessError], said: str, limits: dict[str, Any]
) -> None:
    """The runtime says the same of it as of a machine that has run out of something."""
    error = f"starting container failed: OCI runtime create failed: {said}: unknown"
    refused = look(task(**REFUSED, error=error))
    bench.error(kind, refused)
    template = {"ContainerSpec": limits, "Resources": {"Limits": limits}}
    bench.error(ConvergenceError, replace(refused, services=(service(template=template),)))
    elsewhere = look(task(**REFUSED, error=said), services=(service(template=template),))
    bench.error(kind, elsewhere)  # not what the runtime says of that container


def test_a_volume_of_the_recipes_own_size_may_be_full(bench: SettleBench) -> None:
    """The engine says the same of it as of a disk that has no room left."""
    options = {"DriverConfig": {"Options": {"type": "tmpfs", "o": "size=1m,uid=0"}}}
    mount = {"Type": "volume", "VolumeOptions": options}
    sized = service(template={"ContainerSpec": {"Mounts": [mount]}})
    refused = look(task(**REFUSED, error=NO_ROOM))
    bench.error(DiskFullError, refused)
    bench.error(ConvergenceError, replace(refused, services=(sized,)))
