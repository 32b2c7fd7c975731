"""What is tested: the source, the commit, what the lint says of it, and the plan for it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.ci.pull_request import Change, ask
from harness.ci.under_test import DEFAULT_REF, asked_commit, asked_ref
from harness.core.events import Doing, Step
from harness.core.model import LintReport
from harness.core.project import PROJECT
from harness.core.signals import reading
from harness.core.waiting import stretched
from harness.images import samples
from harness.lint import linting
from harness.recipes.cloning import CLONE_SECONDS, clone
from harness.recipes.repo import Repo
from harness.report.results import Revision
from harness.run import subject as subjects
from harness.run.journal import Journal
from harness.run.own_tests import Places
from harness.run.prepared import Prepared
from harness.run.subject import Subject

TESTS = PROJECT / "tests"


@dataclass(frozen=True, kw_only=True)
class Sourced(Prepared):
    """And what is cloned: a pull request's address names a repository, too."""

    change: Change | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Named(Sourced):
    """And the commit under test, so that one whose files cannot be read is told of as well."""

    repo: Repo
    head: Revision


@dataclass(frozen=True, kw_only=True)
class Linted(Named):
    """And what the lint says of it; None if it is switched off."""

    lint: LintReport | None


@dataclass(frozen=True, kw_only=True)
class Studied(Linted):
    """And the recipe itself, with its plan."""

    subject: Subject


def study(prepared: Prepared, journal: Journal) -> Studied:
    """Return the run with the recipe in a private clone, and its plan.

    Raises:
        HarnessError: the recipe cannot be had, or cannot be deployed at all.
        UsageError: the recipe's meta, or the list of approvals, is wrong.
    """
    settings, entry = prepared.settings, prepared.entry
    change = ask(entry, settings, say=journal.say)
    source = settings.src or (change.source if change else "") or entry.source
    sourced = journal.finished(Sourced(**vars(prepared), change=change, source=source))
    repo = _clone(sourced, journal)
    with reading():
        commit = asked_commit(entry, repo, settings, change)
        head = Revision(commit=commit, ref=asked_ref(settings, entry) or DEFAULT_REF)
        named = journal.finished(Named(**vars(sourced), repo=repo, head=head))
        journal.step(Doing(step=Step.LINT))
        lint = linting.lint(entry, repo, settings, named.environ, work=named.work, change=change)
        linted = journal.finished(Linted(**vars(named), lint=lint))
        if lint:
            linting.require(lint, entry.name)
        places = Places(tests=TESTS, overlays=settings.overlays or TESTS, work=named.work)
        subject = subjects.study(
            entry, repo, commit, settings, named.target, places=places, change=change
        )
    studied = journal.finished(Studied(**vars(linted), subject=subject))
    for line in subject.plan.lines():
        journal.say(f"plan  {line}")
    for warning in subject.plan.warnings:
        journal.warn(warning)
    return studied


def _clone(sourced: Sourced, journal: Journal) -> Repo:
    """Return the run's own clone; a sample is made first."""
    entry, settings = sourced.entry, sourced.settings
    source = samples.source_of(entry, settings, named=sourced.source, say=journal.say)
    journal.step(Doing(step=Step.CLONE, about=source))
    return clone(source, sourced.work / "recipe", timeout=stretched(CLONE_SECONDS))
