"""`python -m harness.fleet.follower run RECIPE`: the harness as the child of a fleet, and not without it.

The fleet holds the other end of standard input and never writes to it. When the fleet is gone,
however it died, the run stops and cleans up, so that nothing runs on unseen.
"""

from __future__ import annotations

import sys

from harness import __main__ as harness
from harness.core import signals
from harness.report.output import program


def main() -> int:
    """Run the command, and return its exit code."""
    signals.follow(sys.stdin.fileno())
    return harness.main()


if __name__ == "__main__":
    program(main)
