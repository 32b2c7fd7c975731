"""Writing down what came of a run, for machines and for people, with no secret of the run in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.report import html, junit, summary
from harness.report.leaks import Guard, with_leaks
from harness.report.results import RunResult


def publish(
    result: RunResult, directory: Path, guard: Guard, known: Mapping[str, str]
) -> tuple[RunResult, str]:
    """Write down what came of a run; return it as it was judged, and why a part is not there.

    What is written is scanned again, since a renderer may encode what it was given: then it is
    written once more.
    """
    guard.files(directory)
    written = with_leaks(result, guard.leaks, known)
    problem = _write(written, directory)
    before = guard.leaks
    guard.files(directory)
    if guard.leaks != before:
        written = with_leaks(result, guard.leaks, known)
        problem = _write(written, directory)
        guard.files(directory)
    return written, problem


def _write(result: RunResult, directory: Path) -> str:
    result.write(directory)
    junit.write(result, directory)
    summary.write(result, directory)
    return html.try_to_write(result, directory)
