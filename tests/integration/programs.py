"""The programs named abra that the platform `abra` is tried with: a stand-in, and the real one."""

import os
import sys
from pathlib import Path

import pytest

from harness.core.errors import AbraError
from harness.core.settings import default_cache
from harness.platforms.abra.program import detect, find
from tests.integration.support import ROOT

STAND_IN = Path(__file__).with_name("stand_in_abra.py")
PROGRAMS = ("stand-in", "real")


def abra_on_path(program: str, directory: Path) -> str:
    """Return a PATH on which that program comes first; the test is skipped where there is none."""
    before = os.environ.get("PATH", os.defpath)
    if program == "stand-in":
        directory.mkdir(parents=True)
        script = directory / "abra"
        call = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" "{STAND_IN}" "$@"'
        script.write_text(f"#!/bin/sh\n{call}\n")
        script.chmod(0o755)
        return f"{directory}:{before}"
    try:
        detect(os.environ, default_cache(os.environ))
    except AbraError as error:
        pytest.skip(str(error))
    found = find(os.environ, default_cache(os.environ))
    assert found
    return f"{found.parent}:{before}"
