"""Which commit is tested: a pull request's, a ref's, or that of the default branch."""

from __future__ import annotations

from harness.ci.pull_request import Change, number
from harness.core.errors import UsageError
from harness.core.settings import Settings
from harness.recipes.catalogue import Entry
from harness.recipes.repo import Repo

DEFAULT_REF = "default branch"


def asked_commit(entry: Entry, repo: Repo, settings: Settings, change: Change | None = None) -> str:
    """Return the commit under test.

    Raises:
        SourceError: the ref that was asked for is not there.
        UsageError: two different ones were asked for.
    """
    ref = asked_ref(settings, entry)
    return change.resolve(repo) if change else repo.resolve(ref)


def asked_ref(settings: Settings, entry: Entry) -> str:
    """Return the ref that was asked for, or empty for the default branch.

    Raises:
        UsageError: two different ones were asked for.
    """
    if settings.pr and settings.ref:
        raise UsageError(
            "both a ref and a pull request were asked for",
            hint="give one of --ref and --pr (or REF and PR in the environment)",
        )
    if settings.ref and entry.ref and not entry.line:
        raise UsageError(
            f"two refs were asked for: '{entry.ref}' and '{settings.ref}'",
            hint="give one of #REF and --ref (or REF in the environment)",
        )
    return f"pull/{number(settings.pr)}" if settings.pr else settings.ref or entry.ref
