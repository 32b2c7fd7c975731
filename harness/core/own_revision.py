"""Which state of the harness judges: two verdicts of two harnesses are not one that wavers."""

from __future__ import annotations

from pathlib import Path

from harness import __version__
from harness.core import proc
from harness.core.errors import ProcessError
from harness.core.waiting import stretched

DIGITS = 12
CHANGED = "+U"  # after the commit of a clone whose files differ from it
GIT_SECONDS = 10.0


def own_revision(root: Path) -> str:
    """Return the commit of the clone at that path, or the version where it is none."""
    if (root / ".git").exists():
        words = ("describe", "--always", "--exclude=*", f"--abbrev={DIGITS}", f"--dirty={CHANGED}")
        try:
            done = proc.run(["git", "-C", str(root), *words], timeout=stretched(GIT_SECONDS))
        except ProcessError:
            return __version__  # that git does not like the clone keeps nobody from testing
        return done.stdout.strip()
    return __version__
