"""The examples that a prompt begins from: the draw with the lowest loss, and nothing else."""

import json
import math
import random
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.config import ClassificationSettings, DecodingSettings, GenerationSettings, parse_run
from softprompt.data.records import Record, pairs
from softprompt.errors import ConfigError, DataError
from softprompt.tasks import build_task
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import mean_loss
from softprompt.training.run import train
from softprompt.training.setup import build_run
from softprompt.training.setup.example_search import JUDGES, best_start
from support.tokenizer import byte_level

PROCESSES = Processes("cpu")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    tokenizer = byte_level()
    torch.manual_seed(0)
    special: Any = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3, **special,
    )  # fmt: skip
    return softprompt.load_backbone(LlamaForCausalLM(config).eval(), tokenizer=tokenizer)


def settings(tmp_path: Any, method: dict[str, Any], name: str = "one", **training: Any) -> Any:
    return parse_run(
        {
            "name": name,
            "output": str(tmp_path),
            "backbone": {"name": "given", "device": "cpu"},
            "method": {"name": "prefix_tuning", "reparameterization": None, **method},
            "data": {"format": "restaurants", "train_size": 40, "dev_size": 2, "test_size": 2},
            "decoding": {"strategy": "greedy", "max_new_tokens": 4},
            "training": {"steps": 0, "batch_size": 8, "seed": 3, **training},
        }
    )


def test_the_lowest_loss_is_where_a_run_begins(backbone, tmp_path):
    asked = settings(tmp_path, {"initialization": "examples:1", "draws": 5})
    parts = build_run(asked, PROCESSES, backbone)
    shown, losses = [], []

    def build(examples: Any) -> Any:
        shown.append(examples)
        return softprompt.prefix_tuning(
            backbone, reparameterization=None, initialization="examples:1", examples=examples, seed=3
        )

    chosen = best_start(backbone, parts.task, parts.splits.train, 1, 5, build, PROCESSES, seed=3)
    # by hand: the judges are the records that no draw comes from
    contents = {tuple(parts.task.demonstrations([record], 1, 0)[0]) for record in parts.splits.train}
    drawn = {tuple(ids) for examples in shown for ids in examples}
    assert len(shown) == 5 and 1 < len(drawn) <= 5 and drawn <= contents
    judged = _judges(parts, 3)
    assert len(judged) == 20 and not drawn & {
        tuple(parts.task.demonstrations([record], 1, 0)[0]) for record in judged
    }
    for examples in shown:
        prompt = softprompt.prefix_tuning(
            backbone, reparameterization=None, initialization="examples:1", examples=examples, seed=3
        )
        total, n = 0.0, 0
        for record in judged:
            example = parts.task.encode(record)
            with torch.no_grad(), backbone.prompted(prompt):
                total += float(parts.task.loss([example]))
            n += example.n_targets
        losses.append(total / n)
    assert chosen.losses == pytest.approx(losses, rel=1e-5)
    assert len(set(chosen.losses)) > 1
    best = losses.index(min(losses))
    wanted = softprompt.prefix_tuning(
        backbone, reparameterization=None, initialization="examples:1", examples=shown[best], seed=3
    )
    for got in (chosen.prompt, parts.prompt):
        assert got.length == len(shown[best][0])
        for mine, theirs in zip(got.parameters(), wanted.parameters(), strict=True):
            assert torch.equal(mine, theirs)
    assert parts.draw_losses == pytest.approx(losses, rel=1e-5)


def _judges(parts: Any, seed: int) -> list[Any]:
    records = list(parts.splits.train)
    return random.Random(f"draws {seed}").sample(records, len(records))[: min(JUDGES, len(records) // 2)]


def test_one_draw_is_the_plain_start(backbone, tmp_path):
    plain = build_run(settings(tmp_path, {"initialization": "examples:2"}), PROCESSES, backbone)
    one = build_run(settings(tmp_path, {"initialization": "examples:2", "draws": 1}), PROCESSES, backbone)
    assert one.draw_losses == () == plain.draw_losses
    for mine, theirs in zip(one.prompt.parameters(), plain.prompt.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("method", ["prefix_tuning", "prompt_tuning"])
def test_a_run_says_what_it_drew_and_begins_there_again(backbone, tmp_path, method):
    asked = settings(tmp_path, {"name": method, "initialization": "examples:1", "draws": 3}, name=method)
    result = train(asked, backbone=backbone)
    lines = (result.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    losses = json.loads(lines[0])["draw_losses"]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    stored = softprompt.load_prompt(result.folder / "prompt", backbone)
    parts = build_run(asked, PROCESSES, backbone)
    assert list(parts.draw_losses) == losses
    encoded = [parts.task.encode(record) for record in _judges(parts, 3)]
    assert mean_loss(backbone, parts.task, stored, encoded, 8, PROCESSES) == pytest.approx(
        min(losses), rel=1e-5
    )


def test_a_task_with_a_head_is_refused(backbone):
    labels = ClassificationSettings(labels=["a", "b"])
    task = build_task(backbone, labels, DecodingSettings(), ("a", "b"), ("text",))
    with pytest.raises(ConfigError, match=r"method\.draws: got 2 for a task with a head, expected 1,"):
        best_start(backbone, task, [], 1, 2, lambda examples: None, PROCESSES, 0)  # type: ignore[arg-type, return-value]


def test_too_few_records_are_refused(backbone):
    task = build_task(backbone, GenerationSettings(), DecodingSettings())
    records = pairs([Record(str(i), f"text {i}", ["answer"]) for i in range(4)])
    with pytest.raises(DataError, match="got 3, expected at most 2"):
        best_start(backbone, task, records, 3, 2, lambda examples: None, PROCESSES, 0)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("start", ["vocabulary", "text: a", "random"])
def test_draws_without_examples_are_refused(tmp_path, start):
    with pytest.raises(
        ConfigError,
        match=r"method\.draws: got 4 with initialization '.*', expected an initialization 'examples:k'",
    ):
        settings(tmp_path, {"initialization": start, "draws": 4})
