"""What a host of a shared Swarm does, as a program: `python -m tests.integration.swarm_host`.

A test starts several, each with a cache of its own, stops and kills them.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker

from harness.core.errors import LockLostError
from harness.core.waiting import Deadline, wait_for
from harness.locks import file_lock as locks
from harness.locks import swarm_lock
from harness.locks.swarm_lock import Lease
from harness.run.reaper import Shared, stack_lock
from harness.swarm.configs import EngineConfigs
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL

SECONDS = 60.0
LEASE = 6.0  # seconds; a holder on a busy machine must not lose it


def tell(text: str) -> None:
    """Say something to the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def holding(
    client: docker.DockerClient,
    cache: Path,
    stack: str,
    say: Callable[[str], None],
    lease: float = LEASE,
) -> Iterator[Lease]:
    """Hold both locks of a stack, in the order in which a run takes them."""
    name, directory = stack_lock(stack), cache / "locks"
    with (
        locks.hold(directory, name, purpose="a test", timeout=SECONDS, say=say),
        swarm_lock.hold(
            EngineConfigs(client), name, run=f"run-of-{stack}", purpose="a test", timeout=SECONDS,
            say=say, place=locks.place_of(directory), lease=lease,
        ) as held,
    ):  # fmt: skip
        yield held


def race(client: docker.DockerClient, cache: Path, stack: str, meeting: Path, rounds: int) -> None:
    """Race with the other host, round by round; say how often it was met inside, and outside.

    Whoever is first stays until the other one waits: so they meet in every round.
    """
    swarm_lock.POLL_SECONDS = 0.005
    me, inside, waited = cache.name, 0, list[str]()

    def waits(said: str) -> None:
        waited.append(said)
        (meeting / f"second-{number}").touch()

    for number in range(rounds):
        (meeting / f"{number}-{me}").touch()
        wait_for(
            lambda number=number: list(meeting.glob(f"{number}-*")),  # type: ignore[misc]  # bound
            what="the other host", deadline=Deadline.after(SECONDS),
            ready=lambda there: len(there) == 2, interval=0.0005,
        )  # fmt: skip
        second = meeting / f"second-{number}"
        with holding(client, cache, stack, waits) as lease:
            try:
                os.close(os.open(meeting / "inside", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                inside += 1
            wait_for(second.exists, what="a host that waits", deadline=Deadline.after(SECONDS))
            lease.check()
            (meeting / "inside").unlink()
    tell(f"{rounds} rounds, {len(waited)} waits, {inside} collisions")


def hold_on(client: docker.DockerClient, cache: Path, stack: str, seconds: float) -> None:
    """Hold the locks, with something of a run that they guard; check whenever a line comes."""
    shared = Shared.of(client, cache)
    labels = {RUN_LABEL: f"run-of-{stack}", STACK_LABEL: stack, SCOPE_LABEL: shared.scope}
    with holding(client, cache, stack, lambda _: None, seconds) as lease:
        shared.configs.create(f"{stack}-made", labels)
        tell("held")
        for _ in sys.stdin:
            try:
                lease.check()
            except LockLostError as error:
                tell(f"lost: {error.what}")
            else:
                tell("ours")


def main(action: str, stack: str, *words: str, environ: Mapping[str, str]) -> None:
    """Do one of these on the engine and with the cache that the environment names."""
    client, cache = docker.from_env(), Path(environ["CCCI_CACHE"])
    if action == "race":
        race(client, cache, stack, Path(words[0]), int(words[1]))
    else:
        hold_on(client, cache, stack, float(words[0]))


if __name__ == "__main__":
    main(*sys.argv[1:], environ=os.environ)
