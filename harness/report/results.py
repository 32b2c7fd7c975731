"""The record of a finished run, and `results.json`: the one thing that every renderer reads.

The schema is versioned. A field is never given another meaning under the same version; new fields
may appear. docs/results.md describes each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from harness.core import plain_files
from harness.core.measured import (
    Jump,
    Measure,
    Resources,
    Retry,
    Screenshot,
    StageResources,
    VolumeContent,
)
from harness.core.model import (
    Adaptation,
    AssertionResult,
    DeployedImage,
    Leak,
    LintReport,
    NotShown,
    Origin,
    Outcome,
    RuleResult,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.report.typed import misfits
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
        run = _parsed(json.loads(plain_files.read(path, most=MOST_BYTES)))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not of the schema {SCHEMA}: {error!r}") from error
    if wrong := next(misfits(run, RunResult), ""):
        raise ValueError(f"{path}: {wrong[1:]} is of another type")
    return run


def _parsed(found: dict[str, Any]) -> RunResult:
    if found.pop("schema") != SCHEMA:
        raise ValueError(f"it is not of the schema {SCHEMA}")
    verdict, down = found.pop("verdict"), found.pop("teardown")
    lint = found.pop("lint", None)  # a run of an older harness has none
    return RunResult(
        **{
            **found,
            "plan": tuple(found["plan"]),
            "diagnosis": tuple(found["diagnosis"]),
            "head": Revision(**found["head"]) if found["head"] else None,
            "base": Revision(**found["base"]) if found["base"] else None,
            "adaptations": tuple(Adaptation(**one) for one in found["adaptations"]),
            "stages": tuple(_stage(one) for one in found["stages"]),
            "resources": _resources(found.get("resources")),
            "snapshot": tuple(VolumeContent(**one) for one in found.get("snapshot", ())),
            "screenshots": tuple(Screenshot(**one) for one in found.get("screenshots", ())),
            "retries": tuple(Retry(**one) for one in found.get("retries", ())),
            "leaks": tuple(Leak(**one) for one in found.get("leaks", ())),  # older runs have none
            "warnings": tuple(_warning(one) for one in found.get("warnings", ())),  # the same
            "images": tuple(DeployedImage(**one) for one in found.get("images", ())),
            "asked": tuple(found.get("asked") or _asked(found)),
        },
        verdict=_verdict(verdict, _asked(found)),
        lint=lint and _lint(lint),
        teardown=down
        and TeardownResult(
            **{**down, "outcome": Outcome(down["outcome"]), "left": tuple(down["left"])}
        ),
    )


def _verdict(found: dict[str, Any], asked: Sequence[str]) -> Verdict:
    """Return the verdict; an older harness did not write down which stages it does not show."""
    older = [{"stage": s, "why": "not asked for"} for s in Stage if s not in asked]
    not_shown = (
        NotShown(stage=Stage(one["stage"]), why=one["why"]) for one in found.get("not_shown", older)
    )
    outcome = Outcome(found["outcome"])
    if found["stage"] not in ("", TEARDOWN, *Stage):
        raise ValueError(f"{found['stage']!r} is not a stage")
    return Verdict(**{**found, "outcome": outcome, "not_shown": tuple(not_shown)})


def _asked(found: dict[str, Any]) -> list[str]:
    """Return the stages of a run of an older harness, which did not write down what was asked."""
    return [one["stage"] for one in found["stages"]] or [str(stage) for stage in Stage]


def _resources(found: dict[str, Any] | None) -> Resources | None:
    if found is None:
        return None
    jumps = (Jump(**{**one, "measure": Measure(one["measure"])}) for one in found["jumps"])
    return Resources(
        **{
            **found,
            "stages": tuple(StageResources(**one) for one in found["stages"]),
            "jumps": tuple(jumps),
            "notes": tuple(found["notes"]),
        }
    )


def _warning(found: dict[str, Any]) -> RunWarning:
    stage = found["stage"] and Stage(found["stage"])
    return RunWarning(**{**found, "code": WarningCode(found["code"]), "stage": stage})


def _lint(found: dict[str, Any]) -> LintReport:
    rules = (RuleResult(**{**one, "outcome": Outcome(one["outcome"])}) for one in found["rules"])
    return LintReport(**{**found, "rules": tuple(rules), "notes": tuple(found["notes"])})


def _stage(found: dict[str, Any]) -> StageResult:
    assertions = (
        AssertionResult(
            **{**one, "origin": Origin(one["origin"]), "outcome": Outcome(one["outcome"])}
        )
        for one in found["assertions"]
    )
    return StageResult(
        **{
            **found,
            "stage": Stage(found["stage"]),
            "outcome": Outcome(found["outcome"]),
            "assertions": tuple(assertions),
        }
    )


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
