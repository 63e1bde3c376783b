"""No combination that settings accept diverges from its defaults: on tiny random models here, on real ones in
docs/choosing.md."""

import statistics
from itertools import product
from typing import Any

import pytest

from softprompt.config import parse_run
from softprompt.training.run import train
from softprompt.training.run_folder import RunFolder
from support.folders import write_lines
from support.questions import reader
from support.reading import llama
from training.test_multitask_run import TEXTS, reading

STEPS = 24

NETWORKS: list[dict[str, Any]] = [
    {"name": name, "reparameterization": network, "initialization": start}
    for name, network, start in product(
        ("prefix_tuning", "p_tuning_v2", "prompt_tuning"),
        ("mlp", None),
        ("examples:2", "random", "zero", "vocabulary", "text: the mill"),
    )
]
BESIDE: list[dict[str, Any]] = [
    {"name": "p_tuning_v2", "reparameterization": network, "tune": tune}
    for network, tune in product(("mlp", None), ("all", "bitfit", "layernorm", "last:1"))
]
ALONE: list[dict[str, Any]] = [
    {"name": "head_only"},
    {"name": "adapter"},
    *({"name": "fine_tuning", "tune": tune} for tune in ("all", "bitfit", "layernorm", "last:1")),
]


def losses(folder, backbone, method, **sections) -> list[float]:
    """Of the steps of a run by its defaults."""
    settings = parse_run(
        {
            "name": "run", "output": str(folder), "method": method,
            "training": {"steps": STEPS, "batch_size": 4, "checkpoint_every": None}, **sections,
        }
    )  # fmt: skip
    run = RunFolder(train(settings, backbone=backbone).folder)
    return [line["loss"] for line in run.lines() if line["kind"] == "step"]


def not_worse(steps):
    return statistics.mean(steps[-6:]) < 1.3 * statistics.mean(steps[:2]) + 0.2


def named(method):
    return "-".join(str(value) for value in method.values())


def sample(methods, every, offset=0):
    """Every so many of them in each test run, all of them with `-m slow`."""
    return [
        pytest.param(one, id=named(one), marks=[] if i % every == offset else [pytest.mark.slow])
        for i, one in enumerate(methods)
    ]


@pytest.mark.parametrize("method", sample([*NETWORKS, *BESIDE, *ALONE], 11))
def test_with_a_head(tmp_path, method):
    data = reading(tmp_path, "mood", 12)
    del data["data"]["dev"], data["data"]["test"]
    assert not_worse(losses(tmp_path, reader("bert"), method, **data))


@pytest.mark.parametrize(
    "method",
    sample(
        [one for one in [*NETWORKS, *BESIDE, *ALONE] if one["name"] not in ("head_only", "adapter")], 7, 3
    ),
)
def test_without_a_head(tmp_path, method):
    rows = [{"source": text, "target": other} for text, other in zip(TEXTS, reversed(TEXTS), strict=True)]
    if method.get("tune") == "bitfit":
        method = method | {"tune": "biases"}  # Llama has none of its own
    data = {"data": {"format": "jsonl", "train": write_lines(tmp_path, "pairs.jsonl", rows)}}
    assert not_worse(losses(tmp_path, llama(), method, **data))
