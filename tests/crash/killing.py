"""Starting a run, killing it at a given moment, and what there may be of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import psutil

from harness.core import event_log
from harness.core.events import Doing, Step
from harness.core.waiting import Deadline, wait_for
from harness.engine import processes
from tests.integration.support import ROOT, command, environment

RECIPE = "custom-html"
PRINTED = "printed.txt"
RUN_SECONDS = 180.0
LOOK_SECONDS = 0.005  # steps may be that short


class Kind(StrEnum):
    """What is killed."""

    PROCESS = "process"  # the harness itself; its children have to end by themselves
    GROUP = "group"  # with everything that it has started, as when a CI ends a job


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill: after a step began (the n-th of its kind), and so many seconds later."""

    step: Doing
    nth: int
    kind: Kind
    delay: float = 0.0
    random: bool = False

    @property
    def where(self) -> str:
        """Where it is, as the table shows it."""
        if self.random:
            return "random moments"
        return f"{self.step} ({self.nth})" if self.nth > 1 else str(self.step)


def steps(output: Path) -> list[Doing]:
    """Return the steps of the only run below a directory, without what differs between caches."""
    files = output.glob(f"*/{event_log.FILE}")
    begun = [one for file in files for one in event_log.read(file) if isinstance(one, Doing)]
    return [replace(one, about="") if one.step is Step.CLONE else one for one in begun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A cache of its own on a shared engine, and a directory for temporary files.

    Args:
        folder: it has these below it.
        host: the engine's endpoint.
        prefix: words before every command, such as those that enter a namespace.
    """

    folder: Path
    host: str
    prefix: tuple[str, ...]

    @property
    def cache(self) -> Path:
        """Return the cache directory."""
        return self.folder / "cache"

    @property
    def temporary(self) -> Path:
        """Return where its runs put temporary files."""
        return self.folder / "tmp"

    def environ(self) -> dict[str, str]:
        """Return the environment of its runs."""
        clean = {k: v for k, v in environment().items() if not k.startswith(("DOCKER_", "CCCI_"))}
        return {
            **clean,
            "CCCI_CACHE": str(self.cache),
            "DOCKER_HOST": self.host,
            "TMPDIR": str(self.temporary),
        }

    def files(self) -> frozenset[str]:
        """Return every path below the cache, and every temporary file."""
        return frozenset(
            str(path.relative_to(self.folder))
            for top in (self.cache, self.temporary)
            for path in top.rglob("*")
        )


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; another process that has its id by now does not count."""
    return process.is_running() and processes.is_running(process.pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run that goes on beside us."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def text(self) -> str:
        """What it has printed."""
        return (self.output / PRINTED).read_text()

    @property
    def run(self) -> str:
        """Its id, or empty while it has no directory."""
        return next((one.name for one in self.output.iterdir() if one.is_dir()), "")

    def await_step(self, step: Doing, nth: int = 1) -> bool:
        """Wait until it has begun that step so often; return whether it has, or ended first."""
        wait_for(
            lambda: self.reached(step, nth) or self.process.poll() is not None,
            what=f"'{step}'",
            deadline=Deadline.after(RUN_SECONDS),
            interval=LOOK_SECONDS,
        )
        return self.reached(step, nth)

    def reached(self, step: Doing, nth: int) -> bool:
        """Whether it has begun that step so often."""
        return steps(self.output).count(step) >= nth

    def family(self) -> frozenset[psutil.Process]:
        """Return the processes that it has started, without itself."""
        try:
            return frozenset(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return frozenset()

    def kill(self, kind: Kind) -> frozenset[psutil.Process]:
        """Kill it with SIGKILL, and return the processes that it had started."""
        family = self.family()
        self.process.kill()
        if kind is Kind.GROUP:
            family |= self.family()
            for child in family:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
        self.process.wait()
        return family


@contextmanager
def started(scope: Scope, output: Path, *words: str) -> Iterator[Started]:
    """Start a run of the recipe; it is ended with the block if it still goes on."""
    output.mkdir(parents=True)
    argv = [*scope.prefix, *command("run", RECIPE, *words, "--output", str(output))]
    with (output / PRINTED).open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603  the harness itself
            argv, cwd=ROOT, env=scope.environ(), stdout=stream, stderr=stream
        )
    try:
        yield Started(process=process, output=output)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def alive_of(run: str) -> list[str]:
    """Return the processes whose command line, environment or directory names that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            here = str((entry / "cwd").readlink()).encode()
            line, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            if any(run.encode() in text for text in (here, line, environ)):
                shown = line.replace(b"\0", b" ").decode(errors="replace")[:120]
                found.append(f"process {entry.name} {shown}")
    return found
