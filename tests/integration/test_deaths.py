"""How containers ended, on a real engine: by its events, long after they came."""

import secrets
import time
from collections.abc import Callable, Iterator

import pytest
from docker.models.containers import Container

from harness.core.waiting import Deadline, wait_for
from harness.run.testbed import TestBed
from harness.swarm.deaths import killed_from_outside
from harness.swarm.states import TaskState
from harness.swarm.sweep import RUN_LABEL, sweep

SLEEPS = "sleep 600 & wait $!"
SHOOTS = ["sh", "-c", "kill -9 $(pidof sleep)"]
FORGOTTEN = 300  # events: more than the engine remembers
Act = Callable[[Container], object]


@pytest.fixture(name="run")
def run_fixture(bed: TestBed) -> Iterator[str]:
    """The label of a test's containers, which are removed at its end."""
    run = f"deaths-test-{secrets.token_hex(4)}"
    yield run
    assert sweep(bed.client, run, timeout=60).left == ()


def ended(bed: TestBed, run: str, command: str, act: Act, *, limit: str = "") -> TaskState:
    """Start a container, do something to it, and return it as a task once it has ended."""
    made = bed.client.containers.run(
        bed.toolbox, ["sh", "-c", command], detach=True, labels={RUN_LABEL: run},
        mem_limit=limit or None, memswap_limit=limit or None,
    )  # fmt: skip
    act(made)
    code = made.wait(timeout=60)["StatusCode"]
    return TaskState(
        id=str(made.id), service_id="s", slot="1", state="failed" if code else "complete",
        desired="shutdown", error="", exit_code=code, container_id=str(made.id),
        node_id=bed.nodes.own, created_at="", spec={},
    )  # fmt: skip


def nothing(_container: Container) -> None:
    """Leave it alone."""


def stop(container: Container) -> None:
    """Stop it in good order, once it listens to signals."""
    wait_for(container.logs, what="the trap", deadline=Deadline.after(60), ready=bool)
    container.stop(timeout=50)


ENDS: dict[str, tuple[str, Act, int, bool]] = {
    "killed": (SLEEPS, Container.kill, 137, True),
    "stopped": (f"trap 'exit 0' TERM; echo ready; {SLEEPS}", stop, 0, True),
    "ends with 137": ("exit 137", nothing, 137, False),
    "kills its child": ("sleep 600 & kill -9 $!; wait $!", nothing, 137, False),
    "killed by exec": (SLEEPS, lambda one: one.exec_run(SHOOTS), 137, False),
    "told by HUP": ("trap : HUP; sleep 3 & wait; exit 3", lambda one: one.kill("HUP"), 3, False),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_only_what_the_engine_was_told_comes_from_outside(bed: TestBed, run: str, end: str) -> None:
    """A signal past the engine, from within, is the app's own; and a code proves nothing."""
    command, act, code, killed = ENDS[end]
    task = ended(bed, run, command, act)
    assert task.exit_code == code
    assert killed_from_outside(bed.nodes, task) == killed


def test_a_memory_limit_of_its_own_is_told_from_the_hosts(bed: TestBed, run: str) -> None:
    """The kernel kills for the limit, the engine says `oom`, and the limit is in the container."""
    hungry = "x=$(head -c 100000000 /dev/zero | tr '\\0' a); echo ${#x}"
    task = ended(bed, run, hungry, nothing, limit="20m")
    assert task.exit_code == 137
    assert not killed_from_outside(bed.nodes, task)


def test_events_that_the_engine_has_forgotten_are_known(bed: TestBed, run: str) -> None:
    """It keeps the last few hundred, and health checks alone make more in a minute."""
    task = ended(bed, run, SLEEPS, Container.kill)
    for _ in range(FORGOTTEN // 2):  # a volume that is made and removed makes two
        bed.client.volumes.create(labels={RUN_LABEL: run}).remove()
    left = bed.client.api.events(since=0, until=int(time.time()), decode=True)
    assert not [one for one in left if one.get("id") == task.container_id]
    assert killed_from_outside(bed.nodes, task)
