"""Where the real data sets lie."""

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of data sets: `SOFTPROMPT_DATA`, or `../shared/data` beside the working directory."""
    return Path(os.environ.get("SOFTPROMPT_DATA", Path("..") / "shared" / "data"))
