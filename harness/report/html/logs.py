"""The services' logs in a report: as much of them as helps, with the moment of failure marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.core.model import Outcome
from harness.report.results import RunResult

BEFORE, AFTER = 300, 100  # lines around the moment that are in the report
CLOSE_BEFORE, CLOSE_AFTER = 20, 8  # and that are seen at once
LONGEST = 2000  # characters of a line
NEAR = timedelta(seconds=2)  # before the moment: what is most likely to tell why
STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z ")
OF_ASSERTIONS = "assertions."  # how the names of the other files begin that lie there
TASK = "--- task "


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a run went wrong, and what did."""

    at: datetime
    what: str

    @property
    def clock(self) -> str:
        """The time of day, UTC."""
        return _clock(self.at)


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a log. `kind` is "said", "near", "task", "moment" or "gap"."""

    text: str
    kind: str = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """What is shown of a service's log."""

    service: str
    lines: tuple[Line, ...]
    around: tuple[Line, ...]  # the moment, with what was said right before and after; may be empty
    total: int  # lines in the file


def read(directory: Path) -> Mapping[str, str]:
    """Return the services' logs, by service."""
    return {
        path.stem: path.read_text(errors="replace")
        for path in sorted(directory.glob("*.log"))
        if not path.name.startswith(OF_ASSERTIONS)
    }


def moment(result: RunResult) -> Moment | None:
    """Return when the run went wrong; None when it did not, or at no moment.

    It is when the first assertion that decided ended; else when the op gave up; else when the run
    was ended from outside its stages.
    """
    verdict = result.verdict
    if verdict.outcome in (Outcome.PASSED, Outcome.SKIPPED):
        return None
    for stage in result.stages:
        if stage.stage != verdict.stage or not stage.started:
            continue
        for one in stage.assertions:
            if one.outcome in (Outcome.FAILED, Outcome.ERROR) and one.at:
                return Moment(
                    at=datetime.fromisoformat(one.at), what=f"{one.nodeid}: {one.outcome}"
                )
        taken = timedelta(seconds=stage.op_seconds + stage.assert_seconds)
        began = datetime.fromisoformat(stage.started)
        return Moment(at=began + taken, what=f"{stage.stage}: {stage.outcome}")
    if verdict.outcome is Outcome.FAILED:
        return None  # by what it took, all in all
    down = result.teardown.seconds if result.teardown else 0.0
    ended = datetime.fromisoformat(result.started) + timedelta(seconds=result.seconds - down)
    return Moment(at=ended, what=f"{verdict.stage or 'the run'}: {verdict.outcome}")


def excerpt(service: str, text: str, when: Moment | None) -> Excerpt:
    """Return what is shown of a log: its end, or what lies around the moment, which is marked."""
    found = text.rstrip("\n").split("\n") if text else []
    shown = [_line(line, when) for line in found]
    mark = len(found)
    if when is not None:
        later = (n for n, line in enumerate(found) if (at := stamp(line)) and at > when.at)
        mark = next(later, len(found))
        shown.insert(mark, Line(text=f"{when.clock} {when.what}", kind="moment"))
    first, last = max(0, mark - BEFORE), min(len(shown), mark + AFTER + 1)
    kept = shown[first:last]
    if first:
        kept.insert(0, Line(text=f"{first} lines before that are left out here", kind="gap"))
    if last < len(shown):
        left = len(shown) - last
        kept.append(Line(text=f"{left} lines after that are left out here", kind="gap"))
    around = shown[max(0, mark - CLOSE_BEFORE) : mark + CLOSE_AFTER + 1] if when else ()
    return Excerpt(service=service, lines=tuple(kept), around=tuple(around), total=len(found))


def _line(line: str, when: Moment | None) -> Line:
    """Return a line with its time of day: a phone has no room for dates and nanoseconds."""
    at = stamp(line)
    said = line if at is None else f"{_clock(at)} {STAMP.sub('', line)}"
    text = said if len(said) <= LONGEST else f"{said[:LONGEST]} ..."
    if line.startswith(TASK):
        return Line(text=text, kind="task")
    if when is not None and at is not None and when.at - NEAR <= at <= when.at:
        return Line(text=text, kind="near")
    return Line(text=text)


def stamp(line: str) -> datetime | None:
    """Return the time that the engine wrote before a line, or None."""
    found = STAMP.match(line)
    if found is None:
        return None
    fraction = float(found[2] or 0)
    try:
        whole = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return whole + timedelta(seconds=fraction)
