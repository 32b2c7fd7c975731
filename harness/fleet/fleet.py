"""Many runs at once: each is a process of its own, so that none can hurt another.

The fleet starts the runs in the order in which they were named, as many at a time as was asked for
and the machine has room for, follows their events, and shows how they ended. It decides nothing
about a recipe: a run's word is what the run itself wrote down.
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness.core import event_log, proc
from harness.core.command_line import split
from harness.core.errors import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_FAILED,
    EXIT_PASSED,
    UsageError,
)
from harness.core.event_log import EventReader
from harness.core.events import (
    AppKept,
    Doing,
    LockEvent,
    RunBegan,
    RunEnded,
    RunEvent,
    StageEnded,
    Stopping,
)
from harness.core.model import Outcome
from harness.core.settings import Settings
from harness.core.signals import FOLLOW, Stopper, stop_on_signals
from harness.core.waiting import SYSTEM_CLOCK, Clock
from harness.fleet import host
from harness.recipes.catalogue import Entry
from harness.report.results import RunResult, read
from harness.report.together import Ending, Row, TogetherView, show_together
from harness.run.repeat import LAUNCHER
from harness.run.requirements import make_output

LOOK_SECONDS = 0.1


def run(
    entries: Sequence[Entry],
    argv: Sequence[str],
    settings: Settings,
    environ: Mapping[str, str],
    console: Console,
) -> int:
    """Run the recipes, `settings.jobs` at a time, and return one exit code for all.

    That is the one of the first recipe, as they were named, that did not pass; and that of a run
    that was stopped when the fleet was.

    Args:
        entries: one recipe for each of the settings' selectors.
        argv: the command line of which the settings were made; the runs get its options.
        settings: the settings of every run.
        environ: the user's environment.
        console: where to show them.

    Raises:
        UsageError: they would all deploy under one domain.
    """
    if settings.domain:
        raise UsageError(
            f"{len(entries)} runs cannot share the domain {settings.domain}",
            cause="they would wait for one another's stack instead of running at once",
            hint="leave --domain out, so that each run has its own; or leave --jobs out",
        )
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    directory = settings.output / f"jobs-{stamp}-{secrets.token_hex(4)}"
    make_output(directory)
    members = [
        Member(
            argv=(sys.executable, "-m", "harness", FOLLOW, "run", selector, *options(argv)),
            events=EventReader(directory / f"{number:02}-{entry.name}.jsonl"),
            row=Row(label=label, output=directory / f"{number:02}-{entry.name}.log"),
        )
        for number, (entry, selector, label) in enumerate(
            zip(entries, settings.selectors, labels(entries), strict=True), start=1
        )
    ]
    fleet = Fleet(
        members=members,
        jobs=settings.jobs,
        environ=environ,
        look=lambda: host.look(settings, environ),
        view=TogetherView(console=console, rows=[member.row for member in members]),
    )
    fleet.run()
    show_together(console, fleet.view.rows)
    return EXIT_ABORTED if fleet.stopped_by else exit_code([row.ending for row in fleet.view.rows])


def options(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a command line that each run gets: all but `--jobs`."""
    words = list(split(argv)[1])
    if "--jobs" in words:
        place = words.index("--jobs")
        del words[place : place + 2]
    return tuple(words)


