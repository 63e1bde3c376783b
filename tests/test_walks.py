"""How far one has to read for a training step, see `tools/walks.py`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_training_step_passes_few_files_and_none_twice():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "walks.py")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a step in at most 20 files, none of which call each other: yes" in done.stdout
