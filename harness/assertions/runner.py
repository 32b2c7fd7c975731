"""One pytest process per stage, forked from one that has imported everything."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.assertions.protocol import Order, Reading, dump, read_results, unfinished
from harness.core.errors import ProcessError
from harness.core.event_log import COPY
from harness.core.model import AssertionResult
from harness.core.proc import Worker

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
    """The processes of a run that assert, one for each stage; a context manager.

    Starting Python and pytest costs more than most assertions do. So one process imports them while
    the first op is under way, and each stage is a fork of it.

    Args:
        logs: a directory for what they print.
        environ: their whole environment.
    """

    def __init__(self, logs: Path, environ: Mapping[str, str]) -> None:
        self._logs = logs
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, environ.get("PYTHONPATH")]))
        # What steers the user's own pytest and Python must not steer a verdict: see STEERING. Nor
        # must tests write what a run tells its fleet.
        kept = {
            key: value
            for key, value in environ.items()
            if not key.startswith("PYTEST_") and key not in (*STEERING, COPY)
        }
        self._environ = {
            **kept,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",  # nothing in the working directory is imported by its name
            "PYTHONPATH": path,
        }

    def __enter__(self) -> Self:
        """Start the process that imports everything."""
        self._worker = self._started()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, with what tests have left running."""
        self._worker.close()

    def run(self, order: Order | Reading, *, timeout: float) -> Asserted:
        """Let a process run the order's files, or read them, and return what came of them.

        Args:
            order: which files, and about what.
            timeout: seconds to wait.
        """
        if self._worker.poll() is not None:
            self._worker = self._started()
        began = time.monotonic()
        problem, code = "", None
        try:
            answer = self._worker.ask(dump(order), timeout=timeout)
            code = int(answer) if answer else self._worker.poll()
        except ProcessError:
            problem = f"the assertions were still running after {timeout:g} s and were stopped"
        path = Path(order.results)
        results, whole = read_results(path)
        if not whole:
            problem = stopped_at(unfinished(path), problem, code, timeout)
        return Asserted(seconds=time.monotonic() - began, results=results, unfinished=problem)

    def read(self, reading: Reading, *, timeout: float) -> Asserted:
        """Let a process read test files, and return what is wrong with them: an error, if anything.

        Args:
            reading: which files.
            timeout: seconds to wait.
        """
        read = self.run(reading, timeout=timeout)
        said = _last_error(Path(reading.log)) if read.unfinished else ""
        return replace(read, unfinished=f"{read.unfinished}: {said}") if said else read

    def _started(self) -> Worker:
        argv = [sys.executable, "-m", "harness.assertions.child", str(os.getpid())]
        return Worker(argv, log=self._logs / "assertions.log", env=self._environ, answers=True)


def _last_error(log: Path) -> str:
    """Return the last line that pytest marked as an error, such as why a conftest.py is broken."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line[1:].strip() for line in reversed(lines) if line.startswith("E  ")), "")


def stopped_at(name: str, problem: str, code: int | None, timeout: float) -> str:
    """Return why a process was not done, with the test or the file at which it was."""
    if problem:
        return f"{name} did not end within {timeout:g} s and was stopped" if name else problem
    at = f", at {name}" if name else ""
    return f"the process that runs the assertions ended with code {code} before it was done{at}"
