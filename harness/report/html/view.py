"""What the template shows, worked out beforehand: pure, from a run's result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.core.measured import Jump
from harness.core.model import Outcome, Stage, StageResult
from harness.report.answer import answer
from harness.report.results import RunResult


def sentence(run: RunResult) -> str:
    """Return whether the recipe may be merged, in a sentence."""
    said = answer(run)
    return f"{said[0].upper()}{said[1:]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a bar: what it was, how long, and where it lies, in percent of the run."""

    kind: str  # "preparation", "op", "wait", "assertions" or "teardown"
    seconds: float
    start: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row of the time line."""

    name: str
    outcome: str
    segments: tuple[Segment, ...] = ()

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return sum(segment.seconds for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A line of a diff: `sign` is "+", "-" or " "."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChanges:
    """What an upgrade changed of a service. `same` is the number of labels that it kept."""

    service: str
    images: tuple[Change, ...]
    labels: tuple[Change, ...]
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that has grown too much, and in which other stages it had, too."""

    said: str
    fails: bool
    also: tuple[str, ...]


def first_line(text: str) -> str:
    """Return a text's first line."""
    return text.partition("\n")[0]


def told(said: object) -> str:
    """Return what a hook or an install step said: its fields as JSON, with real line ends."""
    return said if isinstance(said, str) else json.dumps(said, indent=2).replace("\\n", "\n")


def rest(text: str) -> str:
    """Return what follows a text's first line."""
    return text.partition("\n")[2]


def test_name(nodeid: str) -> str:
    """Return a test's name; the file's, of one that could not be read."""
    file, _, name = nodeid.partition("::")
    return name or file


def test_file(nodeid: str) -> str:
    """Return the file that a test is in."""
    return nodeid.partition("::")[0]


def timeline(result: RunResult) -> tuple[Bar, ...]:
    """Return the bars of the time line: what came before the stages, the stages, the teardown."""
    whole = max(result.seconds, 0.001)
    began = datetime.fromisoformat(result.started)
    bars = []
    starts = [_after(began, stage) for stage in result.stages if stage.started]
    down = result.teardown.seconds if result.teardown else 0.0
    before = max(0.0, starts[0] if starts else result.seconds - down)
    bars.append(
        Bar(name="preparation", outcome="", segments=_row(whole, 0.0, {"preparation": before}))
    )
    for stage in result.stages:
        parts = _parts(stage)
        start = _after(began, stage) if stage.started else 0.0
        segments = _row(whole, start, parts) if stage.started else ()
        bars.append(Bar(name=str(stage.stage), outcome=str(stage.outcome), segments=segments))
    if result.teardown is not None:
        start = max(0.0, result.seconds - down)
        bars.append(
            Bar(
                name="teardown", outcome=str(result.teardown.outcome),
                segments=_row(whole, start, {"teardown": down}),
            )
        )  # fmt: skip
    return tuple(bars)


def _after(began: datetime, stage: StageResult) -> float:
    return (datetime.fromisoformat(stage.started) - began).total_seconds()


def _parts(stage: StageResult) -> Mapping[str, float]:
    wait = min(stage.wait_seconds, stage.op_seconds)
    return {"op": stage.op_seconds - wait, "wait": wait, "assertions": stage.assert_seconds}


def _row(whole: float, start: float, parts: Mapping[str, float]) -> tuple[Segment, ...]:
    found, at = [], start
    for kind, taken in parts.items():
        if taken > 0:
            x = min(100.0, max(0.0, 100 * at / whole))
            width = min(100.0 - x, max(0.3, 100 * taken / whole))
            found.append(
                Segment(kind=kind, seconds=taken, start=round(x, 2), width=round(width, 2))
            )
        at += taken
    return tuple(found)


def changes(result: RunResult) -> tuple[ServiceChanges, ...]:
    """Return what the upgrade changed of each service's image and labels."""
    facts: Mapping[str, Any] = next(
        (stage.facts for stage in result.stages if stage.stage is Stage.UPGRADE), {}
    )
    old: Mapping[str, Any] = facts.get("labels_before") or {}
    new: Mapping[str, Any] = facts.get("labels_after") or {}
    images: Mapping[str, Any] = facts.get("images_before") or {}
    later: Mapping[str, Any] = facts.get("images") or {}
    names = sorted({*old, *new, *images, *later})
    return tuple(
        ServiceChanges(
            service=name,
            images=tuple(_image(images.get(name), later.get(name))),
            labels=tuple(_diff(old.get(name) or {}, new.get(name) or {})),
            same=len((old.get(name) or {}).items() & (new.get(name) or {}).items()),
        )
        for name in names
    )


def upgraded(result: RunResult) -> bool:
    """Whether the upgrade passed."""
    return any(
        stage.stage is Stage.UPGRADE and stage.outcome is Outcome.PASSED for stage in result.stages
    )


def _image(before: str | None, after: str | None) -> Iterator[Change]:
    if before == after:
        yield Change(sign=" ", text=str(after))
        return
    if before is not None:
        yield Change(sign="-", text=before)
    if after is not None:
        yield Change(sign="+", text=after)


def _diff(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if name in before and before[name] != after.get(name):
            yield Change(sign="-", text=f"{name}={before[name]}")
        if name in after and after[name] != before.get(name):
            yield Change(sign="+", text=f"{name}={after[name]}")


def taken(result: RunResult) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """Return each service's memory and image and each volume, with its bytes in each stage.

    None stands where it was not there, or not measured.
    """
    stages = result.resources.stages if result.resources else ()
    found = []
    for what, measured in (
        ("memory of", [stage.memory for stage in stages]),
        ("image of", [stage.images for stage in stages]),
        ("volume", [stage.volumes for stage in stages]),
    ):
        names = sorted({name for sizes in measured for name in sizes})
        found += [(f"{what} {name}", tuple(one.get(name) for one in measured)) for name in names]
    return tuple(found)


def grown(result: RunResult) -> tuple[Warned, ...]:
    """Return what has jumped, once for all stages in which it had: the first one, or what fails."""
    groups: dict[tuple[str, str], list[Jump]] = {}
    for jump in result.resources.jumps if result.resources else ():
        groups.setdefault((jump.measure, jump.subject), []).append(jump)
    found = []
    for jumps in groups.values():
        shown = next((jump for jump in jumps if jump.fails), jumps[0])
        also = [jump.stage for jump in jumps if jump is not shown]
        found.append(Warned(said=str(shown), fails=shown.fails, also=tuple(also)))
    return tuple(found)


def decisive(result: RunResult) -> str:
    """Return the nodeid of the assertion that decided the run, or empty where none did."""
    return next(
        (
            one.nodeid
            for stage in result.stages
            if stage.stage == result.verdict.stage
            for one in stage.assertions
            if one.outcome in (Outcome.FAILED, Outcome.ERROR)
        ),
        "",
    )
