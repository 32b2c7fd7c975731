"""Leaves word that it was run. This line was added after the approval."""

import os
import tempfile
from pathlib import Path

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()
