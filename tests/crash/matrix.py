"""The crash matrix: runs are killed at every step and in between, and the next one has to be green.

Several scopes (a cache each) share one engine of the tests' own. In each, some runs are killed one
after the other; then a whole one follows, and nothing of the dead may be left.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import docker
import psutil

from harness.core.errors import HarnessError, WaitTimeoutError
from harness.core.events import Doing
from harness.core.waiting import Deadline, wait_for
from harness.swarm.states import NAMESPACE_LABEL
from harness.swarm.sweep import RUN_LABEL, find
from tests.crash.killing import (
    RECIPE,
    Kill,
    Kind,
    Scope,
    Started,
    alive_of,
    is_alive,
    started,
    steps,
)
from tests.integration.own_engine import OwnEngine, share

KILLS_PER_RUN = 4  # that many die in a scope before a whole one follows
WHOLE_EVERY = 4  # every so many times, what follows performs all stages
LATEST = 4.0  # seconds after a step for kills at random
GONE_SECONDS = 150.0  # an engine sweeps up the namespaces of dead containers once a minute
END_SECONDS = 60.0  # for the children of a run that was killed to end by themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one disturbed run, and of the one after it."""

    where: str
    kind: str
    run: str
    left: tuple[str, ...]
    following: str  # the next run's word

    @property
    def ok(self) -> bool:
        """Whether nothing was left and the next run was green."""
        return not self.left and self.following == "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A run that is over, and the processes that it had started."""

    where: str
    kind: str
    run: str
    family: frozenset[psutil.Process]


def plan(boundaries: Sequence[Doing], kills: int, *, seed: int) -> list[Kill]:
    """Return that many kills: each boundary in both kinds, in random order, then random moments.

    Args:
        boundaries: the steps of a whole run, in order.
        kills: how many; with fewer than twice the boundaries, not all of them have their turn.
        seed: what the order and the random moments are drawn from.
    """
    draw = random.Random(seed)  # noqa: S311  no secret
    places = [(step, boundaries[: i + 1].count(step)) for i, step in enumerate(boundaries)]
    made = [Kill(step=s, nth=n, kind=kind) for s, n in places for kind in Kind]
    draw.shuffle(made)
    while len(made) < kills:
        step, nth = draw.choice(places)
        delay, kind = draw.uniform(0.0, LATEST), draw.choice(list(Kind))
        made.append(Kill(step=step, nth=nth, kind=kind, delay=delay, random=True))
    return made[:kills]


@dataclass(frozen=True, kw_only=True)
class Bed:
    """The engine of the tests' own, with a client of it, and where scopes are made."""

    own: OwnEngine
    client: docker.DockerClient
    folder: Path
    layers: Path

    def scope(self, name: str) -> Scope:
        """Make a scope: an empty cache, with the images at hand."""
        folder = self.folder / name
        share(self.layers, folder / "cache" / "images")
        (folder / "tmp").mkdir()
        return Scope(
            folder=folder,
            host=self.own.paths.engine.host,
            prefix=tuple(self.own.spaces.prefix()),
        )

    def there(self) -> frozenset[str]:
        """Return all that the engine holds, without images, and its network namespaces."""
        api = self.client.api
        named = [("service", one["Spec"]["Name"]) for one in api.services()]  # type: ignore[no-untyped-call]  # stubs lack it
        named += [("container", one["Names"][0]) for one in api.containers(all=True)]
        named += [("network", one["Name"]) for one in api.networks()]
        named += [("volume", one["Name"]) for one in api.volumes()["Volumes"] or []]
        named += [("secret", one["Spec"]["Name"]) for one in api.secrets()]
        named += [("config", one["Spec"]["Name"]) for one in api.configs()]  # type: ignore[no-untyped-call]  # stubs lack it
        spaces = self.own.paths.exec / "netns"
        named += [("network namespace", path.name) for path in spaces.glob("*")]
        return frozenset(f"{kind} {name}" for kind, name in named)


def last_look(bed: Bed, before: frozenset[str]) -> list[str]:
    """Return what the engine still holds of all that was made, when it has had time to sweep up."""
    with suppress(WaitTimeoutError):
        wait_for(
            lambda: bed.there() - before, what="an engine as it was before",
            deadline=Deadline.after(GONE_SECONDS), ready=lambda left: not left, interval=1.0,
        )  # fmt: skip
    return sorted(bed.there() - before)


def complete(scope: Scope, output: Path, *words: str) -> tuple[str, str]:
    """Make a run to its end; return its word and what it printed."""
    with started(scope, output, *words) as going:
        await_end(going)
        written = list(output.glob("*/results.json"))
        verdict = json.loads(written[0].read_text())["verdict"] if written else {}
        return str(verdict.get("outcome", f"exit code {going.process.returncode}")), going.text


