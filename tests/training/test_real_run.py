"""Whole runs with real parts: a tiny random backbone in a folder, generated data, a real prompt."""

import json
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from softprompt.backbones.load import load_backbone
from softprompt.config import parse_run
from softprompt.prompts.loading import load_prompt
from softprompt.tasks.language.generation import GenerationTask
from softprompt.training.run import train
from support.launch import launch
from support.tokenizer import byte_level


@pytest.fixture(scope="module", params=["llama", "t5"])
def folder(request, tmp_path_factory):
    """A checkpoint folder as transformers writes it."""
    path = tmp_path_factory.mktemp(request.param)
    tokenizer = byte_level(ends=request.param == "t5")
    torch.manual_seed(0)
    special: Any = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if request.param == "llama":
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, attention_dropout=0.1, **special,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    else:
        special["decoder_start_token_id"] = 0
        config = T5Config(
            vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
            **special,
        )  # fmt: skip
        model = T5ForConditionalGeneration(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


METHODS: dict[str, dict[str, Any]] = {
    "prefix_tuning": {"initialization": "examples:1", "width": 8},
    "adapter": {"reduction": 8},
    "lora": {"rank": 2},
}


def settings(folder, tmp_path, name, method="prefix_tuning", dropout=0.1, **changes):
    training = {
        "steps": 8, "batch_size": 4, "accumulation": 2, "learning_rate": 0.03, "checkpoint_every": 3,
        "backbone_dropout": True,
    }  # fmt: skip
    dropping = {} if method == "adapter" else {"dropout": dropout}
    return parse_run(
        {
            "name": name,
            "output": str(tmp_path),
            "backbone": {"name": str(folder), "device": "cpu"},
            "method": {"name": method, **METHODS[method], **dropping},
            "data": {"format": "restaurants", "train_size": 14, "dev_size": 3, "test_size": 3},
            "decoding": {"strategy": "greedy", "max_new_tokens": 6},
            "training": {**training, **changes},
        }
    )


def tensors(path):
    from safetensors.torch import load_file

    return load_file(path / "prompt" / "prompt.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_like_uninterrupted_and_the_prompt_can_be_used(
    folder, tmp_path, monkeypatch, method
):
    if method == "lora":
        pytest.importorskip("peft")
    whole = train(settings(folder, tmp_path, "whole", method))
    plain, calls = GenerationTask.loss, []

    def stopping(self, examples):
        calls.extend([1] * torch.is_grad_enabled())
        # Inside the fifth step, whose first part is done.
        if len(calls) == 10:
            raise KeyboardInterrupt
        return plain(self, examples)

    monkeypatch.setattr(GenerationTask, "loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(settings(folder, tmp_path, "cut", method))
    monkeypatch.undo()
    assert list((tmp_path / "cut" / "checkpoints").iterdir())
    cut = train(settings(folder, tmp_path, "cut", method), resume=True)
    expected = tensors(whole.folder)
    assert expected.keys() == tensors(cut.folder).keys()
    for name, tensor in tensors(cut.folder).items():
        assert torch.equal(tensor, expected[name])
    assert cut.scores == whole.scores
    assert cut.facts["best"] == whole.facts["best"]

    lines = [json.loads(line) for line in (cut.folder / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "evaluation"]
    assert min(losses) < losses[0]
    backbone = load_backbone(folder, device="cpu")
    prompt = load_prompt(cut.folder / "prompt", backbone)
    assert prompt.card.training["training"]["steps"] == 8
    assert prompt.card.metrics == cut.scores[-1]["values"]
    given = settings(folder, tmp_path, "cut", method)
    task = GenerationTask(backbone, given.task, decoding=given.decoding)
    outputs = [json.loads(line) for line in (cut.folder / "outputs.jsonl").read_text("utf-8").splitlines()]
    from softprompt.data import load

    with backbone.prompted(prompt):
        assert task.predict(load(given.data).test) == [line["output"] for line in outputs]


def test_the_loss_falls_and_checkpointed_activations_change_nothing(folder, tmp_path):
    changes = {"backbone_dropout": False, "steps": 4, "accumulation": 1}
    one = train(settings(folder, tmp_path, "plain", **changes))
    other = train(settings(folder, tmp_path, "checkpointed", gradient_checkpointing=True, **changes))
    for name, tensor in tensors(other.folder).items():
        torch.testing.assert_close(tensor, tensors(one.folder)[name], rtol=1e-4, atol=1e-5)


def test_a_budget_of_tokens_gives_the_same_prompt(folder, tmp_path):
    changes = {"backbone_dropout": False, "steps": 4, "accumulation": 1, "dropout": 0.0}
    one = train(settings(folder, tmp_path, "plain", **changes))
    other = train(settings(folder, tmp_path, "budget", max_tokens_per_pass=60, **changes))
    for name, tensor in tensors(other.folder).items():
        torch.testing.assert_close(tensor, tensors(one.folder)[name], rtol=1e-4, atol=1e-5)


WORKER = """
import sys
import torch
torch.set_num_threads(1)
from softprompt.config import parse_run
from softprompt.training.run import train
import json, pathlib
train(parse_run(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))))
torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_prompt_of_one(folder, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    changes = {
        "backbone_dropout": False, "dropout": 0.0, "accumulation": 1, "batch_size": 5, "steps": 4,
        "max_tokens_per_pass": 90,
    }  # fmt: skip
    alone = train(settings(folder, tmp_path, "alone", **changes))
    recipe = tmp_path / "run.json"
    both = settings(folder, tmp_path, "both", **changes).model_dump(mode="json")
    both["backbone"]["device"] = None  # the launcher's
    recipe.write_text(json.dumps(both), encoding="utf-8")
    launch(WORKER, recipe)
    expected = tensors(alone.folder)
    for name, tensor in tensors(tmp_path / "both").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
