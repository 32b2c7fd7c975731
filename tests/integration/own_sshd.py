"""An ssh server of the tests' own, in the namespaces of an engine of theirs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core import proc
from tests.integration.own_engine import Namespaces, end
from tests.integration.servers import await_line, program

# The server wants a directory in /run, and a user for what comes before the login.
ENTER = """\
mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind "$1" /etc/passwd || exit
shift && exec "$@"
"""
USER = "sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin\n"


@dataclass(frozen=True)
class OwnSshd:
    """An ssh server at an address; `path` is a PATH whose `ssh` can log in there."""

    address: str
    path: str
    log: Path

    def logins(self) -> int:
        """Return how many connections got in."""
        return self.log.read_text().count("Accepted publickey")


@contextmanager
def own_sshd(spaces: Namespaces, address: str) -> Iterator[OwnSshd]:
    """Start an ssh server in these namespaces; skip where there is none to start.

    Args:
        spaces: the namespaces, one of whose links has the address.
        address: where it is to serve, at the usual port.
    """
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("not installed here: ssh")
    with tempfile.TemporaryDirectory(prefix="ccci-") as name:
        folder = Path(name)
        server = program("sshd", folder / "sshd", "openssh-server", "libwrap0")
        for key in ("host", "user"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            proc.run(argv, timeout=20)
        _configure(folder, address)
        log = folder / "log"
        enter = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(folder / "passwd")]
        argv = [*spaces.prefix(), *enter, server, "-D", "-e", "-f", str(folder / "sshd_config")]
        libraries = ":".join(map(str, folder.glob("sshd/usr/lib/*-linux-*")))
        pid = proc.start_daemon(argv, log=log, env={**os.environ, "LD_LIBRARY_PATH": libraries})
        try:
            await_line(pid, log, "listening on")
            yield OwnSshd(address, f"{folder / 'bin'}:{os.environ['PATH']}", log)
        finally:
            end(pid)


def _configure(folder: Path, address: str) -> None:
    """Write what the server and its clients read."""
    users = Path("/etc/passwd").read_text()
    (folder / "passwd").write_text(users if "sshd:" in users else users + USER)
    (folder / "sshd_config").write_text(
        f"ListenAddress {address}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPidFile none\n"
    )
    public = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"{address} {public}")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
        "StrictHostKeyChecking yes\n"
    )
    client = folder / "bin/ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    client.chmod(0o755)
