"""Makes a run's private clone of a recipe, out of a URL or a path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.core import proc
from harness.core.errors import HarnessError, SourceError
from harness.core.waiting import stretched
from harness.recipes import local_source
from harness.recipes.catalogue import is_remote
from harness.recipes.git import Git
from harness.recipes.git_access import Access, environment, local_path, passwords, trust
from harness.recipes.git_words import explain
from harness.recipes.repo import Repo, read

CLONE_SECONDS = 300.0  # what a clone may take, before the factor
ASK_SECONDS = 10.0  # what a clone's origin may take to say how its releases are tagged


def clone(
    source: str, destination: Path, *, timeout: float, env: Mapping[str, str] | None = None
) -> Repo:
    """Clone every branch and tag into a directory of this run's own.

    Args:
        source: a URL, `git@host:path`, or a path. A login in a URL is in no argument of git's and
            not in the clone. A path's repository is only read: its uncommitted changes are not in
            the clone, and `Repo.notice` says so when there are any.
        destination: where to; must not exist yet.
        timeout: seconds for the clone, and for each later fetch.
        env: the environment to take proxies and keys from; this process's own when None.

    Raises:
        InvalidRecipeError: it is larger than a clone may be.
        SourceError: it cannot be cloned; `cause` says why, `detail` has git's last words.
        DiskFullError: there is no room for it.
        TestBedError: there is no git here.
    """
    secrets = passwords(source)
    shown = proc.scrub(source, secrets)
    if source.startswith("-"):
        raise SourceError(f"the source '{shown}' begins with '-', which git takes for an option")
    local = local_path(source)
    if local is not None and not local.exists():
        raise SourceError(
            f"there is nothing at {local}", hint="check the path, or the line in recipes.txt"
        )
    access = Access.of(source)
    git = Git(
        env={**environment(os.environ if env is None else env), **access.login},
        timeout=timeout,
        secrets=secrets,
        options=access.options,
        trust=trust(local),
    )
    if local is not None:
        local_source.refuse_unreadable_refs(git, local)
    try:
        done = git.run(
            "clone",
            "--quiet",
            "--no-checkout",
            "--no-local",
            "--template=",
            *git.trust,
            "--",
            access.address,
            str(destination),
        )
    except HarnessError:
        shutil.rmtree(destination, ignore_errors=True)  # a git that was killed cleans up nothing
        raise
    if done.code != 0:
        explain(f"the recipe {shown} cannot be cloned", done.stderr, local=local)
    if local is None or is_remote(source):
        return read(git, destination, source=shown, notice="", upstream=None)
    repo = read(
        git, destination, source=shown, notice=local_source.uncommitted(git, local),
        upstream=local_source.upstream(git, local),
    )  # fmt: skip
    return repo.annotated(timeout=min(timeout, stretched(ASK_SECONDS)))
