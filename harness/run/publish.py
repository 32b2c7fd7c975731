"""Writing down what came of a run, for machines and for people, with no secret of the run in it.

results.json is put in place last: while it is missing, the run has no word. If anything cannot be
written, the verdict is decided again with that fact, and the files that say otherwise are removed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.core.errors import HarnessError, InternalError, TestBedError
from harness.report import html, junit, summary
from harness.report.leaks import Guard, told
from harness.report.results import RESULTS_FILE, RunResult
from harness.swarm.faults import as_harness_error
from harness.verdict.decide import decide
from harness.verdict.facts import EndedBy, RunFacts

FILES = (junit.JUNIT_FILE, summary.SUMMARY_FILE, html.HTML_FILE, RESULTS_FILE)  # in this order
PARTIAL = ".partial"
RENDERINGS = 3  # a renderer may encode what it was given, and so publish a secret anew


def publish(
    result: RunResult, facts: RunFacts, directory: Path, guard: Guard, known: Mapping[str, str]
) -> tuple[RunResult, str]:
    """Write down what came of a run; return it as it was judged, and which part is missing and why.

    Args:
        result: the run, with the verdict of the facts so far.
        facts: what the verdict depends on; leaks and what cannot be written are added.
        directory: the run's directory.
        guard: masks the run's secrets.
        known: the secrets that the recipe shows on purpose, with the reasons.
    """
    guard.look_at(result)
    try:
        guard.files(directory)
        result, facts, texts, problem = _rendered(result, facts, directory, guard, known)
        _put(texts, directory)
    except OSError as error:
        return _unwritten(error, result, facts, directory, guard=guard, known=known)
    return result, problem


def _judged(
    result: RunResult, facts: RunFacts, guard: Guard, known: Mapping[str, str]
) -> tuple[RunResult, RunFacts]:
    """Return the run with the verdict of the facts and of the leaks so far, without secrets."""
    facts = replace(facts, leaks=told(guard.leaks, known))
    judged = replace(result, verdict=decide(facts), leaks=facts.leaks)
    return judged.scrubbed(guard.without), facts


def _rendered(
    result: RunResult, facts: RunFacts, directory: Path, guard: Guard, known: Mapping[str, str]
) -> tuple[RunResult, RunFacts, dict[str, str], str]:
    """Return the run as judged, its facts, the files' texts, and why a text is missing."""
    for _ in range(RENDERINGS):
        before = guard.leaks
        written, facts = _judged(result, facts, guard, known)
        page, problem = html.try_to_render(written, directory)
        texts = {
            junit.JUNIT_FILE: junit.render(written),
            summary.SUMMARY_FILE: summary.render(written),
            html.HTML_FILE: page,
            RESULTS_FILE: written.to_json(),
        }
        texts = {name: guard.mask(text, name) for name, text in texts.items() if text}
        if guard.leaks == before:
            break
    return written, facts, texts, problem


def _put(texts: Mapping[str, str], directory: Path) -> None:
    """Write the files, all of them or none.

    Raises:
        OSError: one cannot be written; none of them is there.
    """
    try:
        for name, text in texts.items():
            with (directory / f"{name}{PARTIAL}").open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # some file systems say only now that there is no room
        for name in sorted(texts, key=FILES.index):
            (directory / f"{name}{PARTIAL}").replace(directory / name)
    except OSError:
        _remove(directory)
        raise


def _remove(directory: Path) -> None:
    for name in reversed(FILES):
        for path in (directory / name, directory / f"{name}{PARTIAL}"):
            with suppress(OSError):
                path.unlink()


def _unwritten(
    error: OSError,
    result: RunResult,
    facts: RunFacts,
    directory: Path,
    *,
    guard: Guard,
    known: Mapping[str, str],
) -> tuple[RunResult, str]:
    """Return the run as judged with that error; leave a short results.json of it, or none."""
    ended = EndedBy.of(_as_harness_error(error))
    ended = replace(ended, text=f"{directory}: {ended.text}")
    judged, _ = _judged(result, replace(facts, unwritten=ended), guard, known)
    short = replace(judged, stages=(), diagnosis=(), snapshot=(), retries=(), lint=None)
    for one in (judged, short):
        with suppress(OSError):
            _put({RESULTS_FILE: guard.mask(one.to_json(), RESULTS_FILE)}, directory)
            return judged, f"only {directory / RESULTS_FILE} could be written"
    return judged, f"nothing could be written to {directory}"


def _as_harness_error(error: OSError) -> HarnessError:
    found = as_harness_error(error)
    if not isinstance(found, InternalError):
        return found
    return TestBedError(
        error.strerror or str(error),
        cause="the run's directory was removed or changed while the run went on",
        hint="run it again, with another --output if that directory is shared",
    )
