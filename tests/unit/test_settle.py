"""Waiting until a stack has settled: what the wait ends in, and whose fault that is."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.docker.readiness import Before
from harness.docker.settle import LOOKS, describe_tasks, settle
from harness.docker.snapshot import ServiceState, StackSnapshot, TaskState
from harness.errors import ConvergenceError, DiskFullError, EngineError, HarnessError
from tests.unit.fake_engine import stop_the_clock

SPEC: dict[str, Any] = {"ContainerSpec": {"Image": "app:1"}}
Looks = Callable[..., list[StackSnapshot]]


def task(number: int = 1, **changes: Any) -> TaskState:  # noqa: ANN401  any field
    """Return a running task, but for the changes; its container is out of sight."""
    fields: dict[str, Any] = {
        "id": f"t{number}", "service_id": "i", "slot": "1", "state": "running",
        "desired": "running", "error": "", "exit_code": 0, "container_id": "", "node_id": "there",
        "created_at": f"2026-01-01T00:00:{number:02}Z", "spec": SPEC,
    }  # fmt: skip
    return TaskState(**{**fields, **changes})


def look(*tasks: TaskState) -> StackSnapshot:
    """Return a look at a stack of one service with these tasks."""
    service = ServiceState(
        id="i", name="app", image="app:1", labels={}, replicas=1, job=False, restart="any",
        update_state="", update_started="", update_message="", template=SPEC,
    )  # fmt: skip
    return StackSnapshot(stack="s", node_id="here", services=(service,), tasks=tasks, containers={})


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """A function that settles over these looks, the last of them for ever; returns those taken."""
    stop_the_clock(monkeypatch)

    def settled(*given: StackSnapshot) -> list[StackSnapshot]:
        taken: list[StackSnapshot] = []
        client: Any = object()

        def read(used: object, stack: str, *, node_id: str) -> StackSnapshot:
            assert (used, stack, node_id) == (client, "s", "here")
            taken.append(given[min(len(taken), len(given) - 1)])
            return taken[-1]

        monkeypatch.setattr("harness.docker.settle.read_stack", read)
        assert settle(client, "s", node_id="here", before=Before(), timeout=9) is taken[-1]
        return taken

    return settled


UP, STARTING = look(task()), look(task(state="starting"))
CRASH: dict[str, Any] = {"state": "failed", "desired": "shutdown", "exit_code": 1}


def test_it_has_settled_after_several_good_looks_in_a_row(looks: Looks) -> None:
    """One may fall between a container's end and the next one's start."""
    assert looks(STARTING, UP, STARTING, UP) == [STARTING, UP, STARTING, *[UP] * LOOKS]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (look(task(**CRASH)), ConvergenceError, "did not come up: app: its task failed"),
        (
            look(task(**CRASH, error="write /x: No space left on device")),
            DiskFullError,
            "no room is left",
        ),
        (STARTING, ConvergenceError, "not settled after 9 s: app: 0/1 running (starting)"),
        (look(task(state="new")), EngineError, "did not place the app's tasks in 9 s"),
    ],
)
def test_what_never_settles_has_its_word(
    looks: Looks, given: StackSnapshot, kind: type[HarnessError], words: str
) -> None:
    """The recipe's fault, unless the disk is full or the Swarm places nothing."""
    with pytest.raises(kind) as caught:
        looks(STARTING, given)
    assert type(caught.value) is kind
    assert words in caught.value.what


def test_task_errors_are_described_in_full(looks: Looks) -> None:
    """With the engine's own sentence, or the exit code where it has none."""
    said = "starting container failed: " + "x" * 300
    bad = look(task(1, **CRASH, error=said), task(2, **CRASH), task(3))
    assert describe_tasks(bad).splitlines() == [
        "app.1: failed: exit code 1",
        f"app.1: failed: {said}",
    ]
    with pytest.raises(ConvergenceError) as caught:
        looks(look(task(1, **CRASH, error=said)))
    assert said in caught.value.detail
