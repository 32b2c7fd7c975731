"""The child process that runs one stage's assertions: `python -m harness.assertions.child PARENT`.

Told to read instead, it only collects tests, before anything is deployed.

It is started while the op is still under way, imports everything, and then waits for its order, so
that no stage pays for a start of Python and pytest. End-of-file instead of an order ends it. So
does the end of its parent, whose process id is its argument: the app is the next run's to remove.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.assertions.plugin import ReadingPlugin, ResultsPlugin, StagePlugin
from harness.assertions.protocol import END, Order, Reading, append
from harness.docker import look_only
from harness.model import Origin
from harness.waiting import Stretch
from harness.with_parent import end_with_parent

# Any other code means that tests were not run and nobody has said why; a test may choose its code.
DONE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
READ = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def main() -> None:
    """Read the order, run or read its files, and end with pytest's exit code."""
    end_with_parent(int(sys.argv[1]))
    line = sys.stdin.readline()
    if not line:
        return
    if reading := Reading.load(line):
        reader = ReadingPlugin(reading)
        code = _pytest(reading.root, reading.files, reader, "--collect-only")
        if reader.unreadable or code in READ:
            append(Path(reading.results), END)
    else:
        order = Order.load(line)
        nodes = look_only.look_only_nodes(order.engine, order.node_id, order.others)
        nodes.events.judged.update(dict.fromkeys(order.killed, True))
        nodes.watch()
        plugin = StagePlugin(order, nodes)
        with Stretch(order.timeout_factor):
            code = _pytest(order.root, order.files, plugin)
        if plugin.unreadable or (code in DONE and plugin.left == 0):
            append(Path(order.results), END)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written down; taking the interpreter apart would only keep the run waiting.
    os._exit(int(code))


def _pytest(
    root: str, files: Sequence[tuple[str, Origin]], plugin: ResultsPlugin, *more: str
) -> int:
    """Run pytest over these files with that plugin, and return its exit code."""
    arguments = [
        "-c",
        os.devnull,  # neither this project's pytest settings nor a stranger's apply
        "--rootdir",
        root,
        "--confcutdir",  # with -c alone, pytest would read every conftest.py above the tests
        root,
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        *more,
        *(path for path, _ in files),
    ]
    return int(pytest.main(arguments, plugins=[plugin]))


if __name__ == "__main__":
    main()
