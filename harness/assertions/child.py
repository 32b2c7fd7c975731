"""The process that runs a run's assertions: `python -m harness.assertions.child PARENT`.

It imports everything once, while an op is under way, and forks for each order: every stage has a
process of its own, and none pays for a start of Python and pytest. Told to read instead, the fork
only collects tests, before anything is deployed. End-of-file ends the process. So does the end of
its parent, whose process id is its argument: the app is the next run's to remove.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.config import default_plugins

from harness.assertions import former_names
from harness.assertions.plugin import ReadingPlugin, ResultsPlugin, StagePlugin
from harness.assertions.protocol import END, Order, Reading, append, load
from harness.core.model import Origin
from harness.core.waiting import Stretch
from harness.core.with_parent import end_with_parent
from harness.exec import look_only

# Any other code means that tests were not run and nobody has said why; a test may choose its code.
DONE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
READ = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def main() -> None:
    """Fork a process for each line, and answer with its exit code, until there are no more lines.

    The code of one that a signal ended is the signal's negative number.
    """
    end_with_parent(int(sys.argv[1]))
    former_names.keep()
    for name in default_plugins:  # pytest imports them only when it runs
        import_module(f"_pytest.{name}")
    server = os.getpid()
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            _become(line, server)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(line: str, server: int) -> NoReturn:
    """Do what a line says in this process, printing to the file that it names, and end."""
    code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        end_with_parent(server)
        order = load(line)
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for source, stream in ((nothing, 0), (printed, 1), (printed, 2)):
            os.dup2(source, stream)
        code = _asserted(order) if isinstance(order, Order) else _read(order)
    except BaseException:  # noqa: BLE001  this process never goes on as the one that it came from
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # All is written down; taking the interpreter apart would only keep the run waiting.
        os._exit(code)


def _read(reading: Reading) -> int:
    reader = ReadingPlugin(reading)
    code = _pytest(reading.root, reading.files, reader, "--collect-only")
    if reader.unreadable or code in READ:
        append(Path(reading.results), END)
    return code


def _asserted(order: Order) -> int:
    nodes = look_only.look_only_nodes(order.engine, order.node_id, order.others)
    nodes.events.judged.update(dict.fromkeys(order.killed, True))
    nodes.watch()
    plugin = StagePlugin(order, nodes)
    with Stretch(order.timeout_factor):
        code = _pytest(order.root, order.files, plugin)
    if plugin.unreadable or (code in DONE and plugin.left == 0):
        append(Path(order.results), END)
    return code


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
