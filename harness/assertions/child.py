"""The child process that runs one stage's assertions: `python -m harness.assertions.child`.

It is started while the op is still under way, imports everything, and then waits for its order, so
that no stage pays for a start of Python and pytest. End-of-file instead of an order ends it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import docker
import pytest

from harness.assertions.plugin import StagePlugin
from harness.assertions.protocol import END, Order, append


def main() -> None:
    """Read the order, run its files, and end with pytest's exit code."""
    line = sys.stdin.readline()
    if not line:
        return
    order = Order.load(line)
    client = docker.from_env(environment=dict(order.engine))
    arguments = [
        "-c",
        os.devnull,  # neither this project's pytest settings nor a stranger's apply
        "--rootdir",
        order.root,
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        *(path for path, _ in order.files),
    ]
    code = pytest.main(arguments, plugins=[StagePlugin(order, client)])
    append(Path(order.results), END)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written down; taking the interpreter apart would only keep the run waiting.
    os._exit(int(code))


if __name__ == "__main__":
    main()
