"""tools/fuzz.py counts every outcome, and goes on after a process that ends; failures can be made again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, random, sys, time, types
sys.path.insert(0, "tools")
import fuzz
fuzz.SECONDS, fuzz.PATIENCE, fuzz.BATCH = 0.3, 3, 4
KINDS = ["read", "refused", "wrong", "foreign", "busy", "waits", "dies", "large", "same", "loaded"]
numbers = {random.Random(number).random(): kind for number, kind in enumerate(KINDS)}
module = types.ModuleType("module")

def attempt(random, scratch):
    kind = numbers[random.random()]
    if kind == "wrong":
        raise AssertionError("another text")
    if kind == "foreign":
        raise KeyError("x")
    while kind == "busy":
        pass
    if kind == "waits":
        time.sleep(60)
    if kind == "dies":
        os._exit(3)
    if kind == "large":
        bytearray(3 << 30)
    return kind

module.attempt = attempt
for case in sorted(fuzz._all_cases("data", module, range(10), 2), key=lambda case: case.number):
    print(case.number, case.outcome, case.again, case.said)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory by process, and forks")
def test_every_outcome():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": "src:tests"},
    )  # fmt: skip
    lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.strip()]
    expected = "taken refused wrong foreign hang hang foreign foreign taken taken".split()
    assert [(line[0], line[1]) for line in lines] == [(str(n), one) for n, one in enumerate(expected)], (
        done.stderr
    )
    assert "--again data:2 'another text'" in lines[2][2]
    assert "KeyError" in lines[3][2] and "MemoryError" in lines[7][2] and "status" in lines[6][2]
