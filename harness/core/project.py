"""Where this project's own files lie: in a checkout, or where a wheel was installed."""

from __future__ import annotations

import sys
from pathlib import Path

_ABOVE = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (_ABOVE / "recipes.txt").is_file()
# recipes.txt, and `tests` with the generic assertions and the overlays; pyproject.toml ships them.
PROJECT = _ABOVE if IS_CHECKOUT else Path(sys.prefix) / "share" / "cc-ci"
PROGRAM = "python -m harness" if IS_CHECKOUT else "cc-ci"


def home() -> Path:
    """Return where cc-ci.toml and `runs` lie by default: the checkout, else where it is called."""
    return PROJECT if IS_CHECKOUT else Path.cwd()
