"""The Python environments of the sessions: one to test recipes, one to develop the harness.

Each is made once, from a lock file with exact versions and hashes, and reused until that changes.
It is made with virtualenv, which comes with nox, because Debian's own `venv` has no pip in it.
Sessions that start at the same time make it once: they share a lock. It counts as made when its
stamp says so, so a half-made one never counts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
import tomllib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from harness.core import proc
from harness.locks import file_lock as locks

INSTALL_SECONDS = 900.0
STAMP = "cc-ci.stamp"
PATH_FILE = "cc-ci.pth"  # puts the project on the environment's path, without building a package


class Purpose(StrEnum):
    """What an environment is for; also the name of its lock file and of its folder in `.nox`."""

    RUN = "run"  # what testing a recipe needs
    DEV = "dev"  # the tests of the harness as well
    NEWEST = "newest"  # the same, in the newest versions that pyproject.toml allows


def lock_file(project: Path, purpose: Purpose) -> Path:
    """Return where the exact versions and hashes for that purpose stand."""
    return project / "locks" / f"{purpose}.txt"


def python(project: Path, purpose: Purpose, *, say: Callable[[str], None]) -> str:
    """Return the environment's interpreter, after making or renewing the environment if need be.

    Args:
        project: the project's directory, with pyproject.toml and `locks` in it.
        purpose: which of the environments.
        say: is told when it is made.

    Raises:
        ProcessError: it cannot be made; the message has pip's last words.
        LockTimeoutError: another session took too long to make it.
    """
    home = project / ".nox"
    environment = home / purpose
    interpreter = environment / "bin" / "python"
    wanted = _fingerprint(project, purpose)
    stamp = environment / STAMP
    if _read(stamp) == wanted:
        return str(interpreter)
    with locks.hold(
        home, purpose, purpose="making the environment", timeout=INSTALL_SECONDS, say=say
    ):
        if _read(stamp) != wanted:
            say(f"making the environment {environment} from {_origin(purpose)}")
            _make(project, purpose, environment, interpreter)
            stamp.write_text(wanted)
            say(f"installed {len(installed(project, purpose))} packages")
    return str(interpreter)


def installed(project: Path, purpose: Purpose) -> tuple[str, ...]:
    """Return each package that the environment has, with its version, sorted by name."""
    found = (project / ".nox" / purpose).glob("lib/python*/site-packages/*.dist-info")
    return tuple(sorted(path.stem.replace("-", " ", 1) for path in found))


def declared(project: Path) -> tuple[str, ...]:
    """Return the dependencies that pyproject.toml declares, those of developers included."""
    content = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    return (*content["dependencies"], *content["optional-dependencies"]["dev"])


def _origin(purpose: Purpose) -> str:
    if purpose is Purpose.NEWEST:
        return "the newest versions that pyproject.toml allows"
    return f"locks/{purpose}.txt"


def _make(project: Path, purpose: Purpose, environment: Path, interpreter: Path) -> None:
    # Not in the caller's directory, which may be a recipe's: `-m` would import modules from there.
    proc.run(
        [sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(environment)],
        timeout=INSTALL_SECONDS, cwd=project,
    )  # fmt: skip
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if purpose is Purpose.NEWEST:
        what = [*declared(project)]
    else:
        what = ["--require-hashes", "--requirement", str(lock_file(project, purpose))]
    proc.run([*pip, *what], timeout=INSTALL_SECONDS, cwd=project)
    for packages in environment.glob("lib/python*/site-packages"):
        (packages / PATH_FILE).write_text(f"{project}\n")


def _fingerprint(project: Path, purpose: Purpose) -> str:
    if purpose is Purpose.NEWEST:
        today = dt.datetime.now(tz=dt.UTC).date()
        origin = (project / "pyproject.toml").read_bytes() + f"\0{today}".encode()
    else:
        origin = lock_file(project, purpose).read_bytes()
    return hashlib.sha256(origin + f"\0{sys.version}\0{project}".encode()).hexdigest()


def _read(stamp: Path) -> str:
    return stamp.read_text() if stamp.exists() else ""
