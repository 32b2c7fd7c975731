"""The lint of one recipe: by our own checks, or by abra in a clone that nothing else has touched.

It comes before the plan, since a recipe that cannot be planned has the more to be told. It is not
one of the stages: those happen to a deployment, and this needs none. See docs/lint.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from harness.ci.pull_request import Change
from harness.ci.under_test import asked_ref
from harness.core.errors import (
    EXIT_PASSED,
    AbortedError,
    AbraError,
    HarnessError,
    InvalidRecipeError,
    RefusedError,
)
from harness.core.model import LintReport, RuleResult
from harness.core.settings import Settings
from harness.core.signals import reading
from harness.core.waiting import stretched
from harness.images import samples
from harness.lint import checks, table
from harness.platforms.abra.program import detect, find
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import CLONE_SECONDS, clone
from harness.recipes.repo import Repo
from harness.report.terminal import lint_lines, plain

OWN = "cc-ci"
ABRA_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a program found; `notes` say why another one was not listened to."""

    program: str = OWN
    rules: tuple[RuleResult, ...] = ()
    notes: tuple[str, ...] = ()


def lint(
    entry: Entry,
    repo: Repo,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    work: Path,
    change: Change | None = None,
) -> LintReport | None:
    """Lint the commit under test, or return None when that is switched off.

    Where it is no gate, nothing that goes wrong in it stops a run: the report says so instead.

    Args:
        entry: the recipe's line in the catalogue.
        repo: the run's clone of it. Only its objects are read.
        settings: what was asked for.
        environ: where abra is looked for, and what it is told.
        work: a directory of the run's own.
        change: the pull request under test, or None.

    Raises:
        SourceError: the ref that was asked for is not there.
        HarnessError: it is a gate, and could not be done.
    """
    if settings.lint == "off":
        return None
    began = time.monotonic()
    ref = asked_ref(settings, entry)  # first of all: the call may be wrong
    commit = change.resolve(repo) if change else repo.resolve(ref)
    gate = settings.lint == "gate"
    said = _Said()
    try:
        said = _speak(
            repo, commit, settings, environ,
            path=work / "lint" / "recipes" / entry.name,  # abra looks for recipes by name, there
        )  # fmt: skip
    except AbortedError:
        raise
    except HarnessError as error:
        if gate:
            raise
        said = _Said(notes=(f"the recipe could not be linted: {error.what}",))
    return LintReport(
        program=said.program,
        gate=gate,
        rules=said.rules,
        notes=said.notes,
        seconds=time.monotonic() - began,
    )


def require(report: LintReport, recipe: str) -> None:
    """Let a run go on, unless the lint is a gate and a rule of level `error` is broken.

    Raises:
        InvalidRecipeError: that is so; nothing has been deployed.
    """
    broken = report.broken("error") if report.gate else ()
    if broken:
        raise InvalidRecipeError(
            f"{recipe} breaks {len(broken)} lint rule(s) of level error: "
            + ", ".join(rule.rule for rule in broken),
            cause=f"{report.program} says so, and the lint is a gate here (--lint gate)",
            hint="fix the problems listed below; docs/lint.md has the rules",
            detail="\n".join(f"{r.rule}: {r.about}: {r.reason}" for r in broken),
        )


def _speak(
    repo: Repo,
    commit: str,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    path: Path,
) -> _Said:
    """Return what abra says where there is one, else what our own checks do, and why."""
    notes: tuple[str, ...] = ()
    recipe = checks.Recipe.read(repo.files(commit), repo.lightweight_tags())
    ours = checks.backup_labels(recipe)
    if find(environ, settings.cache):
        try:
            path.parent.mkdir(parents=True)
            pristine = clone(str(repo.path), path, timeout=stretched(CLONE_SECONDS))
            pristine.checkout(pristine.resolve(commit))
            said = _by_abra(path, settings, environ)
            return replace(said, rules=(*said.rules, ours))
        except AbraError as error:
            notes = (f"abra was not listened to: {error.what}",)
    return _Said(rules=(*checks.check(recipe), ours), notes=notes)


def _by_abra(path: Path, settings: Settings, environ: Mapping[str, str]) -> _Said:
    abra = detect(environ, settings.cache)
    done = abra.run(
        "recipe",
        "lint",
        path.name,
        directory=path.parent.parent,
        environ=environ,
        timeout=stretched(ABRA_SECONDS),
    )
    return _Said(program=str(abra), rules=table.parse(done.stdout))


def command(
    entries: Sequence[Entry], settings: Settings, environ: Mapping[str, str], console: Console
) -> int:
    """Lint the recipes that are named and show what came; no engine is looked for.

    The exit code is that of the first recipe that a gate stops, else 0.
    """
    worst = EXIT_PASSED
    for entry in entries:
        try:
            report = _one(entry, settings, environ)
            for line in lint_lines(report) if report else ("switched off by --lint off",):
                console.print(plain(f"{entry.name}: {line}"), soft_wrap=True)
            if report:
                require(report, entry.name)
        except (InvalidRecipeError, RefusedError) as error:
            console.print(plain(f"{entry.name}: {error}"), soft_wrap=True)
            worst = worst or error.exit_code
    return worst


def _one(entry: Entry, settings: Settings, environ: Mapping[str, str]) -> LintReport | None:
    source = samples.source_of(entry, settings, say=lambda _: None)
    with TemporaryDirectory(prefix="cc-ci-lint-") as directory:
        seconds = stretched(CLONE_SECONDS)
        repo = clone(source, Path(directory) / "recipe", timeout=seconds)
        with reading():
            return lint(entry, repo, settings, environ, work=Path(directory))
