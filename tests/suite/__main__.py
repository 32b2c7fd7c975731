"""`python -m tests.suite SECONDS [for pytest]`: lint and types beside the tests, then one table.

SECONDS is what the environment took. Everything runs to its end and every failure is shown; the
exit code is 0 only if all of it passed.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from harness.core.errors import EXIT_ABORTED, EXIT_FAILED, EXIT_PASSED, HarnessError
from harness.core.settings import Settings
from harness.run import testbed
from tests.suite.checks import CHECKS, ROOT
from tests.suite.parts import Part, Result, failed, table, timed
from tests.suite.running import run

NEEDS_ENGINE = "integration"


def say(text: str) -> None:
    """Print at once, so that the order is right beside what pytest prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def checked(name: str) -> tuple[Part, str]:
    """Run one of the checks, and return it with what it says."""
    said: list[str] = []

    def call() -> int:
        code, text = CHECKS[name]()
        said.append(text)
        return code

    return timed(name, call), said[0]


def engine() -> int:
    """Have the engine and the harness's own image ready, so that no test waits for them."""
    try:
        bed = testbed.prepare(Settings.load([], os.environ), os.environ, say=say)
        try:
            say(f"the tool image is {bed.toolbox}")
        finally:
            bed.client.close()
    except HarnessError as error:
        say(f"cc-ci: {error}")
        return error.exit_code
    return 0


def needs_engine(words: Sequence[str]) -> bool:
    """Return whether those words of pytest can select a test that needs an engine."""
    paths = [word for word in words if (ROOT / word.partition("::")[0]).exists()]
    return not paths or any(NEEDS_ENGINE in word or word in {"tests", "."} for word in paths)


def main(argv: Sequence[str]) -> int:
    """Run everything, show it one after another, and return the exit code."""
    parts = [Part(name="environment", result=Result.PASSED, seconds=float(argv[0]))]
    words = [sys.executable, "-m", "pytest", *argv[1:]]
    with ThreadPoolExecutor() as beside:
        begun: list[Future[tuple[Part, str]]] = [beside.submit(checked, name) for name in CHECKS]
        if needs_engine(argv[1:]):
            parts.append(timed("engine", engine))
        try:
            tests = timed("pytest", lambda: run(words))
        except KeyboardInterrupt:
            return EXIT_ABORTED
        for one in begun:
            part, said = one.result()
            say(f"\n{part.name}: {part.result}\n{said.rstrip()}")
            parts.append(part)
    parts.append(tests)
    say(f"\n{table(parts)}")
    return EXIT_FAILED if failed(parts) else EXIT_PASSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
