"""Leaves word that it was run, and data for the backup."""

import os
import tempfile
from pathlib import Path

from harness.seeding import SeedContext

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()


def pre_backup(ctx: SeedContext) -> None:
    """Make a page."""
    ctx.app.exec_in_app("app", ["touch", "/usr/share/nginx/html/seeded.html"], timeout=30)
