"""An `abra` that is a shell script: a real process, which writes down how it was called."""

from __future__ import annotations

import os
from pathlib import Path

RECORD = """#!/bin/sh
{{ for word in "$@"; do printf '%s\\n' "$word"; done; echo --; }} >> {directory}/argv
env > {directory}/env
{body}
"""
VERSION = "abra version 0.10.0-beta-1a2b3c4"


def make_abra(directory: Path, body: str = f"echo '{VERSION}'", *, name: str = "abra") -> Path:
    """Make a program of that name in that directory, which does what `body` says."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(RECORD.format(directory=directory, body=body))
    path.chmod(0o755)
    return path


def environ_with(directory: Path, **more: str) -> dict[str, str]:
    """Return an environment in which that directory comes first on PATH."""
    return {"PATH": f"{directory}:{os.defpath}", "HOME": str(directory), **more}


def calls(directory: Path) -> list[list[str]]:
    """Return each call's words, in order."""
    found = (directory / "argv").read_text().split("--\n")
    return [call.splitlines() for call in found if call]
