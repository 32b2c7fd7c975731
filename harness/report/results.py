"""The record of a finished run, and `results.json`: the one thing that every renderer reads.

The schema is versioned. A field is never given another meaning under the same version; new fields
may appear. docs/results.md describes each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import ValidationError

from harness.core import plain_files
from harness.core.measured import Resources, Retry, Screenshot, VolumeContent
from harness.core.model import (
    LEFT_OUT,
    Adaptation,
    DeployedImage,
    Leak,
    LintReport,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
)
from harness.verdict.decide import TEARDOWN, Verdict

SCHEMA = "cc-ci/results/1"
RESULTS_FILE = "results.json"
MOST_BYTES = 8 << 20  # of a results.json: its text takes twenty times that in memory
LOGS = "logs"  # the folder that every run makes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of the recipe that was deployed. `version` is empty when it declares none."""

    commit: str
    ref: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run, from beginning to end. `started` is ISO 8601 UTC, times are in seconds."""

    run: str
    recipe: str
    source: str
    platform: str
    started: str
    seconds: float
    verdict: Verdict
    repeat: str  # the command that runs it again
    head: Revision | None = None
    base: Revision | None = None
    stack: str = ""
    domain: str = ""
    engine: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)  # what was set, and from where
    plan: tuple[str, ...] = ()
    adaptations: tuple[Adaptation, ...] = ()
    lint: LintReport | None = None
    stages: tuple[StageResult, ...] = ()
    teardown: TeardownResult | None = None
    diagnosis: tuple[str, ...] = ()
    resources: Resources | None = None
    snapshot: tuple[VolumeContent, ...] = ()
    screenshots: tuple[Screenshot, ...] = ()
    retries: tuple[Retry, ...] = ()
    leaks: tuple[Leak, ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    asked: tuple[str, ...] = tuple(str(stage) for stage in Stage)  # the stages asked for, by name
    images: tuple[DeployedImage, ...] = ()
    harness: str = ""
    backup_driver: str = ""  # what backed up, or was to
    left_out: tuple[str, ...] = ()  # what the verdict does not rest on
    repeat_exactly: str = ""  # the same at the commit that was tested; empty where it is the same

    @property
    def partial(self) -> bool:
        """Whether some stage of the full plan proves nothing, so that nothing is known of it."""
        return bool(self.verdict.not_shown)

    @property
    def open_warnings(self) -> tuple[RunWarning, ...]:
        """The warnings that the recipe's meta does not accept."""
        return tuple(one for one in self.warnings if not one.accepted)

    def scrubbed(self, scrub: Callable[[str], str]) -> RunResult:
        """Return the run with every text in it scrubbed; hooks and assertions print anything."""
        return cast("RunResult", _scrubbed(self, scrub))

    def to_json(self) -> str:
        """Return the run as the text of results.json."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, default=str) + "\n"

    def write(self, directory: Path) -> Path:
        """Write results.json as a whole or not at all, and return its path."""
        path = directory / RESULTS_FILE
        partial = path.with_suffix(".partial")
        partial.write_text(self.to_json())
        partial.replace(path)
        return path


def unfinished(directory: Path) -> bool:
    """Return whether a directory is that of a run that has no results.json, or is missing."""
    if (directory / RESULTS_FILE).exists():
        return False
    return not directory.exists() or (directory / LOGS).is_dir()


def read(directory: Path) -> RunResult | None:
    """Return the run that wrote into that directory, or None when it has not got so far.

    Raises:
        OSError: the file is a link, or cannot be read.
        ValueError: it is of another schema, too large, or a field is of another type.
    """
    path = directory / RESULTS_FILE
    try:
        found = json.loads(plain_files.read(path, most=MOST_BYTES))
        if found["schema"] != SCHEMA:
            raise ValueError(f"it is not of the schema {SCHEMA}")
        run = msgspec.convert(_completed(found), RunResult)
        if "left_out" not in found:  # an older harness says it in the plan alone
            word = f"{LEFT_OUT} "
            said = (line.removeprefix(word) for line in run.plan if line.startswith(word))
            run = replace(run, left_out=tuple(said))
    except FileNotFoundError:
        return None
    except (ValidationError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not of the schema {SCHEMA}: {error!r}") from error
    if run.verdict.stage not in ("", TEARDOWN, *Stage):
        raise ValueError(f"{path}: {run.verdict.stage!r} is not a stage")
    return run


def below(roots: Iterable[Path]) -> tuple[list[RunResult], list[str]]:
    """Return the runs that wrote below these directories, and what cannot be read and why."""
    found: list[RunResult] = []
    unread = []
    for path in sorted({path.resolve() for root in roots for path in root.rglob(RESULTS_FILE)}):
        try:
            found += filter(None, [read(path.parent)])
        except (OSError, ValueError) as error:
            unread.append(f"{path}: {error!r}")
    return found, unread


def _completed(found: dict[str, Any]) -> dict[str, Any]:
    """Return a run with what an older harness did not write: what was asked for, and not shown."""
    stages = [one["stage"] for one in found["stages"]] or list(Stage)
    older = [{"stage": s, "why": "not asked for"} for s in Stage if s not in stages]
    asked, verdict = found.get("asked") or stages, {"not_shown": older, **found["verdict"]}
    return {**found, "asked": asked, "verdict": verdict}


def _scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:  # noqa: ANN401  any part of a result
    if isinstance(value, StrEnum):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): _scrubbed(item, scrub) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_scrubbed(item, scrub) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {one.name: _scrubbed(getattr(value, one.name), scrub) for one in fields(value)}
        return replace(value, **changed)
    return value