def labels(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return what each run is called: its recipe, and what tells it from the others of that name.

    The ref does, if there is one; a recipe that is run several times is counted.
    """
    names = [f"{e.name}#{e.ref}" if e.ref else e.name for e in entries]
    total, seen, found = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return tuple(found)


def exit_code(endings: Sequence[Ending | None]) -> int:
    """Return the exit code of the first one that did not pass."""
    codes = [EXIT_ERROR if ending is None else ending.exit_code for ending in endings]
    return next((code for code in codes if code != EXIT_PASSED), EXIT_PASSED)


@dataclass(kw_only=True)
class Member:
    """One run of the fleet: its command, what is shown of it, and its process while it goes on."""

    argv: tuple[str, ...]
    events: EventReader
    row: Row
    worker: proc.Worker | None = None
    directory: Path | None = None
    notes: list[str] = field(default_factory=list)
    ended: RunEnded | None = None

    def follow(self) -> list[str]:
        """Read the run's events since the last look; return the texts of those worth a line."""
        new = self.events.new()
        for event in new:
            self._take(event)
        return [str(one) for one in new if isinstance(one, (StageEnded, LockEvent, Stopping))]

    def _take(self, event: RunEvent) -> None:
        match event:
            case RunBegan() if self.directory is None:
                self.directory = Path(event.directory)
            case RunEnded():
                self.ended = event
            case AppKept():
                self.notes += str(event).splitlines()
            case Doing() | StageEnded() | LockEvent() | Stopping():
                self.row.step = str(event)
        if isinstance(event, (Doing, StageEnded)) and event.stage:
            self.row.stage = event.stage


@dataclass(kw_only=True)
class Fleet:
    """Runs that are started, followed and, when the fleet is told to stop, stopped together.

    Args:
        members: the runs, in the order in which they start.
        jobs: how many go on at a time, at most.
        environ: their environment.
        look: returns what the guard looks at; called once, before the second start.
        view: shows them.
        clock: what time it is.
    """

    members: Sequence[Member]
    jobs: int
    environ: Mapping[str, str]
    look: Callable[[], host.Host]
    view: TogetherView
    clock: Clock = SYSTEM_CLOCK
    stopped_by: str = ""
    _host: host.Host | None = None
    _held: Member | None = None

    def run(self) -> None:
        """Run them all to their ends.

        Should the fleet itself end before that, its runs see it, stop and clean up.
        """
        stopper = Stopper(
            say=self.view.say,
            doing="the runs remove their apps",
            pass_on=lambda number: self._send(number) if stopper.stopped_by else None,
        )
        stopper.hold()
        with self.view, stop_on_signals(self.view.say, stopper=stopper):
            while any(member.row.ending is None for member in self.members):
                if stopper.stopped_by and not self.stopped_by:
                    self._stop(stopper.stopped_by)
                self._look_at_running()
                self._start_what_may()
                self.clock.sleep(LOOK_SECONDS)

    def _running(self) -> list[Member]:
        return [member for member in self.members if member.worker and not member.row.ending]

    def _send(self, number: int) -> None:
        for member in self._running():
            if member.worker is not None:
                member.worker.send(number)

    def _stop(self, name: str) -> None:
        """Pass the signal on, once, and start nothing any more."""
        self.stopped_by = name
        self._send(signal.Signals[name])
        for member in self.members:
            if member.row.began is None:
                cause = f"it was not started: the runs were stopped by {name}"
                self._end(
                    member,
                    Ending(outcome=Outcome.ABORTED, exit_code=EXIT_ABORTED, cause=cause),
                )

    def _look_at_running(self) -> None:
        for member in self._running():
            code = member.worker.poll() if member.worker else None
            for text in member.follow():
                self.view.change(member.row, text)
            if code is not None and member.worker is not None:
                member.worker.close()
                self._end(member, self._ending(member, code))

    def _start_what_may(self) -> None:
        for member in self.members:
            running = self._running()
            if len(running) >= self.jobs:
                return
            if member.row.began is not None or member.row.ending is not None:
                continue
            if why := self._shortage(running):
                if self._held is not member:
                    self.view.say(f"holding back {member.row.label}: {why}")
                self._held = member
                return
            self._start(member)

    def _shortage(self, running: Sequence[Member]) -> str:
        if not running:
            return ""
        if self._host is None:
            self._host = self.look()
        now = self.clock.monotonic()
        young = [m for m in running if now - (m.row.began or now) < host.YOUNG_SECONDS]
        return host.shortage(self._host.rooms(young=len(young)), running=len(running))

    def _start(self, member: Member) -> None:
        row = member.row
        row.began = self.clock.monotonic()
        row.step = "starting"
        try:
            environ = {**self.environ, event_log.COPY: str(member.events.path)}
            member.worker = proc.Worker(member.argv, log=row.output, env=environ)
        except OSError as error:
            cause = f"its process could not be started: {error.strerror}"
            self._end(member, Ending(outcome=Outcome.ERROR, exit_code=EXIT_ERROR, cause=cause))
        else:
            self.view.change(row, f"started; its output goes to {row.output}")

    def _end(self, member: Member, ending: Ending) -> None:
        member.row.ending = ending
        why = f"  ({ending.cause.partition(chr(10))[0]})" if ending.cause else ""
        self.view.change(member.row, f"{ending.outcome} after {ending.seconds:.1f} s{why}")

    def _ending(self, member: Member, code: int) -> Ending:
        seconds = self.clock.monotonic() - (member.row.began or 0.0)
        result = None
        with suppress(OSError, ValueError):  # then nobody knows its word
            result = read(member.directory) if member.directory else None
        if result is not None:
            return _of_result(member, result)
        outcome, shown, cause = without_results(
            code, at=member.row.step, ended=member.ended, stopped=bool(self.stopped_by)
        )
        nox = self.environ.get(LAUNCHER, "nox")
        return Ending(
            outcome=outcome,
            exit_code=shown,
            cause=cause,
            hint=f"{nox} -s reap removes what it left" if member.directory else "",
            seconds=seconds,
            directory=member.directory,
            notes=tuple(member.notes),
        )


def _of_result(member: Member, result: RunResult) -> Ending:
    verdict = result.verdict
    return Ending(
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        cause=verdict.cause,
        seconds=result.seconds,
        result=result,
        directory=member.directory,
        notes=tuple(member.notes),
    )


def without_results(
    code: int, *, at: str, ended: RunEnded | None, stopped: bool
) -> tuple[Outcome, int, str]:
    """Return the word, the exit code and the cause of a run that wrote no results down.

    It is never *failed* and never *passed*: nobody has judged the recipe.

    Args:
        code: what its process ended with; a negative one is the signal that killed it.
        at: what the run was doing.
        ended: what it recorded at its end, if it came to that.
        stopped: whether it had been told to stop.
    """
    where = f" at '{at}'"
    if stopped and (code < 0 or code == EXIT_ABORTED):
        return Outcome.ABORTED, EXIT_ABORTED, f"it was stopped{where}, and did not clean up"
    if code < 0:
        return Outcome.ERROR, EXIT_ERROR, f"its process was killed by {_signal(-code)}{where}"
    if code == EXIT_ABORTED:
        return Outcome.ABORTED, EXIT_ABORTED, f"it was told to leave at once{where}"
    cause = ended.cause if ended and ended.cause else f"it ended with code {code}{where}"
    unjudged = code in (EXIT_PASSED, EXIT_FAILED)
    return Outcome.ERROR, EXIT_ERROR if unjudged else code, cause


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name of its own
        return f"signal {number}"
