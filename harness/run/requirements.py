"""What a run needs: the machine that REQUIREMENTS asks for, and the directories of its settings.

They are checked before anything is deployed. A machine that is too small gives no verdict on a
recipe: that is an *error*, never *failed*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.capacity import free_bytes
from harness.core.errors import TestBedError, UsageError

GIB = 1024.0**3
IN_GIB = ("memory_gib", "disk_gib")
ROUNDING = 0.05  # of those: a machine sold as one of 4 GiB says a little less


def unmet(
    requirements: Mapping[str, Any], info: Mapping[str, Any], *, ipvs: bool | None, local: bool
) -> str:
    """Return what the machine lacks, in a sentence; empty when it lacks nothing.

    Args:
        requirements: the field of the recipe's meta, checked for its names and types.
        info: the engine's answer to `/info`.
        ipvs: whether its kernel has IPVS; None when that is not known.
        local: whether its disk is this machine's; that of another one cannot be asked.
    """
    has = _has(info, ipvs=ipvs, local=local)
    lacking = []
    for name, wanted in requirements.items():
        there = has[name]
        if there is not None and not _enough(name, there, wanted):
            lacking.append(f"{name} {there} instead of {wanted}")
    return ", ".join(lacking)


def require(
    recipe: str,
    requirements: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    ipvs: bool | None,
    local: bool,
) -> None:
    """Return when the machine has all that the recipe needs.

    Raises:
        TestBedError: it has not.
    """
    lacking = unmet(requirements, info, ipvs=ipvs, local=local)
    if lacking:
        raise TestBedError(
            f"this machine does not meet the requirements of {recipe}: {lacking}",
            cause="REQUIREMENTS in its recipe_meta.py asks for more",
            hint="run it on a larger machine, or lower what is asked for",
        )


def _has(info: Mapping[str, Any], *, ipvs: bool | None, local: bool) -> dict[str, Any]:
    """Return what the machine has, by the names of the requirements; None where it is not known."""
    root = Path(str(info.get("DockerRootDir") or "/nowhere"))
    free = free_bytes(root) if local and root.is_dir() else None
    return {
        "memory_gib": round(float(info["MemTotal"]) / GIB, 1),
        "processors": int(info["NCPU"]),
        "disk_gib": None if free is None else round(free / GIB, 1),
        "engine": str(info["ServerVersion"]),
        "architecture": str(info["Architecture"]),
        "ipvs": ipvs,
    }


def _enough(name: str, there: Any, wanted: Any) -> bool:  # noqa: ANN401  a number, text or bool
    if name == "engine":
        return _version(there) >= _version(wanted)
    if name in ("architecture", "ipvs"):
        return bool(there == wanted)
    return float(there) >= float(wanted) * (1 - (ROUNDING if name in IN_GIB else 0))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def make_output(directory: Path) -> None:
    """Make a directory below the one that runs go to.

    Raises:
        UsageError: nothing can be written there.
        OSError: the disk is full or broken.
    """
    try:
        directory.mkdir(parents=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UsageError(
            f"cannot write to --output: {error.filename}: {error.strerror}",
            hint="name a directory that you may write to",
        ) from error
