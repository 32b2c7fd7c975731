"""The plan: what will run, why the rest will not, and which release is upgraded. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.core.errors import SourceError
from harness.core.model import LEFT_OUT, Origin, RunWarning, Stage
from harness.recipes.releases import Candidates, Release
from harness.recipes.versions import Version

NEEDS = {
    Stage.UPGRADE: Stage.INSTALL,
    Stage.BACKUP: Stage.INSTALL,
    Stage.RESTORE: Stage.BACKUP,
    Stage.CUSTOM: Stage.INSTALL,
}

Files = tuple[tuple[Path, Origin], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit under test. `version` is what its compose file declares, or None."""

    commit: str
    ref: str
    version: Version | None
    has_backup: bool
    release: str = ""  # the version that its tag says, when it is a release itself


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage of the plan; `reason` says why it does not run, or why it does unasked."""

    stage: Stage
    runs: bool
    asked: bool
    reason: str = ""
    files: Files = ()
    denied: tuple[str, ...] = ()  # test files that the recipe ships, and that nobody approved


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run will do."""

    recipe: str
    head: Head
    base: Release | None
    stages: tuple[PlannedStage, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # what a reader of the verdict has to know was not looked at
    repo_local: str = ""  # why code that the recipe ships is not run; empty when it is, or is none
    warnings: tuple[RunWarning, ...] = ()  # what was seen of the recipe's files and tags

    def runs(self, stage: Stage) -> bool:
        """Whether that stage's op will be performed."""
        return any(planned.stage is stage and planned.runs for planned in self.stages)

    def lines(self) -> tuple[str, ...]:
        """Return the plan as the terminal shows it."""
        version = f" {self.head.version}" if self.head.version else ""
        lines = [f"head     {self.head.commit[:8]}{version} ({self.head.ref})"]
        if self.base is not None:
            lines.append(f"base     {self.base.commit[:8]} {self.base.tag}")
        for planned in self.stages:
            what = _what(planned, self.base) if planned.runs else f"skipped: {planned.reason}"
            lines.append(f"{planned.stage:<8} {what}")
        left_out = (f"{LEFT_OUT} {what}" for what in self.left_out)
        return (*lines, *left_out, *(f"note     {note}" for note in self.notes))


def _what(planned: PlannedStage, base: Release | None) -> str:
    acts = {
        Stage.INSTALL: f"deploy {base.tag if base else 'the head'}",
        Stage.UPGRADE: "redeploy the head in place",
        Stage.BACKUP: "back up as the labels say",
        Stage.RESTORE: "restore that snapshot over data that was changed since",
        Stage.CUSTOM: "no op",
    }
    counts = {
        origin: sum(kind is origin for _, kind in planned.files)
        for origin in Origin
        if any(kind is origin for _, kind in planned.files)
    }
    tests = ", ".join(f"{count} {origin}" for origin, count in counts.items()) or "no"
    unasked = f" ({planned.reason})" if planned.reason else ""
    denied = f", {len(planned.denied)} repo-local not approved" if planned.denied else ""
    return f"{acts[planned.stage]}; {tests} test file(s){denied}{unasked}"


def closure(asked: Sequence[Stage]) -> frozenset[Stage]:
    """Return the stages asked for and those that they need before them."""
    wanted = set(asked)
    for stage in reversed(Stage):  # a stage only ever needs earlier ones
        if stage in wanted and stage in NEEDS:
            wanted.add(NEEDS[stage])
    return frozenset(wanted)


def make(
    *,
    recipe: str,
    head: Head,
    candidates: Candidates,
    version: str,
    asked: Sequence[Stage],
    files: Mapping[Stage, Files],
    denied: Mapping[Stage, tuple[str, ...]] = MappingProxyType({}),
    notes: Sequence[str] = (),
    left_out: Sequence[str] = (),
    repo_local: str = "",
    warnings: Sequence[RunWarning] = (),
) -> Plan:
    """Decide what runs.

    Args:
        recipe: the recipe's name.
        head: the commit under test.
        candidates: what head can be upgraded from.
        version: the tag to upgrade from, or empty for the newest release of `candidates`.
        asked: the stages asked for.
        files: the test files of each stage.
        denied: the test files of each stage that the recipe ships, and that nobody approved.
        notes: what a reader of the plan should know besides.
        left_out: what a reader of the verdict has to know was not looked at.
        repo_local: why code that the recipe ships is not run, or empty.
        warnings: what was seen of the recipe's files and tags, to be shown beside the verdict.

    Raises:
        SourceError: the release asked for is not one that head can be upgraded from.
    """
    wanted = closure(asked)
    base, why_not = choose_base(head, candidates, version)
    stages = []
    for stage in Stage:
        refused = denied.get(stage, ())
        reason = _why_skipped(stage, head, why_not, files.get(stage, ()), refused)
        if stage not in wanted:
            reason = "not asked for"
        runs = not reason
        if runs and stage not in asked:
            reason = "needed by another stage"
        stages.append(
            PlannedStage(
                stage=stage,
                runs=runs,
                asked=stage in asked,
                reason=reason,
                files=files.get(stage, ()) if runs else (),
                denied=refused if stage in wanted else (),
            )
        )
    upgrades = any(planned.stage is Stage.UPGRADE and planned.runs for planned in stages)
    return Plan(
        recipe=recipe,
        head=head,
        base=base if upgrades else None,
        stages=tuple(stages),
        notes=tuple(notes),
        left_out=tuple(left_out),
        repo_local=repo_local,
        warnings=tuple(warnings),
    )


def choose_base(head: Head, candidates: Candidates, version: str) -> tuple[Release | None, str]:
    """Return the release to upgrade from, or None with the reason why there is none.

    A tag that is not a release is a base only where it is asked for.

    Raises:
        SourceError: the tag asked for is not one that head can be upgraded from.
    """
    if version:
        for release in (*candidates.older, *candidates.others):
            if version in (release.tag, str(release.version)):
                return release, ""
        known = ", ".join(one.tag for one in (*candidates.older, *candidates.others)) or "none"
        raise SourceError(
            f"the head {head.commit[:8]} cannot be upgraded from '{version}'",
            cause=candidates.refused.get(version, "there is no such tag"),
            hint=f"tags that it can be upgraded from: {known}",
        )
    found = newest(candidates.older)
    if found or not candidates.others:
        return found, "" if found else "the head has no older release to be upgraded from"
    tags = ", ".join(one.tag for one in candidates.others)
    return None, (
        f"the head has no older release to be upgraded from, and {tags} is not a release "
        f"(X.Y.Z+upstream); --version {candidates.others[-1].tag} upgrades from it"
    )


def newest(releases: Sequence[Release]) -> Release | None:
    """Return the release of the highest version, or None."""
    return max(releases, key=lambda release: release.version, default=None)


def _why_skipped(
    stage: Stage, head: Head, no_base: str, files: Files, denied: Sequence[str]
) -> str:
    if stage is Stage.UPGRADE:
        return no_base
    if stage is Stage.BACKUP and not head.has_backup:
        return "no service has the label backupbot.backup=true, or recipe_meta.py says no"
    if stage is Stage.RESTORE and not head.has_backup:
        return "nothing is backed up"
    if stage is Stage.CUSTOM and not files and denied:
        return "the tests that the recipe ships are not approved"
    if stage is Stage.CUSTOM and not files:
        return "the recipe has no tests of its own here"
    return ""
