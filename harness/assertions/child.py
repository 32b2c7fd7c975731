"""The child process that runs one stage's assertions: `python -m harness.assertions.child PARENT`.

It is started while the op is still under way, imports everything, and then waits for its order, so
that no stage pays for a start of Python and pytest. End-of-file instead of an order ends it. So
does the end of its parent, whose process id is its argument: the app is the next run's to remove.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.assertions.plugin import StagePlugin
from harness.assertions.protocol import END, Order, append
from harness.docker import look_only
from harness.with_parent import end_with_parent

# Any other code means that tests were not run and nobody has said why; a test may choose its code.
DONE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


def main() -> None:
    """Read the order, run its files, and end with pytest's exit code."""
    end_with_parent(int(sys.argv[1]))
    line = sys.stdin.readline()
    if not line:
        return
    order = Order.load(line)
    nodes = look_only.look_only_nodes(order.engine, order.node_id, order.others)
    arguments = [
        "-c",
        os.devnull,  # neither this project's pytest settings nor a stranger's apply
        "--rootdir",
        order.root,
        "--confcutdir",  # with -c alone, pytest would read every conftest.py above the tests
        order.root,
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        *(path for path, _ in order.files),
    ]
    plugin = StagePlugin(order, nodes)
    code = pytest.main(arguments, plugins=[plugin])
    if plugin.unreadable or (code in DONE and plugin.left == 0):
        append(Path(order.results), END)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written down; taking the interpreter apart would only keep the run waiting.
    os._exit(int(code))


if __name__ == "__main__":
    main()
