"""A registry of the tests' own, in the namespace of an engine of theirs; ended with the test."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from tests.integration.own_engine import Namespaces, end
from tests.integration.servers import await_line, program

PACKAGE = "docker-registry"


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
        argv = [*spaces.prefix(), program(PACKAGE, folder), "serve", str(_config(folder, address))]
        log = folder / "log"
        pid = proc.start_daemon(argv, log=log)
        try:
            await_line(pid, log, "listening on")
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
