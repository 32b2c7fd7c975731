"""Whose doing a task's end was: the app's own, or that of somebody who killed its container."""

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from harness.docker.deaths import broken_since, killed_from_outside
from harness.docker.nodes import Nodes
from tests.unit.fake_stack import NODE, ended, look, service, task

APP = service()


def nodes(state: dict[str, Any] | Exception, *, limit: int = 1 << 30) -> Nodes:
    """Return the only node of a Swarm, whose engine says this of every container."""

    def inspect(identity: str) -> dict[str, Any]:
        assert identity
        if isinstance(state, Exception):
            raise state
        return {"State": state, "HostConfig": {"Memory": limit}}

    asked: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect))
    return Nodes(client=asked, own=NODE)


NOBODY: Any = SimpleNamespace()  # an engine that must not be asked
ALIVE: dict[str, Any] = {"OOMKilled": False}


@pytest.mark.parametrize("state", [{"OOMKilled": False}, {}])
def test_a_kill_that_is_not_its_own_limits_comes_from_outside(state: dict[str, Any]) -> None:
    """Code 137 and nothing that explains it: no process in a container can kill its first one."""
    assert killed_from_outside(nodes(state), ended(task(APP), 137, "non-zero exit (137)"))


def test_a_memory_limit_is_the_apps_own_affair() -> None:
    """It asked for more than it said that it needs."""
    assert not killed_from_outside(nodes({"OOMKilled": True}), ended(task(APP), 137))


def test_a_host_without_memory_is_not_the_apps_affair() -> None:
    """An app without a limit is killed for the memory that others took."""
    assert killed_from_outside(nodes({"OOMKilled": True}, limit=0), ended(task(APP), 137))


def test_a_health_check_that_fails_is_the_apps_own_affair() -> None:
    """Swarm kills such a container too, with the same code; the engine need not be asked."""
    said = "task: non-zero exit (137): dockerexec: unhealthy container"
    assert not killed_from_outside(NOBODY, ended(task(APP), 137, said))


@pytest.mark.parametrize("code", [1, 0, 143, 139])
def test_any_other_code_is_the_apps_own(code: int) -> None:
    """A program that ends by itself, however politely it was asked to; nobody need be asked."""
    assert not killed_from_outside(NOBODY, ended(task(APP), code))


def test_what_is_not_known_any_more_counts_as_the_apps_own() -> None:
    """A container that is gone, or never was: doubt must not turn a bad recipe green."""
    never = task(APP, container_id="", state="failed", exit_code=137)
    assert not killed_from_outside(NOBODY, never)
    assert not killed_from_outside(nodes(NotFound("gone")), ended(task(APP), 137))


def test_an_engine_that_does_not_answer_is_no_answer() -> None:
    """It must not pass for a container that is gone."""
    with pytest.raises(APIError):
        killed_from_outside(nodes(APIError("500")), ended(task(APP), 137))


@pytest.mark.parametrize("state", ["failed", "rejected", "orphaned"])
def test_what_broke_between_two_looks_is_found(state: str) -> None:
    """Whatever broke before, and is still remembered, is not found again."""
    old = ended(task(APP, 1))
    new = task(APP, 2, state=state, desired="shutdown")
    before, now = look(APP, tasks=(old, task(APP, 2))), look(APP, tasks=(old, new, task(APP, 3)))
    assert broken_since(nodes(ALIVE), before, now) == (new,)
    assert broken_since(nodes(ALIVE), now, now) == ()


def test_what_was_shut_down_or_killed_did_not_break() -> None:
    """Swarm ends tasks to replace them, and somebody may have killed one."""
    replaced = task(APP, 1, state="shutdown", desired="shutdown", exit_code=143)
    killed = ended(task(APP, 2), 137)
    crashed = ended(task(APP, 3), 1)
    now = look(APP, tasks=(replaced, killed, crashed, task(APP, 4)))
    assert broken_since(nodes(ALIVE), look(APP), now) == (crashed,)
