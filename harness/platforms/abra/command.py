"""`python -m harness abra ACTION`: which abra is there, or one built into the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core.errors import EXIT_PASSED, UsageError
from harness.platforms.abra.install import install
from harness.platforms.abra.program import RANGE, detect


def command(
    action: str,
    revision: str,
    *,
    cache: Path,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> int:
    """Run one action and return its exit code.

    Raises:
        UsageError: it takes no revision.
        AbraError: there is no abra that can be used.
    """
    if action == "install":
        found = install(revision, cache=cache, environ=environ, say=say)
    elif revision:
        raise UsageError(f"abra {action} takes no revision", hint=f"abra install {revision}")
    else:
        found = detect(environ, cache)
    say(f"abra  {found.version} at {found.path} (supported is {RANGE})")
    return EXIT_PASSED
