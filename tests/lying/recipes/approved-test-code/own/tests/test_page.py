"""Leaves word that it was run, and asserts something true."""

import os
import tempfile
from pathlib import Path

from harness.assertions.app import App

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()


def test_the_seeded_page_is_there(app: App) -> None:
    """The hook above made it."""
    assert app.http_get("/seeded.html").status == 200
