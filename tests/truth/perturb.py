"""Healthy recipes under disturbance: every run has to be green, with and without the generic tests.

Runs come in pairs of one seed: the same disturbances, once with the generic assertions and once
without. The first tenth of the pairs run alone, and half of them beside a program that keeps the
processors busy; of the others two pairs run at once, and keep each other busy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.core import proc
from harness.core.event_log import entries
from harness.core.settings import SKIP_GENERIC
from tests.integration.support import ROOT, environment
from tests.truth import disturbed

RUN_SECONDS = 900.0
SKIP = {SKIP_GENERIC: "1"}
HEALTHY = (("custom-html",), ("radicale",))
CYCLES = 4  # in one pair of so many, a container is killed at each backup and restore, and no more
AT_ONCE = 4
REPRODUCTION = ("custom-html", "--stages", "install,backup,restore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run that is to be made.

    Args:
        words: what the harness is called with, after `run`.
        seed: what its disturbances are drawn from; None means none.
        generic: whether the generic assertions take part.
        beside: whether another run goes on at the same time.
        cycle: whether a container is killed after each backup and restore.
        unsettled: whether the settle step is left out, to see what notices.
    """

    words: tuple[str, ...]
    seed: int | None = None
    generic: bool = True
    beside: bool = False
    cycle: bool = False
    unsettled: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that makes the run."""
        options = [] if self.seed is None else ["--seed", str(self.seed)]
        options += ["--cycle"] if self.cycle else []
        options += ["--burn"] if self.seed is not None and not self.beside else []
        options += ["--unsettled"] if self.unsettled else []
        return ("-m", "tests.truth.disturbed", *options, "--", "run", *self.words)

    @property
    def again(self) -> str:
        """The command that makes it again, for a shell."""
        return " ".join(
            ["" if self.generic else "CCCI_SKIP_GENERIC=1", "python", *self.argv]
        ).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of a trial: the run's word, its cause, each disturbance as the run told it."""

    trial: Trial
    word: str
    cause: str
    seconds: float
    disturbances: tuple[str, ...]

    def __str__(self) -> str:
        """Return the trial in one line."""
        mode = "with generic   " if self.trial.generic else "without generic"
        where = "beside" if self.trial.beside else "alone "
        seed = "" if self.trial.seed is None else f"seed {self.trial.seed:<5} "
        what = f", {len(self.disturbances)} disturbances" if self.disturbances else ""
        cause = f": {self.cause.splitlines()[0]}" if self.cause else ""
        return (
            f"{self.word:<8}{seed}{mode} {where} {self.seconds:5.1f} s  {self.trial.words[0]}"
            f"{what}{cause}"
        )


def attempt(trial: Trial) -> Came:
    """Make one run in a process of its own, and return what came of it."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="ccci-truth-") as folder:
        environ = {**_environment(), **({} if trial.generic else SKIP)}
        done = proc.run(
            [sys.executable, *trial.argv, "--output", folder],
            timeout=RUN_SECONDS, cwd=ROOT, env=environ, check=False,
        )  # fmt: skip
        written = sorted(Path(folder).glob("*/results.json"))
        verdict = json.loads(written[0].read_text())["verdict"] if written else {}
        acts = [e["act"] for f in Path(folder).glob(f"*/{disturbed.FILE}") for e in entries(f)]
    return Came(
        trial=trial,
        word=str(verdict.get("outcome", "no result")),
        cause=str(verdict.get("cause", (done.stdout + done.stderr)[-2000:])),
        seconds=time.monotonic() - began,
        disturbances=tuple(acts),
    )


def _environment() -> dict[str, str]:
    return {k: v for k, v in environment().items() if not k.startswith(SKIP_GENERIC)}


def perturb(runs: int, *, seed: int, say: Callable[[str], None]) -> tuple[Came, ...]:
    """Make that many disturbed runs, in pairs, and return what came of each; recipes take turns.

    Args:
        runs: how many runs; an odd number is rounded up.
        seed: the first pair's; each later pair's is one higher.
        say: is told of each run as it ends.
    """
    pairs = (runs + 1) // 2
    trials = [
        Trial(
            words=HEALTHY[number % len(HEALTHY)], seed=seed + number, generic=generic,
            beside=number >= pairs / 10, cycle=number % CYCLES == CYCLES - 1,
        )
        for number in range(pairs)
        for generic in (True, False)
    ]  # fmt: skip
    alone = [trial for trial in trials if not trial.beside]
    beside = [trial for trial in trials if trial.beside]
    return (*_make(alone, at_once=1, say=say), *_make(beside, at_once=AT_ONCE, say=say))


def reproduce(
    runs: int, *, cycle: bool, unsettled: bool, say: Callable[[str], None]
) -> tuple[Came, ...]:
    """Make the run that this project began with so often alone, and so often beside another one.

    Args:
        runs: how often, in each of the two ways.
        cycle: whether the app's container is killed after each backup and restore.
        unsettled: whether the settle step is left out: then the runs have to go red.
        say: is told of each run as it ends.
    """
    came: list[Came] = []
    for beside in (False, True):
        trials = [
            Trial(
                words=REPRODUCTION,
                generic=False,
                beside=beside,
                cycle=cycle,
                unsettled=unsettled,
            )
            for _ in range(runs)
        ]
        came += _make(trials, at_once=2 if beside else 1, say=say)
    return tuple(came)


def _make(trials: Sequence[Trial], *, at_once: int, say: Callable[[str], None]) -> list[Came]:
    came = []
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for one in pool.map(attempt, trials):
            say(str(one))
            came.append(one)
    return came


def summary(came: Sequence[Came]) -> tuple[bool, list[str]]:
    """Return whether all is well, and what to say of it: counts, and what was not green."""
    words = sorted({one.word for one in came})
    counts = ", ".join(f"{sum(one.word == word for one in came)} {word}" for word in words)
    lines = [
        f"{len(came)} runs, {sum(len(one.disturbances) for one in came)} disturbances: {counts}"
    ]
    for one in came:
        if one.word != "passed":
            lines += [f"again: {one.trial.again}", *(f"  {what}" for what in one.disturbances)]
    unequal = _unequal(came)
    lines += [f"seed {seed}: not the same word in both modes" for seed in unequal]
    return words == ["passed"] and not unequal, lines


def _unequal(came: Sequence[Came]) -> list[int]:
    words: dict[int, set[str]] = {}
    for one in came:
        if one.trial.seed is not None:
            words.setdefault(one.trial.seed, set()).add(one.word)
    return [seed for seed, found in words.items() if len(found) > 1]
