"""Python runs this before any test is run."""

import os
import tempfile
from pathlib import Path

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()
