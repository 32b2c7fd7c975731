"""Programs that end with their parent, however that one dies: the kernel sees to it.

A run that is killed cannot end what it has started. As a program, this file becomes another one
that ends so: `python with_parent.py PARENT PROGRAM ARGUMENT...`; PARENT is the parent's process id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Args:
        parent: the process id of the parent; this process ends at once if it has another by now.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def with_parent(argv: Sequence[str]) -> list[str]:
    """Return the command line of a program that ends with the thread that starts it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _environment() -> dict[bytes, bytes]:
    """Return what this process was given; Python adds a locale to what it hands on."""
    with open("/proc/self/environ", "rb") as given:  # noqa: PTH123  pathlib takes long to import
        pairs = (item.partition(b"=") for item in given.read().split(b"\0") if item)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execvpe(sys.argv[2], sys.argv[2:], _environment())  # noqa: S606  as asked, no shell
