"""Several hosts on one Swarm: one holder at a time, and none for longer than it lives."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from harness.core.errors import LockTimeoutError
from harness.core.events import Doing, LockEvent, LockState, Step
from harness.core.model import Stage
from harness.core.waiting import Deadline, wait_for
from harness.locks import swarm_lock
from harness.locks.swarm_lock import OWNER, RUN
from harness.run import reaper
from harness.run.reaper import Shared, stack_lock
from harness.run.testbed import TestBed
from harness.swarm.configs import EngineConfigs
from harness.swarm.sweep import STACK_LABEL, find
from tests.integration.conftest import Harness
from tests.integration.running import PRINTED, reaches, run_of, running
from tests.integration.support import INSTALL_ASSERTIONS, ROOT, recorded
from tests.integration.swarm_host import LEASE

pytestmark = pytest.mark.xdist_group("swarm-locks")  # each reaps what hosts of the Swarm left

ROUNDS = int(os.environ.get("CC_CI_LOCK_ROUNDS", "40"))  # a night has more: nox -s nightly
FOR_EVER = 300.0  # seconds: far longer than a host waits for a lock


@dataclass
class Hosts:
    """Starts programs that are hosts of the Swarm, each with a cache of its own."""

    bed: TestBed
    directory: Path
    stack: str
    started: ExitStack

    def start(self, action: str, name: str, *words: str) -> "subprocess.Popen[str]":
        """Start a host; it is killed with the test if it still runs."""
        environ = self.bed.engine.environ(dict(os.environ))
        environ["CCCI_CACHE"] = str(self.directory / name)
        process = subprocess.Popen(  # noqa: S603  the project's own
            [sys.executable, "-m", "tests.integration.swarm_host", action, self.stack, *words],
            cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.callback(self.end, process)
        return process

    def holder(self, name: str, lease: float = LEASE) -> "subprocess.Popen[str]":
        """Start a host that holds the lock, and wait until it does."""
        process = self.start("hold", name, str(lease))
        assert heard(process) == "held"
        return process

    def end(self, process: "subprocess.Popen[str]") -> None:
        """Kill a host, as a host dies."""
        process.kill()
        process.communicate()


def heard(process: "subprocess.Popen[str]") -> str:
    """Return the next line of a host."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def asked(process: "subprocess.Popen[str]") -> str:
    """Let a host check its lock, and return what it says."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return heard(process)


@pytest.fixture(name="hosts")
def hosts_fixture(bed: TestBed, tmp_path: Path) -> Iterator[Hosts]:
    """Hosts that race for one stack of which nothing stays."""
    stack = f"race-{secrets.token_hex(4)}_test"
    with ExitStack() as started:
        yield Hosts(bed, tmp_path, stack, started)
    configs = EngineConfigs(bed.client)
    for name in (swarm_lock.config_name(stack_lock(stack)), f"{stack}-made"):
        if config := configs.find(name):
            configs.remove(config.id)


def test_two_hosts_that_race_for_a_stack_hold_it_one_at_a_time(hosts: Hosts) -> None:
    """Each of them gets it in every round, and never meets the other one inside."""
    meeting = hosts.directory / "meeting"
    meeting.mkdir()
    both = [hosts.start("race", name, str(meeting), str(ROUNDS)) for name in ("a", "b")]
    said = [process.communicate(timeout=240)[0].strip() for process in both]
    for line, process in zip(said, both, strict=True):
        assert process.returncode == 0
        assert line.startswith(f"{ROUNDS} rounds, ")
        assert line.endswith(" waits, 0 collisions")
    assert sum(int(line.split()[2]) for line in said) == ROUNDS, "one of them waits in each"
    assert swarm_lock.look(EngineConfigs(hosts.bed.client), stack_lock(hosts.stack)) is None


def test_a_stopped_holder_finds_its_lock_lost_when_it_goes_on(hosts: Hosts) -> None:
    """It is taken over after the lease; what the late one does takes nothing from the new one."""
    configs, name = EngineConfigs(hosts.bed.client), stack_lock(hosts.stack)
    sleeper = hosts.holder("sleeper")
    assert asked(sleeper) == "ours"
    os.kill(sleeper.pid, signal.SIGSTOP)
    said: list[str] = []
    with swarm_lock.hold(
        configs, name, run="second", purpose="p", timeout=60, say=said.append
    ) as lease:
        assert "held by run-of-" in said[0]
        os.kill(sleeper.pid, signal.SIGCONT)
        assert asked(sleeper).startswith(f"lost: lost the lock '{name}'")
        sleeper.communicate()
        assert sleeper.returncode == 0
        lease.check()
    assert swarm_lock.look(configs, name) is None


def test_a_killed_holders_lock_is_free_after_its_lease_and_at_once_on_its_host(
    hosts: Hosts,
) -> None:
    """Other hosts can only wait; on its own one, the file lock tells."""
    configs, name = EngineConfigs(hosts.bed.client), stack_lock(hosts.stack)
    hosts.end(hosts.holder("dead", 3 * LEASE))
    with (
        pytest.raises(LockTimeoutError),
        swarm_lock.hold(configs, name, run="r", purpose="p", timeout=LEASE / 2, say=print),
    ):
        pass
    hosts.end(hosts.holder("other", FOR_EVER))  # waits for the lease of the dead one
    hosts.holder("other")  # cannot wait for that long


def test_a_slow_but_living_holder_keeps_its_lock(hosts: Hosts) -> None:
    """For as long as it renews it, whoever wants it."""
    configs, name = EngineConfigs(hosts.bed.client), stack_lock(hosts.stack)
    holder = hosts.holder("alive")
    with (
        pytest.raises(LockTimeoutError),
        swarm_lock.hold(configs, name, run="r", purpose="p", timeout=2 * LEASE, say=print),
    ):
        pass
    assert asked(holder) == "ours"


def test_what_a_dead_host_left_is_removed_by_another_one(hosts: Hosts) -> None:
    """Its lock as well; what a living one has is not touched."""
    client = hosts.bed.client
    dead = hosts.holder("dead")
    cache = hosts.directory / "other"
    shared = Shared.of(client, cache, patient=True)
    reaper.reap(client, cache=cache, shared=shared, say=print)
    assert [item.name for item in find(client, f"{STACK_LABEL}={hosts.stack}")]
    hosts.end(dead)
    said: list[str] = []
    shared = Shared.of(client, cache, patient=True)
    reaper.reap(client, cache=cache, shared=shared, say=said.append)
    assert f"run-of-{hosts.stack}: removed 1 config(s)" in said
    assert find(client, f"{STACK_LABEL}={hosts.stack}") == ()
    assert swarm_lock.look(shared.configs, stack_lock(hosts.stack)) is None


def test_a_run_with_a_swarm_lock_is_green_and_leaves_no_lock(
    harness: Harness, client: docker.DockerClient
) -> None:
    """Its things belong to the Swarm's scope, and its lock goes with it."""
    call = harness("custom-html", "--stages", "install", "--lock", "swarm")
    assert call.code == 0, call.text
    lock = stack_lock(call.results["stack"])
    assert LockEvent(lock=lock, state=LockState.HELD, swarm=True) in call.events
    assert swarm_lock.look(EngineConfigs(client), lock) is None


