"""One child pytest per stage: started early, told late, read by what it wrote."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.assertions.protocol import Order, Reading, read_results, unfinished
from harness.errors import ProcessError
from harness.model import AssertionResult, Stage
from harness.proc import Worker

# With the first, assertions of helper modules would not be compiled at all; with the next two a
# warning of a library would fail a recipe; with the last, a child would never end.
STEERING = ("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONINSPECT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asserted:
    """What a stage's assertions said; `unfinished` is why the child did not finish, or empty."""

    seconds: float
    results: tuple[AssertionResult, ...]
    unfinished: str = ""


class Workers:
    """The children of a run, one for each stage that asserts; a context manager.

    A child is prepared while its stage's op waits for the app, so that its imports are done when
    there is something to assert: starting Python and pytest costs more than most assertions do.
    Those not used are ended at the end.

    Args:
        logs: a directory for what the children print.
        environ: their whole environment.
    """

    def __init__(self, logs: Path, environ: Mapping[str, str]) -> None:
        self._ready: dict[Stage, Worker] = {}
        self._logs = logs
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, environ.get("PYTHONPATH")]))
        # What steers the user's own pytest and Python must not steer a verdict: see STEERING.
        kept = {
            key: value
            for key, value in environ.items()
            if not key.startswith("PYTEST_") and key not in STEERING
        }
        self._environ = {
            **kept,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",  # nothing in the working directory is imported by its name
            "PYTHONPATH": path,
        }

    def __enter__(self) -> Self:
        """Begin with none."""
        return self

    def __exit__(self, *_: object) -> None:
        """End those that were not used."""
        for worker in self._ready.values():
            worker.close()

    def prepare(self, stage: Stage) -> None:
        """Start the stage's child, unless it was started before."""
        if stage not in self._ready:
            self._ready[stage] = self._started(stage)

    def run(self, stage: Stage, order: Order, *, timeout: float) -> Asserted:
        """Let the stage's child run the order's files, and return what came of them."""
        self.prepare(stage)
        return run(self._ready.pop(stage), order, timeout=timeout)

    def read(self, reading: Reading, *, timeout: float) -> Asserted:
        """Let a child read test files, and return what is wrong with them: an error, if anything.

        Args:
            reading: which files.
            timeout: seconds to wait.
        """
        read = run(self._started("reading"), reading, timeout=timeout)
        said = _last_error(self._logs / "assertions.reading.log") if read.unfinished else ""
        return replace(read, unfinished=f"{read.unfinished}: {said}") if said else read

    def _started(self, name: str) -> Worker:
        return Worker(
            [sys.executable, "-m", "harness.assertions.child", str(os.getpid())],
            log=self._logs / f"assertions.{name}.log",
            env=self._environ,
        )


def run(worker: Worker, order: Order | Reading, *, timeout: float) -> Asserted:
    """Let the child run the order's files, or read them, and return what came of them."""
    began = time.monotonic()
    problem = ""
    try:
        code = worker.finish(order.dump(), timeout=timeout)
    except ProcessError as error:
        code, problem = -1, str(error)
    path = Path(order.results)
    results, whole = read_results(path)
    if not whole:
        problem = _stopped_at(unfinished(path), problem, code, timeout)
    return Asserted(seconds=time.monotonic() - began, results=results, unfinished=problem)


def _last_error(log: Path) -> str:
    """Return the last line that pytest marked as an error, such as why a conftest.py is broken."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line[1:].strip() for line in reversed(lines) if line.startswith("E  ")), "")


def _stopped_at(name: str, problem: str, code: int, timeout: float) -> str:
    """Return why a child was not done, with the test or the file at which it was."""
    if problem:
        return f"{name} did not end within {timeout:g} s and was stopped" if name else problem
    at = f", at {name}" if name else ""
    return f"the process that runs the assertions ended with code {code} before it was done{at}"
