"""A registry of the tests' own, in the namespace of an engine of theirs; ended with the test.

Debian's package is unpacked beside the test, not installed: installed, it would start a registry
for everybody on this machine.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import proc
from harness.embedded import install, processes
from harness.errors import EngineError, HarnessError, ProcessError
from harness.waiting import Deadline, wait_for
from tests.integration.own_engine import Namespaces, end

PACKAGE = "docker-registry"
APT_SECONDS = 300.0


@dataclass(frozen=True)
class OwnRegistry:
    """A registry that serves at `address`, a host and a port."""

    address: str
    log: Path

    def reads(self) -> set[tuple[str, str]]:
        """Return who was given what by it: the address of a host, and a repository."""
        line = r'^(\S+) .*"GET /v2/(.+?)/(?:manifests|blobs)/\S+ HTTP/1.1" 200 '
        return set(re.findall(line, self.log.read_text(), re.MULTILINE))


@contextmanager
def own_registry(spaces: Namespaces, address: str) -> Iterator[OwnRegistry]:
    """Start a registry in these namespaces; skip where there is none to start.

    Args:
        spaces: the namespaces, one of whose links has the address.
        address: where it is to serve, a host and a port.
    """
    with tempfile.TemporaryDirectory(prefix="ccci-") as name:
        folder = Path(name)
        argv = [*spaces.prefix(), _program(folder), "serve", str(_config(folder, address))]
        log = folder / "log"
        pid = proc.start_daemon(argv, log=log)
        try:
            _await_answer(pid, log)
            yield OwnRegistry(address, log)
        finally:
            end(pid)


def _config(folder: Path, address: str) -> Path:
    config = folder / "config.yml"
    settings = {  # YAML takes JSON as it is
        "version": 0.1,
        "log": {"accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    config.write_text(json.dumps(settings))
    return config


def _await_answer(pid: int, log: Path) -> None:
    def ended(_: str) -> HarnessError | None:
        return None if processes.is_running(pid) else EngineError(log.read_text())

    wait_for(
        log.read_text,
        what="the registry",
        deadline=Deadline.after(20),
        ready=lambda text: "listening on" in text,
        failed=ended,
    )


def _program(folder: Path) -> str:
    """Return the registry's program, from this machine or unpacked into `folder`."""
    if found := install.finder(os.environ)(PACKAGE):
        return found
    if not install.distribution() or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip(f"there is no {PACKAGE} here, and no apt to fetch it")
    try:
        _download(folder)
        (package,) = folder.glob("*.deb")
        proc.run(["dpkg-deb", "--extract", str(package), str(folder / "x")], timeout=60)
    except (ProcessError, ValueError) as error:
        pytest.skip(f"the package {PACKAGE} cannot be fetched: {error}")
    return str(folder / "x/usr/bin" / PACKAGE)


def _download(folder: Path) -> None:
    argv = ["apt-get", "download", "-o", "APT::Sandbox::User=root", PACKAGE]
    try:
        proc.run(argv, timeout=APT_SECONDS, cwd=folder)
    except ProcessError:  # its lists may be old, or none
        proc.run(["apt-get", "update"], timeout=APT_SECONDS, check=False)
        proc.run(argv, timeout=APT_SECONDS, cwd=folder)
