"""What docs/families.md says of causal models is what comes of running them.

`python tools/zoo.py` runs every family and writes the table; `-m slow` runs them all as tests.
"""

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import pytest

from zoo.outcomes import CAUSAL, outcome

KEPT = json.loads((Path(__file__).parent / "causal.json").read_text(encoding="utf-8"))

# One family for each way in which soft tokens or prefixes reach a model, or do not.
SAMPLE = (
    "bloom", "blenderbot", "ctrl", "deepseek_v3", "doge", "fuyu", "gemma3", "hrm_text", "jamba", "lfm2",
    "mamba", "prophetnet", "qwen3_5_text",
)  # fmt: skip


def test_every_family_of_transformers_is_in_the_table():
    assert set(KEPT) == set(CAUSAL)


def test_no_cell_is_wrong():
    for family, row in KEPT.items():
        for method, came in row["methods"].items():
            assert came == "equal" or came.startswith("refused: "), (family, method, came)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in CAUSAL]
)
def test_family(family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that nobody would use so small
        came = json.loads(json.dumps(asdict(outcome(family))))
    kept = KEPT[family]
    assert came["methods"] == kept["methods"]
    assert bool(came["not_built"]) == bool(kept["not_built"])
