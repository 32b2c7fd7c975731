"""Which bot a run gets: the server's, or one of its own, and nobody else's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from harness.backups.bot import Bot, Said
from harness.backups.bots import LABEL, BackupBots, ThroughAbra
from harness.core.errors import TestBedError
from harness.exec.exec import ExecTarget
from harness.images.images import StandIn
from harness.platforms.base import Target
from tests.unit.fake_clock import stop_the_clock

TARGET = Target(recipe="made", run="run1", scope="s", domain="made.test")
LABELS = {"ccci.run": "run1", "ccci.scope": "s", "ccci.stack": "made_test"}
IMAGE = StandIn(image="b", reference="bot:1", name="backupbot", key="k", note="ours", packages={})


def raw(name: str, **labels: str) -> dict[str, Any]:
    """Return a service as the engine lists it."""
    given = {key.replace("__", "."): value for key, value in labels.items()}
    return {"ID": f"id-{name}", "Spec": {"Name": name, "Labels": {LABEL: "true", **given}}}


@dataclass
class BotsBench:
    """An engine with bots on it."""

    listed: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    looks: int = 0
    refuses: int = 0  # the engine's answer to removing a container
    leaves_after: int = 0  # looks after which what is listed is gone

    @property
    def client(self) -> Any:  # noqa: ANN401  stands in for a docker client
        """The engine."""
        return SimpleNamespace(
            api=self, services=SimpleNamespace(create=self.make_service),
            volumes=SimpleNamespace(create=self.make_volume),
            info=lambda: {"DockerRootDir": "/var/lib/docker"},
        )  # fmt: skip

    def services(self, *, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the services with a label."""
        assert filters == {"label": LABEL}
        self.looks += 1
        if self.leaves_after and self.looks > self.leaves_after:
            self.listed = []
        return self.listed

    def create_secret(self, name: str, data: bytes, labels: Mapping[str, str]) -> dict[str, str]:
        """Make a secret."""
        assert (labels, len(data)) == (LABELS, 48)
        self.events.append(f"secret {name}")
        return {"ID": "s1"}

    def make_volume(self, name: str, *, labels: Mapping[str, str]) -> None:
        """Make a volume."""
        assert labels == LABELS
        self.events.append(f"volume {name}")

    def make_service(self, image: str, **options: Any) -> Any:  # noqa: ANN401  as the SDK's
        """Make a service."""
        self.made = {"image": image, **options}
        self.events.append(f"service {options['name']}")
        self.listed = [raw(options["name"], ccci__run="run1")]
        return SimpleNamespace(attrs=self.listed[0])

    def tasks(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the tasks of a service, unless it is gone."""
        assert filters["desired-state"] == "running"
        if all(one["ID"] != filters["service"] for one in self.listed):
            raise NotFound(filters["service"])
        status = {"State": "running", "ContainerStatus": {"ContainerID": "c1"}}
        return [{"Status": status, "NodeID": "n2"}, {"Status": status, "NodeID": "n1"}]

    def remove_service(self, identity: str) -> None:
        """Remove a service."""
        if all(one["ID"] != identity for one in self.listed):
            raise NotFound(identity)
        self.events.append(f"remove {identity}")
        self.listed = []

    def remove_container(self, identity: str, *, force: bool) -> None:
        """Remove a container; the Swarm may be about to do so, or have done it."""
        assert force
        self.events.append(f"remove {identity}")
        if self.refuses:
            raise APIError("no", response=SimpleNamespace(status_code=self.refuses))  # type: ignore[arg-type]

    def bots(self) -> BackupBots:
        """Return what is tested."""

        @contextmanager
        def lock() -> Iterator[None]:
            self.events.append("lock")
            yield
            self.events.append("unlock")

        return BackupBots(
            client=self.client, node="n1", socket="/run/d.sock", target=TARGET, lock=lock,
            image=lambda: IMAGE, say=self.said.append,
        )  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> BotsBench:
    """An engine without any bot, on which containers come up at once."""
    stop_the_clock(monkeypatch)
    made = BotsBench()
    monkeypatch.setattr(ExecTarget, "current", lambda _target: made.events.append("it is up"))
    return made


NAME = "made_test_ccci-backupbot"
UP = [f"service {NAME}", "it is up"]


def test_a_bot_of_our_own_is_there_for_as_long_as_it_is_needed(bench: BotsBench) -> None:
    """Within the lock; its repository and its password stay for the restore."""
    bots = bench.bots()
    for _ in range(2):
        with bots.serving() as bot:
            assert (bot.own, bot.name, bot.note) == (True, NAME, "ours; the server has none")
            bench.events.append("used")
    kept = ["volume made_test_ccci-backups"]
    once = [*UP, "used", f"remove id-{NAME}", "remove c1", "unlock"]
    assert bench.events == [
        "lock", *kept, "secret made_test_ccci-restic", *once, "lock", *kept, *once,
    ]  # fmt: skip


def test_our_own_is_what_abra_looks_for_and_what_clean_up_finds(bench: BotsBench) -> None:
    """Service and container carry the run's label; it sees the engine and its node's volumes."""
    with bench.bots().serving():
        pass
    made = bench.made
    assert made["image"] == "bot:1"
    assert made["labels"] == {**LABELS, LABEL: "true"}
    assert made["container_labels"] == LABELS
    assert made["constraints"] == ["node.id==n1"]
    assert [(mount["Target"], mount["Source"], mount["Type"]) for mount in made["mounts"]] == [
        ("/var/run/docker.sock", "/run/d.sock", "bind"),
        ("/var/lib/docker/volumes", "/var/lib/docker/volumes", "bind"),
        ("/backups", "made_test_ccci-backups", "volume"),
    ]
    assert not any("PASSWORD=" in line for line in made["env"])


def test_whatever_goes_wrong_our_own_is_removed(bench: BotsBench) -> None:
    """Else the next run's would be the second one; if it is gone already, that is as well."""
    with pytest.raises(ZeroDivisionError), bench.bots().serving():
        raise ZeroDivisionError
    assert f"remove id-{NAME}" in bench.events
    with bench.bots().serving():
        bench.listed = []


@pytest.mark.parametrize(("refuses", "raised"), [(404, False), (409, False), (500, True)])
def test_a_container_that_the_swarm_removes_as_well_is_no_error(
    bench: BotsBench, refuses: int, *, raised: bool
) -> None:
    """It is gone, or going; anything else is told."""
    bench.refuses = refuses
    with pytest.raises(APIError) if raised else nullcontext(), bench.bots().serving():
        pass


def test_the_servers_own_is_used_and_left_alone(bench: BotsBench) -> None:
    """Nothing is made, nothing removed, and nothing has stood in for it."""
    bench.listed = [raw("backups_app")]
    with bench.bots().serving() as bot:
        assert (bot.own, bot.name, bot.note) == (False, "backups_app", "")
        assert bot.container.resolve() == "c1"
    assert bench.events == ["lock", "unlock"]
    assert bench.listed == [raw("backups_app")]
    assert bench.said == ["backup bot  backups_app, which is the server's own"]


def test_a_bot_that_goes_away_is_named_as_the_cause(bench: BotsBench) -> None:
    """It is no fault of the engine, and none of the recipe."""
    bench.listed = [raw("backups_app")]
    with bench.bots().serving() as bot:
        bench.listed = []
        with pytest.raises(TestBedError, match="the backup bot went away"):
            bot.container.resolve()


def test_two_of_the_servers_are_refused(bench: BotsBench) -> None:
    """Abra would ask which of them; a run cannot know."""
    bench.listed = [raw("b_app"), raw("a_app")]
    with pytest.raises(TestBedError, match="2 backup bots on the server: a_app, b_app"):
        bench.bots().serving().__enter__()


def test_another_runs_bot_is_waited_for(bench: BotsBench) -> None:
    """It is another cache's, whose runs hold other locks."""
    bench.listed, bench.leaves_after = [raw("other", ccci__run="run2")], 4
    with bench.bots().serving():
        pass
    assert bench.looks == 5
    assert UP[0] in bench.events


def test_another_runs_bot_that_stays_is_never_removed(bench: BotsBench) -> None:
    """It is not ours; who left it there is told how to find out."""
    bench.listed = [raw("other", ccci__run="run2")]
    with pytest.raises(TestBedError, match="another run's backup bot is in the way: other"):
        bench.bots().serving().__enter__()
    assert bench.events == ["lock"]


def test_through_abra_the_bot_is_called_by_abra(bench: BotsBench) -> None:
    """It finds the bot by itself; its words and its exit code are what counts."""
    platform: Any = SimpleNamespace(
        backup_create=lambda: (0, "made"), restore=lambda snapshot: (1, snapshot)
    )
    with bench.bots().serving() as bot:
        assert isinstance(bot, Bot)
        assert ThroughAbra(platform).create(bot, "d") == Said(code=0, text="made")
        assert ThroughAbra(platform).restore(bot, "d", "aa") == Said(code=1, text="aa")
