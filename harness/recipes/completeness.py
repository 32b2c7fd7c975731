"""Whether a clone that was given as a source has all that an upgrade is tested from.

A shallow clone, or one without tags, looks just like a recipe that has no release yet. What it was
cloned from is asked which of the two it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.core.errors import SourceError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.recipes.releases import Candidates, Release
from harness.recipes.repo import Repo
from harness.recipes.versions import Version

ASK_SECONDS = 20.0
QUICK = 0.25  # of that time, where the clone has a base and a newer one is looked for
SHOWN = 3
VERSION_LIKE = re.compile(r"v?\d+(?:\.\d+)+")  # a tag that was probably meant for a release
ORIGIN = "the repository that it was cloned from"


def require_releases(
    repo: Repo, head: str, candidates: Candidates, *, timeout: float
) -> RunWarning | None:
    """Make sure that a head without an older release really has none.

    Args:
        repo: the clone.
        head: the commit under test.
        candidates: what it can be upgraded from, by this clone.
        timeout: seconds to wait for the repository that it was cloned from.

    Returns:
        What could not be made sure of; None when nothing is open.

    Raises:
        SourceError: the clone lacks releases, or its history is cut off and nothing says that it
            has none.
    """
    if candidates.older:
        return _newer_elsewhere(repo, head, candidates, timeout=timeout * QUICK)
    if repo.upstream is None and not repo.shallow:
        return None
    known = repo.upstream_tags(timeout=timeout)
    if known is None and repo.shallow:
        raise _cut_off(repo, "it cannot be asked what releases there are")
    if known is None and repo.tags():
        return None  # it was cloned with its tags
    if known is None:
        return _unknown(repo)
    here = set(repo.tags()) - candidates.refused.keys() if repo.shallow else set(repo.tags())
    missing = [
        tag
        for tag, commit in known.items()
        if Version.parse(tag) and tag not in here and commit != head
        if repo.shallow or repo.descends(head, commit)
    ]
    if not missing:
        return None
    named = _listed(missing)
    if repo.shallow:
        raise _cut_off(repo, f"there are releases: {named}")
    raise SourceError(
        f"{repo.source} lacks {len(missing)} release tag(s) that {ORIGIN} has: {named}",
        cause="it was cloned without tags, so no upgrade could be tested",
        hint=f"git -C {repo.source} fetch --tags origin; or --stages install tests no upgrade",
    )


def _newer_elsewhere(
    repo: Repo, head: str, candidates: Candidates, *, timeout: float
) -> RunWarning | None:
    """Return a warning where a newer release than the clone's would have been the base."""
    base = max(one.version for one in candidates.older)
    here = set(repo.tags())
    newer = [
        tag
        for tag, commit in (repo.upstream_tags(timeout=timeout) or {}).items()
        if tag not in here and commit != head and repo.descends(head, commit)
        if (version := Version.parse(tag)) and version > base
    ]
    if not newer:
        return None
    return RunWarning(
        code=WarningCode.CLONE_INCOMPLETE,
        text=f"{repo.source} lacks {_listed(newer)}, which {ORIGIN} has, so the upgrade is not "
        "tested from the newest release",
        next=f"git -C {repo.source} fetch --tags origin, and run again",
    )


def _listed(tags: list[str]) -> str:
    return ", ".join(tags[:SHOWN]) + (", ..." if len(tags) > SHOWN else "")


def _unknown(repo: Repo) -> RunWarning:
    return RunWarning(
        code=WarningCode.CLONE_INCOMPLETE,
        text=f"{repo.source} has no release that the head descends from, and "
        + (f"{ORIGIN} cannot be asked" if repo.upstream else "it has no origin to ask"),
        next="if the recipe has releases: git fetch --tags, and run again",
    )


def _cut_off(repo: Repo, why: str) -> SourceError:
    return SourceError(
        f"{repo.source} is a shallow clone, so the releases before the head are not in it",
        cause=f"its history is cut off, and {why}",
        hint=f"git -C {repo.source} fetch --unshallow --tags (in a CI job: fetch-depth: 0); "
        "or --stages install tests no upgrade",
    )


def warnings_of_tags(
    repo: Repo,
    commit: str,
    candidates: Candidates,
    base: Release | None,
    asked: Sequence[Stage],
) -> Iterator[RunWarning]:
    """Yield what an operator would regret about the tags that the head descends from."""
    light = [one.tag for one in candidates.older if not one.annotated]
    if light:
        yield RunWarning(
            code=WarningCode.LIGHTWEIGHT_TAG,
            text=f"the tag of {', '.join(light)} is lightweight, and abra stops on it (R014)",
            next=f"git tag -a -f -m release {light[-1]} {light[-1]}^{{}}, and push it by force",
        )
    newer = repo.tags_between(base.commit if base else "", commit)
    odd = [one.tag for one in candidates.others if one.tag in newer and VERSION_LIKE.match(one.tag)]
    if odd and Stage.UPGRADE in asked:
        yield RunWarning(
            code=WarningCode.NOT_A_RELEASE,
            text=f"{', '.join(odd)} is not a release, so no upgrade from it was tested",
            next=f"--version {odd[-1]} upgrades from it; a release is an annotated tag such as "
            "1.0.2+1.28.0",
        )
