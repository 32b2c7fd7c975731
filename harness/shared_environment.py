"""The one Python environment that every session shares, made once and reused until outdated.

It is made with virtualenv, which comes with nox, because Debian's own `venv` has no pip in it.
Racing sessions make it once: they share a lock. It counts as made when its stamp says so, so a
half-made one never counts.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from harness import locks, proc

INSTALL_SECONDS = 900.0
STAMP = "cc-ci.stamp"


def python(project: Path, *, say: Callable[[str], None]) -> str:
    """Return the environment's interpreter, after making or renewing the environment if need be.

    Args:
        project: the project's directory, with pyproject.toml in it.
        say: is told when it is made.

    Raises:
        ProcessError: it cannot be made; the message has pip's last words.
        LockTimeoutError: another session took too long to make it.
    """
    home = project / ".nox"
    environment = home / "env"
    interpreter = environment / "bin" / "python"
    wanted = _fingerprint(project)
    stamp = environment / STAMP
    if _read(stamp) == wanted:
        return str(interpreter)
    with locks.hold(
        home, "env", purpose="making the environment", timeout=INSTALL_SECONDS, say=say
    ):
        if _read(stamp) != wanted:
            say(f"making the environment {environment}")
            _make(project, environment, interpreter)
            stamp.write_text(wanted)
    return str(interpreter)


def _make(project: Path, environment: Path, interpreter: Path) -> None:
    proc.run(
        [sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(environment)],
        timeout=INSTALL_SECONDS,
    )
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    proc.run([*pip, "--editable", f"{project}[dev]"], timeout=INSTALL_SECONDS)


def _fingerprint(project: Path) -> str:
    declared = (project / "pyproject.toml").read_bytes()
    return hashlib.sha256(declared + f"\0{sys.version}\0{project}".encode()).hexdigest()


def _read(stamp: Path) -> str:
    return stamp.read_text() if stamp.exists() else ""
