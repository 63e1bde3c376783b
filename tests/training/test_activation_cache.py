"""Runs with a trunk cache: the same prompt as without, facts of it, resuming, refusals."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from softprompt.config import MixtureSettings, RunSettings, parse_run
from softprompt.errors import ConfigError
from softprompt.prompts.loading import load_prompt
from softprompt.training.run import train
from support.folders import write_lines
from support.interrupts import interrupted_before
from support.prompts import close
from support.questions import reader

TEXTS = [
    "the mill",
    "blue food is in the city",
    "is it",
    "a very long text of the mill",
    "food",
    "in the city",
]
METHOD = {"name": "p_tuning_v2", "length": 3, "layers": "last:1"}


def settings(
    folder: Path, name: str = "run", method: dict[str, Any] | None = None, **training: Any
) -> RunSettings:
    """Six epochs over six labelled texts, with a development set of four."""
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(TEXTS)]
    files = {
        "train": write_lines(folder, "train.jsonl", rows),
        "dev": write_lines(folder, "dev.jsonl", rows[1:5]),
    }
    files["test"] = write_lines(folder, "test.jsonl", rows[2:4])
    return parse_run(
        {
            "name": name, "output": str(folder / "runs"),
            "backbone": {"name": "tiny", "dtype": "float32", "device": "cpu"},
            "method": method or METHOD,
            "data": {"format": "labelled_jsonl", **files},
            "task": {"name": "classification", "head_dropout": 0.0},
            "training": {"epochs": 6, "batch_size": 3, "learning_rate": 0.05, **training},
        }
    )  # fmt: skip


def tensors(folder: Path, backbone: Any) -> dict[str, torch.Tensor]:
    return load_prompt(folder / "prompt", backbone).tensors()


@pytest.mark.parametrize("method", ["prefix", "head", "adapter"])
def test_a_run_ends_as_without(tmp_path, method):
    backbone = reader("bert")
    chosen: dict[str, Any] = {
        "prefix": METHOD,
        "head": {"name": "head_only"},
        "adapter": {"name": "adapter", "width": 4, "layers": "last:1"},
    }[method]  # fmt: skip
    plain = train(settings(tmp_path, "plain", chosen), backbone=backbone)
    told = io.StringIO()
    result = train(
        settings(tmp_path, "cached", chosen, trunk_cache={"store": "memory", "limit": "1 MB"}),
        backbone=backbone, console=Console(file=told, width=200),
    )  # fmt: skip
    for key, tensor in tensors(plain.folder, backbone).items():
        close(tensors(result.folder, backbone)[key], tensor, 1e-3)
    assert result.scores == plain.scores
    assert "trunk_cache" not in plain.facts
    facts = result.facts["trunk_cache"]
    # Training and development texts are the same six; all else of 6 epochs and 7 evaluations was found.
    assert (facts["rows_computed"], facts["rows_found"]) == (6, 6 * 6 + 7 * 4 - 6)
    assert (facts["kept_rows"], facts["rows_not_kept"]) == (6, 0)
    assert facts["layers"] == 3
    assert facts["layers_below"] == (3 if method == "head" else 2)
    assert facts["limit_bytes"] == 1_000_000
    assert facts["store"] == "memory"
    assert 0 < facts["kept_bytes"] < 10_000
    assert "trunk cache: layers below" in told.getvalue()
    assert f"{facts['rows_found']} of {6 * 6 + 7 * 4} rows were found" in told.getvalue()
    assert json.loads((result.folder / "result.json").read_text("utf-8"))["trunk_cache"] == facts
    stored = load_prompt(result.folder / "prompt", backbone).card.training["training"]["trunk_cache"]
    assert stored == {"store": "memory", "limit": "1 MB", "folder": None}


def test_selection_by_a_metric_reads_the_development_set_from_the_cache(tmp_path):
    backbone = reader("bert")
    chosen = settings(tmp_path, select="accuracy", trunk_cache={"store": "memory"})
    assert train(chosen, backbone=backbone).facts["trunk_cache"]["rows_computed"] == 6


def test_the_limit_is_said_once_and_counted(tmp_path):
    backbone = reader("bert")
    told = io.StringIO()
    chosen = settings(tmp_path, trunk_cache={"store": "memory", "limit": "1.5 kB"})
    facts = train(chosen, backbone=backbone, console=Console(file=told, width=200)).facts["trunk_cache"]
    assert told.getvalue().count("trunk cache: full") == 1
    assert 0 < facts["kept_rows"] < 6
    assert facts["kept_bytes"] <= 1500
    assert facts["rows_not_kept"] > 0
    assert facts["rows_computed"] == facts["kept_rows"] + facts["rows_not_kept"]


def test_interrupted_and_resumed_is_uninterrupted(tmp_path):
    backbone = reader("bert")
    cache = {"store": "memory", "limit": "1 MB"}
    whole = train(settings(tmp_path, "whole", trunk_cache=cache), backbone=backbone)
    with interrupted_before(5):
        train(settings(tmp_path, "cut", trunk_cache=cache), backbone=backbone)
    cut = train(settings(tmp_path, "cut", trunk_cache=cache), resume=True, backbone=backbone)
    assert cut.facts["trunk_cache"]["rows_computed"] == 6
    for key, tensor in tensors(whole.folder, backbone).items():
        close(tensors(cut.folder, backbone)[key], tensor, 1e-3)


def test_a_run_may_go_on_with_another_cache_or_none(tmp_path):
    backbone = reader("bert")
    with interrupted_before(0):
        train(settings(tmp_path, trunk_cache={"store": "memory"}), backbone=backbone)
    assert "trunk_cache" not in train(settings(tmp_path), resume=True, backbone=backbone).facts


@pytest.mark.parametrize("prompts", ["separate", "shared"])
def test_several_prompts_in_one_batch(tmp_path, prompts):
    backbone = reader("bert")
    parts = {}
    for i, part in enumerate(("one", "two")):
        rows = [{"text": text, "label": "ab"[(i + j) % 2]} for j, text in enumerate(TEXTS[i : i + 5])]
        files = {split: write_lines(tmp_path, f"{part}-{split}.jsonl", rows) for split in ("train", "dev")}
        parts[part] = {
            "data": {"format": "labelled_jsonl", **files},
            "task": {"name": "classification", "head_dropout": 0.0},
        }

    def mixture(name: str, **training: Any) -> MixtureSettings:
        return MixtureSettings.model_validate(
            {
                "name": name, "output": str(tmp_path / "runs"), "prompts": prompts, "parts": parts,
                "backbone": {"name": "tiny", "dtype": "float32", "device": "cpu"}, "method": METHOD,
                "training": {
                    "steps": 8, "batch_size": 3, "learning_rate": 0.05, "evaluate_every": 4, **training
                },
            }
        )  # fmt: skip

    plain = train(mixture("plain"), backbone=backbone)
    result = train(mixture("cached", trunk_cache={"store": "memory"}), backbone=backbone)
    for part in parts:
        ours, theirs = (tensors(r.folder / part, backbone) for r in (result, plain))
        for key, tensor in theirs.items():
            close(ours[key], tensor, 2e-3)
    assert result.facts["trunk_cache"]["rows_computed"] == 6  # texts, whichever part they are of
    assert result.facts["trunk_cache"]["layers_below"] == 2


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "method", "reason"),
    [
        ("bert", {"name": "p_tuning_v2", "length": 3}, "key/values in layer 0"),
        ("bert", {"name": "prompt_tuning", "length": 3}, "soft tokens before the text"),
        ("bert", {"name": "fine_tuning", "tune": "all"}, "a tuned tensor"),
        (
            "bert",
            {"name": "p_tuning_v2", "length": 3, "layers": "last:1", "tune": "bitfit"},
            "a tuned tensor",
        ),
        ("albert", METHOD, "share one module"),
        ("t5", METHOD, "an encoder-decoder"),
    ],
)
def test_what_has_no_trunk_is_refused_before_anything_is_written(tmp_path, family, method, reason):
    if method["name"] == "p_tuning_v2" and family == "t5":
        method = {**method, "sites": ["encoder"]}
    with pytest.raises(ConfigError, match=rf"training\.trunk_cache: got .*{reason}"):
        train(settings(tmp_path, method=method, trunk_cache={"store": "memory"}), backbone=reader(family))
    assert not (tmp_path / "runs" / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_dropout": True, "trunk_cache": {"store": "memory"}}, r"with training\.backbone_dropout"),
        ({"trunk_cache": {"store": "gpu"}}, r"training\.trunk_cache\.store"),
        ({"trunk_cache": {}}, r"training\.trunk_cache\.store"),
        ({"trunk_cache": {"store": "memory", "limit": "much"}}, "a number above 0 with a unit"),
        ({"trunk_cache": {"store": "memory", "limit": "5"}}, "a number above 0 with a unit"),
        ({"trunk_cache": {"store": "memory", "limit": 5}}, "a number above 0 with a unit"),
        ({"trunk_cache": {"store": "memory", "limit": "0 GB"}}, "a number above 0 with a unit"),
        ({"trunk_cache": {"store": "memory", "limit": "-1 GB"}}, "a number above 0 with a unit"),
        (
            {"trunk_cache": {"store": "disk"}},
            r"trunk_cache\.store: got 'disk', expected 'memory', since states are no longer kept on a disk",
        ),
        (
            {"trunk_cache": {"store": "memory", "folder": "here"}},
            r"trunk_cache\.folder: got 'here', expected no folder, since states are no longer kept on a disk",
        ),
        ({"trunk_cache": {"store": "memory", "size": "1 GB"}}, r"trunk_cache\.size"),
    ],
)
def test_settings_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **changes)


def test_limits_are_read_with_their_units():
    from softprompt.config.training import TrunkCacheSettings

    for text, n in (
        ("2 GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("1.5 MB", 1_500_000),
        ("7 b", 7),
        ("3kB", 3000),
    ):
        assert TrunkCacheSettings(store="memory", limit=text).limit_bytes == n


def test_settings_of_older_runs_are_read(tmp_path):
    chosen = settings(tmp_path, trunk_cache={"store": "memory", "limit": "2 GB", "folder": None})
    assert chosen.training.trunk_cache is not None
    assert chosen.training.trunk_cache.limit_bytes == 2 * 10**9


def test_a_run_that_kept_states_on_a_disk_goes_on_with_memory(tmp_path):
    """As an older release began it."""
    backbone = reader("bert")
    with interrupted_before(0):
        train(settings(tmp_path, trunk_cache={"store": "memory"}), backbone=backbone)
    for name in ("asked.yaml", "settings.yaml"):
        path = tmp_path / "runs" / "run" / name
        text = path.read_text("utf-8")
        assert "store: memory" in text
        path.write_text(text.replace("store: memory", "store: disk"), "utf-8")
    facts = train(settings(tmp_path, trunk_cache={"store": "memory"}), resume=True, backbone=backbone).facts
    assert facts["trunk_cache"]["rows_computed"] == 6
