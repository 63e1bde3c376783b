"""docs/promises.md and SECURITY.md name tests and bounds that are there."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (?!promise)([^|]+) \| (.+) \|$", PROMISES.partition("<!-- make fuzz -->")[0], re.MULTILINE
)
BOUNDS = re.findall(
    r"\| ([\d,]+)(?: [a-z]+)? \| `([\w.]+)\.(\w+)` \|", (ROOT / "SECURITY.md").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("promise", "test"), ROWS, ids=[promise[:40] for promise, _ in ROWS])
def test_every_promise_has_its_test(promise, test):
    matched = re.fullmatch(r"\[\S+\]\(\.\./(\S+)\)`::(test_\w+)`", test)
    assert matched, test
    source = (ROOT / matched[1]).read_text(encoding="utf-8")
    assert re.search(rf"^def {matched[2]}\(", source, re.MULTILINE)


def test_rows_are_found():
    assert (
        len(ROWS)
        == sum(line.startswith("| ") and "](../tests/" in line for line in PROMISES.splitlines())
        > 20
    )


@pytest.mark.parametrize(("value", "module", "name"), BOUNDS, ids=[name for _, _, name in BOUNDS])
def test_bounds_are_those_of_the_code(value, module, name):
    assert getattr(importlib.import_module(f"softprompt.{module}"), name) == int(value.replace(",", ""))


def test_bounds_are_found():
    assert len(BOUNDS) == 7
