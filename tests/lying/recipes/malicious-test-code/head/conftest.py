"""Outside of tests/ it is no test code, and just as dangerous."""

import os
import tempfile
from pathlib import Path

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()