def test_a_run_whose_lock_is_stolen_stops_before_its_next_op(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """An error of the test bed; it cleans up, and spares the thief's."""
    configs, printed = EngineConfigs(client), tmp_path / PRINTED
    words = ("custom-html", "--stages", "install,backup", "--lock", "swarm")
    with running(tmp_path, *words) as process:
        reaches(tmp_path, INSTALL_ASSERTIONS, process)
        run = run_of(tmp_path)

        def stolen() -> swarm_lock.Seen | None:
            """Steal the lock; None if its holder has renewed it in the same moment."""
            (seen,) = (one for one in swarm_lock.every_lock(configs) if one.run == run)
            # It is not renewed, and any other run may come by meanwhile.
            labels = {**seen.config.labels, OWNER: "a thief", RUN: "theirs"}
            labels[swarm_lock.LEASE] = "3600"
            return seen if configs.update(seen.config, labels) else None

        seen = wait_for(stolen, what="a theft", deadline=Deadline.after(30))
        assert seen is not None
        assert process.wait(timeout=120) == 3, printed.read_text()
        text = printed.read_text()
        assert "it was taken over by theirs on" in text
        assert Doing(step=Step.OP, stage=Stage.BACKUP) not in recorded(tmp_path)[run]
        kept = configs.find(seen.config.id)
        assert kept is not None
        assert kept.labels[OWNER] == "a thief"
        assert find(client, f"{STACK_LABEL}={seen.name.removeprefix(stack_lock(''))}") == ()
        configs.remove(seen.config.id)
