"""Python runs this at its start, where it is on the path."""

import os
import tempfile
from pathlib import Path

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()
