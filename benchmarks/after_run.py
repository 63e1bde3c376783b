"""What does a process hold when a run has ended, with freed pages given back to the machine and without?

    python benchmarks/after_run.py

A prefix of 10 on SmolLM2-135M in float32, 3 steps of 4 pairs; a process for each way, on Linux with glibc,
where `training/memory.py` calls `malloc_trim`. The last line is JSON; `--save` also writes it to
benchmarks/results/.
"""

import argparse
import json
import tempfile
from pathlib import Path
from unittest import mock

from common import finish, in_a_process_of_its_own, peak_bytes

from softprompt.config import parse_run
from softprompt.training import memory, train

WAYS = ("given back", "kept")


def run_once(way: str) -> dict[str, int]:
    """Bytes of this process at its peak and after a run."""
    with tempfile.TemporaryDirectory() as folder:
        settings = parse_run(
            {
                "name": "run",
                "output": folder,
                "backbone": {"name": "smollm2-135m", "dtype": "float32"},
                "method": {"name": "prefix_tuning", "length": 10, "initialization": "vocabulary"},
                "data": {"format": "restaurants", "train_size": 16, "dev_size": 4, "test_size": 4},
                "decoding": {"strategy": "greedy", "max_new_tokens": 8},
                "training": {"steps": 3, "batch_size": 4},
            }
        )
        if way == "given back":
            train(settings)
        else:
            with mock.patch.object(memory, "_trim", return_value=None):
                train(settings)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return {"peak_bytes": peak_bytes(), "held_bytes": 1024 * int(held.split()[1])}


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run_once(options.way)))
        return
    found = {way: in_a_process_of_its_own(__file__, "--way", way) for way in WAYS}
    print(f"{'freed pages':<12} {'peak MB':>8} {'held MB':>8}")
    for way, values in found.items():
        print(f"{way:<12} {values['peak_bytes'] / 1e6:8.0f} {values['held_bytes'] / 1e6:8.0f}")
    finish("after_run", {"found": found}, "float32", options.save)


if __name__ == "__main__":
    main()
