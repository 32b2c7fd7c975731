"""The way to an engine behind ssh: what ends it, and what it says when it fails.

`ssh` is a program of the test's own here; the real one is met in `test_nodes.py`.
"""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import EngineError
from harness.core.scratch import sweep
from harness.core.waiting import Deadline, wait_for
from harness.engine import ssh_tunnel
from harness.engine.ssh_tunnel import PREFIX, Tunnels

ROOT = Path(__file__).resolve().parents[2]
FORWARDS = """\
#!{python}
import os, signal, socket, sys
forward = sys.argv[sys.argv.index("-L") + 1]
stream = socket.socket(socket.AF_UNIX)
stream.bind(forward.partition(":")[0])
stream.listen()
open({pid!r}, "w").write(str(os.getpid()))
signal.pause()
"""
REFUSED = """\
#!/bin/sh
echo "Warning: a key was added" >&2
echo "ops@box: Permission denied (publickey)." >&2
exit 255
"""

Fake = Callable[[str], dict[str, str]]


@pytest.fixture(name="fake")
def fake_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Make `ssh` a script, and return the environment in which it is found."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def make(script: str) -> dict[str, str]:
        program = tmp_path / "bin/ssh"
        program.parent.mkdir()
        program.write_text(script.format(python=sys.executable, pid=str(tmp_path / "pid")))
        program.chmod(0o755)
        return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    return make


@pytest.fixture(name="tunnels")
def tunnels_fixture() -> Iterator[Tunnels]:
    """Give tunnels that are closed at the end."""
    made = Tunnels()
    yield made
    made.close()


def test_one_tunnel_for_each_address(fake: Fake, tunnels: Tunnels, tmp_path: Path) -> None:
    """The second call gets the first one's socket; only we can enter its directory."""
    environ = fake(FORWARDS)
    path = Path(tunnels.reach("ssh://box", environ).removeprefix("unix://"))
    pid = int((tmp_path / "pid").read_text())
    assert path.is_socket()
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IRWXU
    assert tunnels.reach("ssh://box", {}) == f"unix://{path}"
    other = tunnels.reach("ssh://other", environ)
    assert other != f"unix://{path}"
    tunnels.close()
    assert not path.parent.exists()
    assert not running(pid)


def test_what_ssh_said_is_the_reason(fake: Fake, tunnels: Tunnels) -> None:
    """At once, not when the time is over."""
    with pytest.raises(EngineError, match="cannot be reached over ssh") as caught:
        tunnels.reach("ssh://ops@box:2222", fake(REFUSED))
    assert caught.value.cause == "ops@box: Permission denied (publickey)."
    assert caught.value.hint.endswith("ssh -l ops -p 2222 box docker version")


def test_a_machine_without_ssh(fake: Fake, tunnels: Tunnels, tmp_path: Path) -> None:
    """It is said which program is missing."""
    fake(FORWARDS)
    with pytest.raises(EngineError, match="there is no ssh program here"):
        tunnels.reach("ssh://box", {"PATH": str(tmp_path)})


def test_a_connection_that_hangs(
    fake: Fake, tunnels: Tunnels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is bounded, and its process ended."""
    monkeypatch.setattr(ssh_tunnel, "OPEN_SECONDS", 0.3)
    with pytest.raises(EngineError) as caught:
        tunnels.reach("ssh://box", fake("#!/bin/sh\necho stuck >&2\nexec sleep 60\n"))
    assert "no connection within 0.3 s" in caught.value.cause


def test_a_tunnel_ends_with_a_killed_process(fake: Fake, tmp_path: Path) -> None:
    """And the next process removes what it left; what a living one holds stays."""
    environ = {**fake(FORWARDS), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = "import signal; from harness.engine.ssh_tunnel import reach; "
    code += "print(reach('ssh://box'), flush=True); signal.pause()"
    with subprocess.Popen(  # noqa: S603  argv list, no shell
        [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        path = Path(process.stdout.readline().strip().removeprefix("unix://"))
        tunnel = int((tmp_path / "pid").read_text())
        sweep(PREFIX)
        assert path.is_socket()
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not running(tunnel), what="the end of ssh", deadline=Deadline.after(10))
    assert path.exists()
    sweep(PREFIX)
    assert not path.parent.exists()


def running(pid: int) -> bool:
    """Return whether a process still runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
