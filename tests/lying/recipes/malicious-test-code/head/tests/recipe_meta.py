"""A change must not decide what is asserted about itself."""

import os
import tempfile
from pathlib import Path

(Path(os.environ.get("TRUTH_CANARIES", tempfile.gettempdir())) / Path(__file__).name).touch()

SKIP_GENERIC = True
