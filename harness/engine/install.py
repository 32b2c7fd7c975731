"""An engine from the distribution, on Debian and Ubuntu, as root, by apt; said aloud beforehand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core import proc
from harness.core.errors import EngineError, ProcessError
from harness.core.waiting import stretched

OS_RELEASE = Path("/etc/os-release")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
_UPDATE_SECONDS = 300.0
_INSTALL_SECONDS = 1200.0

Run = Callable[..., proc.Completed]
Find = Callable[[str], str | None]


def search_path(environment: Mapping[str, str]) -> str:
    """Return PATH with the system's own folders: `su` drops them, and dockerd lies there."""
    return f"{environment.get('PATH') or os.defpath}:{_SYSTEM_FOLDERS}"


def finder(environment: Mapping[str, str]) -> Find:
    """Return what finds a program, in the system's own folders as well."""
    path = search_path(environment)
    return lambda name: shutil.which(name, path=path)


def distribution(os_release: Path = OS_RELEASE) -> str:
    """Return "debian" or "ubuntu" for those and what is made from them, else ""."""
    try:
        lines = os_release.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    like = " ".join(pairs.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")).split()
    return next((name for name in like if name in {"debian", "ubuntu"}), "")


def install(
    *,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    run: Run = proc.run,
    find: Find,
    apparmor: Path = APPARMOR,
) -> None:
    """Install the distribution's engine and what it needs to start, by apt.

    On a machine with systemd the package starts an engine of its own; the caller asks again.

    Raises:
        EngineError: apt could not do it; its last words are in `detail`.
    """
    quiet = {**environment, "DEBIAN_FRONTEND": "noninteractive", "PATH": search_path(environment)}
    say("no Docker engine here: installing the package docker.io with apt-get")
    _update(quiet, run=run, say=say)
    _apt_install(["docker.io"], quiet, run=run)
    missing = _still_missing(find, apparmor)
    if missing:
        say(f"installing what docker.io did not bring along: {', '.join(missing)}")
        _apt_install(missing, quiet, run=run)


def _still_missing(find: Find, apparmor: Path) -> list[str]:
    # Recommended packages are left out, and newer releases put the command line in one of those.
    missing = []
    if find("docker") is None:
        missing.append("docker-cli")
    if find("iptables") is None:
        missing.append("iptables")
    if _enabled(apparmor) and find("apparmor_parser") is None:
        missing.append("apparmor")  # with AppArmor in the kernel, dockerd must load a profile
    return missing


def _enabled(apparmor: Path) -> bool:
    try:
        return apparmor.read_text().strip() == "Y"
    except OSError:
        return False


def _update(environment: Mapping[str, str], *, run: Run, say: Callable[[str], None]) -> None:
    try:
        run(["apt-get", "update"], timeout=stretched(_UPDATE_SECONDS), env=environment)
    except ProcessError as error:
        # One broken source of many is no reason to give up: the old lists may do.
        last = (error.stderr.strip() or error.what).splitlines()[-1]
        say(f"apt-get update failed ({last}); trying with the package lists at hand")


def _apt_install(names: list[str], environment: Mapping[str, str], *, run: Run) -> None:
    argv = ["apt-get", "install", "-y", "--no-install-recommends"]
    argv += ["-o", "DPkg::Lock::Timeout=120", *names]
    try:
        run(argv, timeout=stretched(_INSTALL_SECONDS), env=environment)
    except ProcessError as error:
        raise EngineError(
            f"apt-get could not install {', '.join(names)}",
            cause="the package sources of this machine do not serve it, or cannot be reached",
            hint=f"apt-get update && apt-get install {' '.join(names)}; or point DOCKER_HOST at "
            "an engine",
            detail=error.detail or error.what,
        ) from error
