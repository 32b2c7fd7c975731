"""Whose doing a task's end was: the app's own, or that of somebody who ended its container."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from harness.core.model import RunWarning, WarningCode
from harness.swarm import deaths, own_limits
from harness.swarm.deaths import broken_since, killed_from_outside, out_of_memory
from harness.swarm.events import EventLog, Happening
from harness.swarm.nodes import Nodes
from harness.swarm.states import TaskState
from tests.unit.fake_stack import NODE, ended, look, service, task

APP = service()
GONE = ended(task(APP), 137, "non-zero exit (137)")
OOM = {"Action": "oom"}


def kill(signal: int = 9) -> dict[str, Any]:
    """Return an engine's word that a signal was sent to a container."""
    return {"Action": "kill", "Actor": {"Attributes": {"signal": str(signal)}}}


def health(status: str) -> dict[str, Any]:
    """Return an engine's word of what a health check found."""
    return {"Action": f"health_status: {status}"}


def killed(
    *events: Mapping[str, Any], over: TaskState = GONE, limit: int | Exception = 0, ours: str = ""
) -> bool:
    """Whether a task counts as killed after these events, with that memory limit.

    `ours` names the limits that the harness laid over it.
    """

    def inspect(identity: str) -> dict[str, Any]:
        assert identity == over.container_id
        if isinstance(limit, Exception):
            raise limit
        labels = {own_limits.LABEL: ours} if ours else None
        return {"HostConfig": {"Memory": limit}, "Config": {"Labels": labels}}

    client: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect))
    nodes = Nodes(client=client, own=NODE)
    for event in events:
        nodes.events.add({**event, "id": over.container_id})
    return killed_from_outside(nodes, over)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The containers in which the kernel killed for memory that the host lacked."""
    found: set[str] = set()
    monkeypatch.setattr(deaths, "_out_of_memory", lambda: iter(found))
    return found


def test_the_code_alone_accuses_nobody_else() -> None:
    """A program can end itself with 137, and `timeout -s KILL` does (travis-ci/travis-ci#4192)."""
    assert not killed()
    assert not killed({"Action": "die"})


@pytest.mark.parametrize("signal", [9, 15, 3, 2, 6])
@pytest.mark.parametrize("code", [137, 143, 0, 1])
def test_a_kill_that_the_engine_recorded_comes_from_outside(signal: int, code: int) -> None:
    """Whatever the program makes of it: `docker stop` is answered with any code."""
    assert killed(kill(signal), {"Action": "die"}, over=ended(task(APP), code))


@pytest.mark.parametrize("signal", [1, 10, 12, 28])
def test_a_signal_that_ends_nothing_is_no_kill(signal: int) -> None:
    """A log rotation sends HUP or USR1, and the program may crash later by itself."""
    assert not killed(kill(signal))


def test_swarms_kill_of_an_unhealthy_container_is_the_apps_own_affair() -> None:
    """It comes right after the health check gave up; one after a recovery is somebody else's."""
    assert not killed(health("healthy"), health("unhealthy"), kill(15), kill(9))
    assert killed(health("unhealthy"), health("healthy"), kill(9))
    said = "task: non-zero exit (137): dockerexec: unhealthy container"
    assert not killed(kill(9), over=ended(task(APP), 137, said))


def test_a_memory_limit_is_the_apps_own_affair() -> None:
    """It asked for more than it said that it needs; without a limit it was the host's memory."""
    assert not killed(OOM, limit=1 << 30)
    assert not killed(OOM, limit=1 << 30, ours="pids")
    assert killed(OOM, limit=1 << 30, ours="memory,pids"), "that one is the machine's"
    assert killed(OOM)
    assert not killed(OOM, limit=NotFound("gone")), "doubt must not turn a bad recipe green"


def test_an_engine_that_does_not_answer_is_no_answer() -> None:
    """It must not pass for a container without a limit."""
    with pytest.raises(APIError):
        killed(OOM, limit=APIError("500"))


def test_the_kernels_word_counts_where_the_engine_has_none(kernel: set[str]) -> None:
    """With control groups of version 1, no event tells that the whole host was out of memory."""
    kernel.add(GONE.container_id)
    assert killed()
    assert not killed(over=ended(task(APP, 2), 137))
    assert not killed(over=ended(task(APP), 1)), "the kernel's killer leaves 137"


def test_the_kernel_tells_a_hosts_want_of_memory_from_a_containers() -> None:
    """By the constraint; the container's id is in the name of its control group."""
    identity = "a1" * 32
    host = "oom-kill:constraint=CONSTRAINT_NONE,cpuset=x,global_oom,task_memcg=/docker/{},task=java"
    own = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,cpuset=x,oom_memcg=/docker/{0},task_memcg=/docker/{0}"
    )
    found = deaths.GLOBAL_OOM.search(f"6,1,2,-;{host.format(identity)},pid=7,uid=0")
    assert found is not None
    assert found[1] == identity
    assert not deaths.GLOBAL_OOM.search(f"6,1,2,-;{own.format(identity)},task=java,pid=7,uid=0")


