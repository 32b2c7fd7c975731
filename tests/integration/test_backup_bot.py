"""Backup through a bot: the harness's own, called as abra calls it, and one that a server has."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount, SecretReference

from harness.backups.bot import Bot, Direct
from harness.backups.bots import LABEL, BackupBots
from harness.core.waiting import Deadline, wait_for
from harness.exec.exec import ExecTarget
from harness.images import images
from harness.images.images import StandIn
from harness.locks import file_lock as locks
from harness.platforms.base import Target
from harness.platforms.override import own_labels
from harness.run.backup_choice import LOCK
from harness.run.testbed import TestBed
from harness.swarm.sweep import sweep
from tests.integration.conftest import Harness
from tests.integration.running import left, run_of, running
from tests.integration.support import recorded

# The engine has one bot, for which other suites may wait, too.
pytestmark = [pytest.mark.xdist_group("backup-bot"), pytest.mark.timeout(900)]

RUN = "bot-test-1"
TARGET = Target(recipe="bot-test", run=RUN, scope="bot-test", domain="bot-test.test")
PRE_HOOK = "cat /data/live > /data/dump"
POST_RESTORE = "cat /data/dump > /data/loaded"


@pytest.fixture(name="image", scope="module")
def image_fixture(client: docker.DockerClient, cache_dir: Path) -> StandIn:
    """The image of the bot."""
    return images.ensure_own(client, images.BACKUPBOT, cache=cache_dir, lock_timeout=900, say=print)


@dataclass(frozen=True)
class Apps:
    """Two apps with a volume and hooks each, and a bot of our own."""

    bed: TestBed
    bots: BackupBots

    @property
    def client(self) -> docker.DockerClient:
        """The engine."""
        return self.bed.client

    def start(self, stack: str) -> None:
        """Deploy an app of one service that idles."""
        volume, labels = f"{stack}_data", own_labels(TARGET)
        self.client.volumes.create(volume, labels=labels)
        asks = {
            "backupbot.backup": "true",
            "backupbot.backup.pre-hook": PRE_HOOK,
            "backupbot.restore.post-hook": POST_RESTORE,
            "com.docker.stack.namespace": stack,
        }
        self.client.services.create(  # type: ignore[no-untyped-call]  # the stubs lack it
            self.bed.toolbox,
            name=f"{stack}_app",
            labels={**labels, **asks},
            container_labels=labels,
            mounts=[Mount("/data", volume, type="volume")],
        )

    def sh(self, stack: str, script: str) -> str:
        """Run a script in an app."""
        name = f"{stack}_app"
        return (
            ExecTarget(
                client=self.client, name=name, resolve=lambda: container_of(self.client, name)
            )
            .exec(["sh", "-ec", script], timeout=30)
            .text.strip()
        )


def container_of(client: docker.DockerClient, service: str) -> str | None:
    """Return the container of a service's running task."""
    found = client.api.containers(filters={"label": f"com.docker.swarm.service.name={service}"})
    return str(found[0]["Id"]) if found else None


@pytest.fixture(name="apps")
def apps_fixture(bed: TestBed, image: StandIn) -> Iterator[Apps]:
    """Two apps; all of it is removed afterwards."""
    bots = BackupBots(
        client=bed.client, node=bed.nodes.own, socket=bed.engine.host.removeprefix("unix://"),
        target=TARGET, image=lambda: image, lock=nullcontext,
    )  # fmt: skip
    apps = Apps(bed, bots)
    try:
        for stack in ("bot-one_test", "bot-two_test"):
            apps.start(stack)
            apps.sh(stack, f"echo {stack} first > /data/live")
        yield apps
    finally:
        swept = sweep(bed.client, RUN, timeout=60)
    assert swept.left == ()


def ids(bot: Bot, domain: str) -> list[str]:
    """Return the ids that the bot names for an app."""
    argv = ["env", f"SERVICE={domain}", "MACHINE_LOGS=true", "/usr/bin/backup", "snapshots"]
    lines = bot.container.exec(argv, timeout=60).text.splitlines()
    return [json.loads(line)["snapshot_id"] for line in lines]


