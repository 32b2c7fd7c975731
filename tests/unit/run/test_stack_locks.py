"""The locks of a run's stack: a file on this host, and a config where other hosts deploy, too."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import LockLostError, LockTimeoutError
from harness.core.events import EventLine, LockEvent, LockState
from harness.core.settings import Settings
from harness.locks import file_lock as locks
from harness.locks.swarm_lock import OWNER, look
from harness.platforms.base import Target
from harness.run import reaper, stack_locks
from harness.run.stack_locks import StackLocks, hold_shared
from tests.unit.fake_configs import FakeConfigs

TARGET = Target(recipe="made", run="run1", scope="here", domain="made.test")
LOCK = reaper.stack_lock("made_test")
BOT = "backup-bot"


@pytest.fixture
def configs() -> FakeConfigs:
    """A Swarm without configs."""
    return FakeConfigs()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Gives back at the end of the test what it took."""
    with ExitStack() as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host with an engine, from which runs take their locks."""

    place: Path
    stack: ExitStack

    def take(self, mode: str = "auto", *, local: bool = True, nodes: int = 1) -> StackLocks:
        """Take the locks of the stack."""
        client: Any = SimpleNamespace(api=SimpleNamespace(nodes=lambda: [{}] * nodes))
        bed: Any = SimpleNamespace(client=client, engine=SimpleNamespace(local=local))
        return stack_locks.hold(self.stack, bed, settings(self.place, mode), TARGET, say=print)


@pytest.fixture
def host(
    tmp_path: Path, configs: FakeConfigs, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> Host:
    """A host of that Swarm."""
    shared = reaper.Shared(configs=configs, scope="swarm", directory=tmp_path / "locks")
    monkeypatch.setattr(reaper.Shared, "of", lambda *_, **__: shared)
    return Host(place=tmp_path, stack=stack)


def settings(place: Path, mode: str = "auto") -> Settings:
    """Return settings that wait for no lock."""
    return Settings(cache=place, lock=mode, lock_timeout=0.0)


def free(place: Path, name: str = LOCK) -> bool:
    """Whether the file lock of that name is free."""
    return locks.is_free(place / "locks", name)


@pytest.mark.parametrize(
    ("mode", "local", "nodes", "reaches"),
    [
        ("auto", True, 1, False),
        ("auto", True, 2, True),
        ("auto", False, 1, True),
        ("local", False, 2, False),
        ("swarm", True, 1, True),
    ],
)
def test_the_lock_reaches_as_far_as_the_engine_does(
    tmp_path: Path,
    configs: FakeConfigs,
    host: Host,
    *,
    mode: str,
    local: bool,
    nodes: int,
    reaches: bool,
) -> None:
    """Beside the file, a config where another host can deploy; then they all clean up after it."""
    held = host.take(mode, local=local, nodes=nodes)
    assert not free(tmp_path)
    assert (held.lease is not None) is reaches
    assert (look(configs, LOCK) is not None) is reaches
    assert held.shared.held is reaches
    assert held.target.scope == ("swarm" if reaches else "here")
    held.check()


def test_both_locks_are_given_back(
    tmp_path: Path,
    configs: FakeConfigs,
    stack: ExitStack,
    host: Host,
) -> None:
    """However the run ends, the next one need not wait."""
    host.take("swarm")
    stack.close()
    assert free(tmp_path)
    assert configs.there == {}


def test_a_stack_whose_lock_file_was_deleted_is_lost(tmp_path: Path, host: Host) -> None:
    """Another run can hold it by now."""
    held = host.take()
    locks.lock_path(tmp_path / "locks", LOCK).unlink()
    with pytest.raises(LockLostError, match=f"'{LOCK}'"):
        held.check()


def test_a_stack_whose_lock_another_host_took_over_is_lost(
    configs: FakeConfigs,
    host: Host,
) -> None:
    """The file on this host is still ours; that alone is not enough."""
    held = host.take("swarm")
    (config,) = configs.with_label(OWNER)
    assert configs.update(config, {**config.labels, OWNER: "another"})
    with pytest.raises(LockLostError, match="taken over"):
        held.check()


@pytest.mark.parametrize("mode", ["local", "swarm"])
def test_what_runs_share_is_held_as_far_as_the_stack_is(
    tmp_path: Path,
    configs: FakeConfigs,
    host: Host,
    mode: str,
) -> None:
    """The backup bot has one user at a time: on this host, or in the whole Swarm."""
    held, said = host.take(mode), list[str]()
    with hold_shared(BOT, held, settings(tmp_path), say=said.append):
        told = EventLine(LockEvent(lock=BOT, state=LockState.HELD, swarm=True))
        assert said == ([told] if mode == "swarm" else [])
        assert not free(tmp_path, BOT)
        assert (look(configs, BOT) is not None) is (mode == "swarm")
        second = hold_shared(BOT, held, settings(tmp_path), say=print)
        with pytest.raises(LockTimeoutError), second:
            pass
    assert free(tmp_path, BOT)
    assert look(configs, BOT) is None
    assert not free(tmp_path)