def test_an_engine_that_went_away_took_its_containers_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No event can tell then; the gap in the events does, for what ended around it."""
    over = replace(GONE, state_since="2026-01-01T00:00:10Z")
    monkeypatch.setattr(
        EventLog, "silent_at", lambda _log, at, *, within: within and at == over.ended
    )
    assert killed(over=over)
    assert not killed(over=replace(over, state_since="2026-01-01T00:00:11Z"))


def test_a_verdict_is_kept_and_a_task_without_a_container_was_not_killed() -> None:
    """Events are looked up once; and what never ran was not killed."""
    assert not killed(over=task(APP, container_id="", state="failed", exit_code=137))
    nodes = Nodes(client=SimpleNamespace(), own=NODE)  # type: ignore[arg-type]  # not to be asked
    nodes.events.judged[GONE.container_id] = True
    assert killed_from_outside(nodes, GONE)


def test_a_log_follows_an_engine_and_tells_when_it_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It connects anew, and notes the gap; events of no interest are passed over."""
    monkeypatch.setattr("harness.swarm.events.RECONNECT_SECONDS", 0.0)
    seen, calls = threading.Event(), []

    def connect() -> Iterator[dict[str, Any]]:
        calls.append(1)
        if len(calls) == 2:
            raise OSError
        if len(calls) > 2:
            seen.set()
            log.close()
        yield {"Action": "exec_start: sh", "id": "c"}
        yield {"Action": "kill", "Actor": {"ID": "c", "Attributes": {"signal": "15"}}}
        yield {"Action": "die", "Actor": {"ID": "c", "Attributes": {"exitCode": "143"}}}

    log = EventLog()
    log.follow(connect)
    assert seen.wait(10)
    assert [event.what for event in log.of("c", ended=0.0)][:2] == [Happening.KILL, Happening.DIE]
    assert log.of("c", ended=0.0)[0].signal == 15
    assert log.silent_at(time.time(), within=60.0)
    assert not log.silent_at(0.0, within=60.0)


def test_the_event_of_an_end_is_waited_for_only_if_it_can_still_come() -> None:
    """The Swarm may be a moment earlier; what ended before the log began was never heard."""
    heard = threading.Event()

    def connect() -> Iterator[dict[str, Any]]:
        assert heard.wait(10)
        yield {"Action": "kill", "id": "c", "Actor": {"Attributes": {"signal": "9"}}}
        yield {"Action": "die", "id": "c"}
        log.close()

    log = EventLog()
    log.follow(connect)
    assert log.of("c", ended=1.0) == ()
    threading.Timer(0.1, heard.set).start()
    found = log.of("c", ended=time.time())
    assert [event.what for event in found] == [Happening.KILL, Happening.DIE]


@pytest.mark.parametrize("state", ["failed", "rejected", "orphaned"])
def test_what_broke_between_two_looks_is_found(state: str) -> None:
    """Whatever broke before, and is still remembered, is not found again."""
    old = ended(task(APP, 1))
    new = task(APP, 2, state=state, desired="shutdown")
    before, now = look(APP, tasks=(old, task(APP, 2))), look(APP, tasks=(old, new, task(APP, 3)))
    assert broken_since(before, now) == (new,)
    assert broken_since(now, now) == ()


def test_what_was_shut_down_or_killed_did_not_break() -> None:
    """Swarm ends tasks to replace them, and somebody may have killed one."""
    replaced = task(APP, 1, state="shutdown", desired="shutdown", exit_code=143)
    other, crashed = ended(task(APP, 2), 137), ended(task(APP, 3), 1)
    now = look(APP, tasks=(replaced, other, crashed, task(APP, 4)))
    assert broken_since(look(APP), replace(now, killed=frozenset({other.id}))) == (crashed,)


def memory(limit: int, kills: Mapping[str, int]) -> list[RunWarning]:
    """Return the warnings about a service with that memory limit, and one beside it."""
    limits = {"Resources": {"Limits": {"MemoryBytes": limit}}} if limit else {}
    app = service(template={"ContainerSpec": {"Image": "nginx:1"}, **limits})
    older = task(app, 3, spec={"ContainerSpec": {"Image": "nginx:0"}})
    seen = look(app, service("db"), tasks=(task(app), ended(task(app, 2)), older))
    return list(out_of_memory(seen, kills))


def test_a_child_that_the_kernel_killed_for_memory_is_told() -> None:
    """kubernetes/kubernetes#50632, benoitc/gunicorn#2215: the server runs on, without a word."""
    (found,) = memory(64 * 1024**2, {"c-app-1": 1})
    assert (found.code, found.text) == (
        WarningCode.OUT_OF_MEMORY,
        "the kernel killed a process of service app for memory once; its limit is 64 MiB",
    )
    assert "limits.memory of app" in found.next
    (more,) = memory(0, {"c-app-1": 2, "c-app-2": 1, "c-app-3": 5, "another": 9})
    assert more.text.endswith("for memory 3 times; its recipe sets no limit")
    assert "free -m" in more.next
    assert "LIMITS" in more.next
    assert memory(64, {"c-app-3": 1}) == [], "that was the base's"
    assert memory(64, {}) == []
