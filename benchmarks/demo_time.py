"""How long does `softprompt demo` take, beside the same with the sources of an older commit?

    python benchmarks/demo_time.py --before 941970f

Everything from the command to its end, with the backbone already fetched; the sources in turn, under the
same libraries. The last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import finish, medians

ROOT = Path(__file__).parent.parent


def demonstration(root: Path, folder: Path) -> tuple[float, list[float]]:
    """Seconds of one demonstration with the sources of a checkout, and the BLEU that it printed twice."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, "-m", "softprompt.cli.app", "demo", "--output", str(folder)]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, encoding="utf-8", check=True
    )
    seconds = time.perf_counter() - start
    return seconds, [float(n) for n in re.findall(r"([\d.]+) (?:before|after)\b", done.stdout)]


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, help="commit of the older sources")
    parser.add_argument("--rounds", type=int, default=2, help="demonstrations of each")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    git = ["git", "-C", str(ROOT), "worktree"]
    seconds: dict[str, list[float]] = {options.before: [], "now": []}
    bleu: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        older = Path(scratch) / "older"
        subprocess.run([*git, "add", "--quiet", "--detach", str(older), options.before], check=True)
        try:
            for i in range(options.rounds):
                for name, root in ((options.before, older), ("now", ROOT)):
                    took, bleu[name] = demonstration(root, Path(scratch) / f"{name}-{i}")
                    seconds[name].append(took)
                    print(f"{name:<10} {took:6.1f} s   BLEU before, after: {bleu[name]}", flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", str(older)], check=True)
    finish(
        "demo_time", {"seconds": seconds, "medians": medians(seconds), "bleu": bleu}, "bfloat16", options.save
    )


if __name__ == "__main__":
    main()