def await_end(going: Started) -> None:
    """Wait until a run has ended."""
    wait_for(
        lambda: going.process.poll() is not None,
        what="the run's end",
        deadline=Deadline.after(300.0),
        interval=0.1,
    )


def kill_one(scope: Scope, output: Path, kill: Kill) -> Dead | None:
    """Start a run and kill it there; None if it had not got a name, or ended before."""
    with started(scope, output) as going:
        if not going.await_step(kill.step, kill.nth):
            raise HarnessError(f"the run never came to '{kill.step}'", detail=going.text)
        if kill.delay:
            moment = Deadline.after(kill.delay)
            wait_for(
                lambda: moment.passed() or going.process.poll() is not None,
                what="the moment", deadline=Deadline.after(kill.delay + 1), interval=0.01,
            )  # fmt: skip
        if going.process.poll() is not None:
            return None
        run, family = going.run, going.kill(kill.kind)
    return Dead(where=kill.where, kind=str(kill.kind), run=run, family=family)


def follow(
    bed: Bed, scope: Scope, dead: Sequence[Dead], output: Path, before: frozenset[str], *words: str
) -> list[Came]:
    """Make a whole run after those that died, and return what is left of each of them."""
    word, text = complete(scope, output, *words)
    following = word if word == "passed" else f"{word}: {text[-1500:]}"
    came = []
    shared = sorted(scope.files() - before)
    for one in dead:
        token = one.run.rpartition("-")[2]
        left = [f"file {path}" for path in shared if token in path or len(dead) == 1]
        left += left_of(bed, one)
        came.append(
            Came(where=one.where, kind=one.kind, run=one.run, left=tuple(left), following=following)
        )
    stray = [f"file {p}" for p in shared if not any(f"file {p}" in one.left for one in came)]
    if stray:
        came.append(
            Came(where="the scope", kind="", run="", left=tuple(stray), following=following)
        )
    return came


def left_of(bed: Bed, dead: Dead) -> list[str]:
    """Return what there is of a dead run in the engine and among the processes."""
    token = dead.run.rpartition("-")[2]
    stack = f"{RECIPE[:10]}-{token}_test"
    labelled = (f"{RUN_LABEL}={dead.run}", f"{NAMESPACE_LABEL}={stack}")
    left = {str(item) for label in labelled for item in find(bed.client, label)}
    left |= {thing for thing in bed.there() if token in thing}

    def living() -> list[str]:
        family = [f"process {child.pid}" for child in dead.family if is_alive(child)]
        return family + alive_of(dead.run)

    try:
        wait_for(
            living, what="its children's end", deadline=Deadline.after(END_SECONDS),
            ready=lambda found: not found, interval=0.2,
        )  # fmt: skip
    except WaitTimeoutError:
        left.update(living())
    return sorted(left)


def collect(scope: Scope, output: Path) -> list[Doing]:
    """Return the steps of a whole run, which has to be green; it fills the scope's cache, too.

    Raises:
        HarnessError: it was not green.
    """
    word, text = complete(scope, output)
    if word != "passed":
        raise HarnessError(f"the run before all others is not green: {word}", detail=text)
    return steps(output)


def kill_all(
    bed: Bed, kills: Sequence[Kill], *, jobs: int, say: Callable[[str], None]
) -> list[Came]:
    """Make all these kills, in as many scopes at a time, and return what came of each."""
    batches = [kills[i : i + KILLS_PER_RUN] for i in range(0, len(kills), KILLS_PER_RUN)]
    numbers = count(1)
    scopes = [bed.scope(f"s{i}") for i in range(jobs)]
    files: Mapping[Scope, frozenset[str]] = {}

    def warm(scope: Scope) -> tuple[Scope, frozenset[str]]:
        word, text = complete(scope, scope.folder / "warm", "--stages", "install")
        if word != "passed":
            raise HarnessError("the first run in a scope is not green", detail=text)
        return scope, scope.files()

    def one(scope: Scope, batch: Sequence[Kill]) -> list[Came]:
        place = scope.folder / f"b{next(numbers)}"
        killed = [kill_one(scope, place / f"k{i}", kill) for i, kill in enumerate(batch)]
        dead = [each for each in killed if each is not None]
        whole = int(place.name[1:]) % WHOLE_EVERY == 0
        words = () if whole else ("--stages", "install")
        came = follow(bed, scope, dead, place / "next", files[scope], *words)
        for row in came:
            say(f"{'ok   ' if row.ok else 'WRONG'}  {row.kind:<8} {row.where}  {row.run}")
        return came

    def work(number: int) -> list[Came]:
        mine = batches[number::jobs]
        return [row for batch in mine for row in one(scopes[number], batch)]

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        files = dict(pool.map(warm, scopes))
        return [row for rows in pool.map(work, range(jobs)) for row in rows]
