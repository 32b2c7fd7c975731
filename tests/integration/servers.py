"""Servers of the tests' own, from Debian's packages, which are unpacked beside a test.

They are not installed: installed, they would be started for everybody on this machine.
"""

import os
import shutil
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import EngineError, HarnessError, ProcessError
from harness.core.waiting import Deadline, wait_for
from harness.engine import install, processes

APT_SECONDS = 300.0


def program(name: str, folder: Path, *packages: str) -> str:
    """Return a server's program, from this machine or unpacked into `folder`; skip without both.

    Args:
        name: the program's.
        folder: where to; made.
        packages: the packages with it and its libraries; without any, that of its name.
    """
    if found := install.finder(os.environ)(name):
        return found
    if not install.distribution() or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip(f"there is no {name} here, and no apt to fetch it")
    folder.mkdir(exist_ok=True)
    try:
        _download(folder, packages or (name,))
        for package in folder.glob("*.deb"):
            proc.run(["dpkg-deb", "--extract", str(package), str(folder)], timeout=60)
    except ProcessError as error:
        pytest.skip(f"{name} cannot be fetched: {error}")
    (unpacked,) = folder.glob(f"usr/*bin/{name}")
    return str(unpacked)


def await_line(pid: int, log: Path, words: str) -> None:
    """Wait until a server has written that to its log.

    Raises:
        EngineError: it ended; the message is its log.
    """

    def ended(_: str) -> HarnessError | None:
        return None if processes.is_running(pid) else EngineError(log.read_text())

    wait_for(
        log.read_text,
        what=f"'{words}' in the server's log",
        deadline=Deadline.after(60),
        ready=lambda text: words in text,
        failed=ended,
    )


def _download(folder: Path, packages: tuple[str, ...]) -> None:
    argv = ["apt-get", "download", "-o", "APT::Sandbox::User=root", *packages]
    try:
        proc.run(argv, timeout=APT_SECONDS, cwd=folder)
    except ProcessError:  # its lists may be old, or none
        proc.run(["apt-get", "update"], timeout=APT_SECONDS, check=False)
        proc.run(argv, timeout=APT_SECONDS, cwd=folder)
