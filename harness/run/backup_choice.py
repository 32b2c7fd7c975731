"""Which driver backs the app up: what was asked for, or what goes with the platform."""

from __future__ import annotations

from collections.abc import Callable

from harness.backups.bot import BotDriver, Caller, Direct
from harness.backups.bots import SOCKET, BackupBots, ThroughAbra
from harness.backups.driver import Driver
from harness.backups.native import ResticDriver
from harness.backups.tools import ToolContainers
from harness.images import images
from harness.images.images import StandIn
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.base import Platform
from harness.run.prepared import Prepared
from harness.run.stack_locks import hold_shared
from harness.run.testbed import in_background

LOCK = "backup-bot"  # of the engine's bot, which all runs there share


def driver_for(
    run: Prepared, platform: Platform, tools: ToolContainers, *, say: Callable[[str], None]
) -> Driver:
    """Return what backs up one run's app.

    Args:
        run: with what was asked for, its engine and its locks.
        platform: what deploys the app; abra calls a bot by itself.
        tools: the run's tool containers.
        say: is told of every wait and build.
    """
    settings, bed = run.settings, run.bed
    abra = ThroughAbra(platform) if isinstance(platform, AbraPlatform) else None
    if settings.backup_driver == "restic" or (settings.backup_driver == "auto" and not abra):
        return ResticDriver()

    def image() -> StandIn:
        return images.ensure_own(
            bed.client, images.BACKUPBOT, cache=settings.cache,
            lock_timeout=settings.lock_timeout, say=say,
        )  # fmt: skip

    host, built = bed.engine.host, in_background(image)  # building takes as long as a stage
    bots = BackupBots(
        client=bed.client,
        node=bed.nodes.own,
        socket=host.removeprefix("unix://") if bed.engine.local else SOCKET,
        target=run.target,
        image=built.result,
        lock=lambda: hold_shared(LOCK, run.locks, settings, say=say),
        say=say,
    )
    caller: Caller = abra or Direct(settings.timeout_factor)
    return BotDriver(
        serving=bots.serving,
        caller=caller,
        node=bed.nodes.own,
        unpack=tools.unpack,
        scratch=run.work,
    )
