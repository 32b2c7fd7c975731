"""Which driver backs up: what was asked for, else what goes with the platform."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backups.bot import BotDriver, Direct
from harness.backups.bots import ThroughAbra
from harness.backups.driver import Driver
from harness.core.errors import LockTimeoutError
from harness.core.settings import Settings
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.base import Target
from harness.run import backup_choice, stack_locks
from harness.run.backup_choice import driver_for

TARGET = Target(recipe="made", run="run1", scope="s", domain="made.test")


class Platform(AbraPlatform):
    """Is one of abra, and nothing more."""

    def __init__(self) -> None:
        """Need nothing."""


def chosen(asked: str, platform: object, tmp_path: Path, host: str = "unix:///e.sock") -> Driver:
    """Return the driver that is chosen on an engine there."""
    engine = SimpleNamespace(host=host, local=host.startswith("unix"))
    bed = SimpleNamespace(engine=engine, client=None, nodes=SimpleNamespace(own="n1"))
    settings = Settings(backup_driver=asked, cache=tmp_path, timeout_factor=2.0)
    run: Any = SimpleNamespace(settings=settings, bed=bed, target=TARGET, locks=None, work=tmp_path)
    tools: Any = SimpleNamespace(unpack=None)
    fake: Any = platform
    return driver_for(run, fake, tools, say=lambda _: None)


@pytest.fixture(autouse=True)
def _no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_choice, "in_background", lambda _call: Future[Any]())


@pytest.mark.parametrize(
    ("asked", "by_abra", "name", "caller"),
    [
        ("auto", False, "restic", None),
        ("restic", True, "restic", None),
        ("auto", True, "backupbot", ThroughAbra),
        ("backupbot", True, "backupbot", ThroughAbra),
        ("backupbot", False, "backupbot", Direct),
    ],
)
def test_the_driver_goes_with_the_platform_unless_it_is_asked_for(
    tmp_path: Path, asked: str, *, by_abra: bool, name: str, caller: type | None
) -> None:
    """Who deploys with abra backs up with abra; and nobody else has to have a bot."""
    driver = chosen(asked, Platform() if by_abra else object(), tmp_path)
    assert driver.name == name
    assert isinstance(driver, BotDriver) is (caller is not None)
    if isinstance(driver, BotDriver):
        assert isinstance(driver.caller, caller or object)


@pytest.mark.parametrize(
    ("host", "socket"),
    [("unix:///cache/e.sock", "/cache/e.sock"), ("ssh://root@there", "/var/run/docker.sock")],
)
def test_a_bot_of_our_own_is_given_the_socket_on_the_engines_machine(
    tmp_path: Path, host: str, socket: str
) -> None:
    """A path of this machine says nothing there."""
    driver: Any = chosen("backupbot", object(), tmp_path, host)
    assert driver.serving.__self__.socket == socket


def test_runs_on_one_engine_take_turns_with_its_bot(tmp_path: Path) -> None:
    """By a lock of that engine's, which shows who holds it."""
    said: list[str] = []
    held: Any = SimpleNamespace(target=TARGET, lease=None, shared=None)
    settings = Settings(cache=tmp_path, lock_timeout=0.0)
    with ExitStack() as stack:
        hold = stack_locks.hold_shared(backup_choice.LOCK, held, settings, say=said.append)
        stack.enter_context(hold)
        holder = (tmp_path / "locks" / "backup-bot.holder.json").read_text()
        assert "the backup-bot for run1" in holder
        again = stack_locks.hold_shared(backup_choice.LOCK, held, settings, say=said.append)
        with pytest.raises(LockTimeoutError, match="backup-bot"):
            stack.enter_context(again)
