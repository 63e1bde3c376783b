"""What docs/families.md says of a model is what comes of running it.

`python tools/zoo.py` runs every family and writes the tables; `-m slow` runs them all as tests.
"""

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from zoo.kinds import KINDS
from zoo.outcomes import outcome


def kept(kind: str) -> dict[str, dict[str, Any]]:
    return json.loads((Path(__file__).parent / "kept" / f"{kind}.json").read_text(encoding="utf-8"))


FAMILIES = [
    pytest.param(kind, family, marks=() if family in KINDS[kind].sample else pytest.mark.slow)
    for kind in KINDS
    for family in KINDS[kind].classes
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_of_transformers_is_in_the_table(kind: str):
    assert set(kept(kind)) == set(KINDS[kind].classes)


@pytest.mark.parametrize("kind", KINDS)
def test_no_cell_is_wrong(kind: str):
    for family, row in kept(kind).items():
        assert row["not_built"] or set(row["methods"]) == set(KINDS[kind].methods), family
        for method, came in row["methods"].items():
            assert came == "equal" or came.startswith("refused: "), (family, method, came)


@pytest.mark.parametrize(("kind", "family"), FAMILIES)
def test_family(kind: str, family: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that nobody would use so small
        came = json.loads(json.dumps(asdict(outcome(KINDS[kind], family))))
    row = kept(kind)[family]
    assert came["methods"] == row["methods"]
    assert bool(came["not_built"]) == bool(row["not_built"])
