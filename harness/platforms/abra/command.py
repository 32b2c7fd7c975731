"""`python -m harness abra ACTION`: which abra is there, or one built into the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.core.errors import EXIT_PASSED, UsageError
from harness.core.settings import Settings
from harness.platforms.abra.install import install
from harness.platforms.abra.program import RANGE, detect


def command(argv: Sequence[str], environ: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Run one action and return its exit code.

    Raises:
        UsageError: there is no such action.
        AbraError: there is no abra that can be used.
    """
    action, rest = (argv[0] if argv else "status"), list(argv[1:])
    if any(word.startswith("-") for word in rest):
        raise UsageError(f"abra {action} takes no options", hint="nox -s abra-install -- REVISION")
    settings = Settings.load(rest, environ)
    if action == "install" and len(settings.selectors) <= 1:
        revision = "".join(settings.selectors)
        found = install(revision, cache=settings.cache, environ=environ, say=say)
    elif action == "status" and not rest:
        found = detect(environ, settings.cache)
    else:
        raise UsageError(
            f"`abra {' '.join(argv)}` is not understood",
            hint="abra status; abra install [REVISION]",
        )
    say(f"abra  {found.version} at {found.path} (supported is {RANGE})")
    return EXIT_PASSED
