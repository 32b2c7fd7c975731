"""Programs whose output is shown as it comes, and which get the signals that stop this one."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from harness.core.with_parent import with_parent
from tests.suite.checks import ROOT

STOPS = (signal.SIGINT, signal.SIGTERM)


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run a program in the project's directory, and return its exit code.

    It is killed if this process is killed. A signal that stops this process goes to the program
    first, which has all the time that it needs to clean up.

    Args:
        argv: the program and its arguments.
        environ: what to add to this process's environment.

    Raises:
        KeyboardInterrupt: this process was told to stop; the program has ended.
    """
    stopped: list[int] = []
    env = {**os.environ, **(environ or {})}
    with subprocess.Popen(with_parent(argv), cwd=ROOT, env=env) as process:  # noqa: S603  our own words

        def hand_on(number: int, _: object) -> None:
            stopped.append(number)
            process.send_signal(number)

        before = {number: signal.signal(number, hand_on) for number in STOPS}
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if stopped:
        raise KeyboardInterrupt
    return code
