"""The command that repeats what went wrong in a run, to be typed as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from harness.core.model import Outcome, Stage, StageResult
from harness.core.options import OPTIONS
from harness.core.project import IS_CHECKOUT, PROGRAM
from harness.core.settings import Settings, skip_variables
from harness.recipes.catalogue import Entry

LAUNCHER = "CC_CI_NOX"  # how nox was called, set by bin/nox
# What decides nothing about a verdict, or is only right for the run that had it.
NOT_REPEATED = frozenset(
    {"keep", "jobs", "output", "cache", "lock_timeout", "domain", "screenshots"}
)


def needed_for(stage: str, results: Sequence[StageResult], *, upgrades: bool) -> tuple[str, ...]:
    """Return the stages that lead to one as this run had it; empty where there is none to repeat.

    The stages before it decide what it meets: without the upgrade, the head is what is installed.
    """
    names = [str(result.stage) for result in results]
    if stage not in names:
        return ()
    performed = (Outcome.SKIPPED, Outcome.ABORTED)
    led = [str(r.stage) for r in results[: names.index(stage)] if r.outcome not in performed]
    upgrade = [str(Stage.UPGRADE)] if upgrades and stage == Stage.INSTALL else []
    return (*led, stage, *upgrade)


def repeat_command(
    entry: Entry, settings: Settings, stages: Sequence[str], *, nox: str = "nox"
) -> str:
    """Return the exact command that runs those stages again, or all that was asked for."""
    name = entry.name if entry.line else entry.source
    ref = "" if settings.ref else entry.ref
    call = (nox, "-s", "e2e", "--") if IS_CHECKOUT else (PROGRAM, "run")
    words = [f"{name}#{ref}" if ref else name]
    for option in OPTIONS:
        if option.name in settings.origins and option.name not in NOT_REPEATED:
            value = getattr(settings, option.name)
            if option.is_switch:
                words += [option.flag] if value else []
            elif option.name != "stages":
                words += [option.flag, str(value)]
            elif not stages:
                words += [option.flag, ",".join(value)]
    if stages:
        words += ["--stages", ",".join(stages), "--keep"]
    return " ".join([*skip_variables(settings.skip_generic), *call, *map(_quoted, words)])


def exact_command(
    entry: Entry, settings: Settings, stages: Sequence[str], *, commit: str, nox: str = "nox"
) -> str:
    """Return the command that tests that very commit again, wherever a branch is by then.

    It is empty where the repeating command does that already, and for a pull request: its number
    leads to its head, and a commit without it would be another question (docs/security.md).
    """
    if settings.pr or not commit or commit in (settings.ref, entry.ref):
        return ""
    origins = {**settings.origins, "ref": "the run"}
    return repeat_command(entry, replace(settings, ref=commit, origins=origins), stages, nox=nox)


def _quoted(word: str) -> str:
    """Return a word as a shell wants it; a `#` within one needs no quotes."""
    bare = word.replace("#", "")
    return word if shlex.quote(bare) == bare else shlex.quote(word)