def test_apps_are_kept_apart_and_a_named_snapshot_comes_back(apps: Apps) -> None:
    """Hooks run in the app's own container; the other app stays as it is, at each step."""
    one, two = "bot-one_test", "bot-two_test"
    with apps.bots.serving() as bot:
        assert Direct().create(bot, "bot-one.test").code == 0
        assert apps.sh(one, "cat /data/dump") == f"{one} first"
        assert apps.sh(two, "ls /data") == "live"
        (first,) = ids(bot, "bot-one.test")
        apps.sh(one, "echo second > /data/live; echo x > /data/later")
        for domain in ("bot-one.test", "bot-two.test"):
            assert Direct().create(bot, domain).code == 0
        assert len(ids(bot, "bot-one.test")) == 2
        assert len(ids(bot, "bot-two.test")) == 1
        assert len(ids(bot, "")) == 3
        said = Direct().restore(bot, "bot-one.test", first)
        assert said.code == 0, said.text
    assert apps.sh(one, "cat /data/live; cat /data/loaded") == f"{one} first\n{one} first"
    assert apps.sh(one, "test -e /data/later || echo gone") == "gone"
    assert apps.sh(two, "cat /data/live; cat /data/dump") == f"{two} first\n{two} first"
    with apps.bots.serving() as bot:  # another container, the same repository
        assert first in ids(bot, "bot-one.test")
        said = Direct().restore(bot, "bot-two.test", first)
        assert said.code == 1
        assert f"bot-two_test has no snapshot {first}" in said.text


@pytest.fixture(name="servers_own")
def servers_own_fixture(bed: TestBed, image: StandIn) -> Iterator[Any]:
    """A bot that stands for a server's: no run has started it, and it keeps its own repository."""
    root = bed.client.info()["DockerRootDir"]
    password = b"a password of the server's"
    with ExitStack() as stack:
        secret = bed.client.api.create_secret("servers-own_restic", password, {})["ID"]
        stack.callback(bed.client.api.remove_secret, secret)
        service = bed.client.services.create(  # type: ignore[no-untyped-call]  # the stubs lack it
            image.reference,
            name="servers-own_app",
            labels={LABEL: "true"},
            env=["RESTIC_REPOSITORY=/backups", "RESTIC_PASSWORD_FILE=/run/secrets/password"],
            secrets=[SecretReference(secret, "servers-own_restic", filename="password")],
            mounts=[
                Mount("/var/run/docker.sock", bed.engine.host.removeprefix("unix://"), type="bind"),
                Mount("/var/lib/docker/volumes", f"{root}/volumes", type="bind"),
            ],
        )
        stack.callback(service.remove)
        yield service


def test_the_servers_own_bot_is_used_unchanged(harness: Harness, servers_own: Any) -> None:  # noqa: ANN401  the SDK's
    """Nothing stands in for it, nothing of it is changed, and its repository has the snapshot."""
    call = harness("custom-html", "--stages", "backup,restore", "--backup-driver", "backupbot")
    assert call.code == 0, call.text
    assert not [note for note in call.results["adaptations"] if note["kind"] == "backup-bot"]
    before = servers_own.attrs["Version"]
    servers_own.reload()
    assert servers_own.attrs["Version"] == before
    target = ExecTarget(
        client=harness.client, name="servers-own_app",
        resolve=lambda: container_of(harness.client, "servers-own_app"),
    )  # fmt: skip
    found = json.loads(target.exec(["restic", "snapshots", "--json"], timeout=60).text)
    assert [one["id"] for one in found] == [call.stage("backup")["facts"]["snapshot"]]


def test_one_backup_at_a_time(harness: Harness, cache_dir: Path) -> None:
    """A run that waits for the bot in vain says whose it is, and has the exit code of locks."""
    with locks.hold(
        cache_dir / "locks", LOCK, purpose="this very test", timeout=60, say=print
    ):  # fmt: skip
        call = harness(
            "custom-html", "--stages", "backup", "--backup-driver", "backupbot",
            "--lock-timeout", "1",
        )  # fmt: skip
    assert call.code == 5, call.text
    assert "the lock 'backup-bot' was not free within 1 s" in call.text
    assert "this very test" in call.text


def test_a_run_killed_under_its_bot_leaves_none_behind(apart: Harness, tmp_path: Path) -> None:
    """The next one finds it by the run's label; abra would otherwise be offered two of them."""
    output = tmp_path / "killed"
    words = ("custom-html", "--stages", "backup", "--backup-driver", "backupbot")
    with running(output, *words, environ=apart.environ) as process:
        wait_for(
            lambda: any(
                "backupbot" in item for run in recorded(output) for item in left(apart.client, run)
            ),
            what="the bot", deadline=Deadline.after(180),
        )  # fmt: skip
        process.kill()
    dead = run_of(output)
    assert any("backupbot" in item for item in left(apart.client, dead))
    call = apart(*words)
    assert call.code == 0, call.text
    assert left(apart.client, dead) == []
