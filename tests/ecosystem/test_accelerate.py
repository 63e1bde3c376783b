"""accelerate in one process and in two, and DataParallel: numbers equal to a loop written by hand."""

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from softprompt import PromptedModel
from support import by_loop
from support.by_loop import assert_same, batches, examples, model_loss
from support.launch import launch
from support.prompts import random_prefix, soft_tokens
from support.tiny import tiny_backbone


def by_hand(backbone, prompt, autocast=False):
    def loss_of(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return model_loss(backbone, prompt, batch)

    by_loop.train(prompt, loss_of, batches(examples(), 2, 4))


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_prepared_in_one_process(kind, precision):
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    backbone = tiny_backbone("llama")
    prompt = kind(backbone)
    expected = copy.deepcopy(prompt)
    model = PromptedModel(backbone, prompt)
    optimizer = torch.optim.AdamW(model.parameters(), lr=by_loop.LR, weight_decay=0.0)
    model, optimizer = accelerator.prepare(model, optimizer)
    for batch in batches(examples(), 2, 4):
        output = model(**batch)
        assert output.logits.dtype == torch.float32
        accelerator.backward(output.loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    by_hand(backbone, expected, autocast=precision == "bf16")
    assert_same(prompt, expected)
    assert accelerator.unwrap_model(model).prompt is prompt
    AcceleratorState._reset_state(True)


def test_state_of_a_run_is_the_prompts(tmp_path):
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True)
    backbone = tiny_backbone("llama")
    prompt = random_prefix(backbone)
    kept = copy.deepcopy(prompt)
    model = accelerator.prepare(PromptedModel(backbone, prompt))
    accelerator.save_state(str(tmp_path))
    with torch.no_grad():
        next(prompt.parameters()).zero_()
    accelerator.load_state(str(tmp_path))
    assert_same(prompt, kept, atol=0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000
    assert model is not None
    AcceleratorState._reset_state(True)


def test_two_processes_end_with_one_processs_prompt(tmp_path):
    launch((Path(__file__).parent / "two_processes.py").read_text(encoding="utf-8"), tmp_path)
    backbone = tiny_backbone("llama")
    expected = random_prefix(backbone, seed=1)
    by_hand(backbone, expected)
    for way in ("trainer", "accelerate"):
        both = [torch.load(tmp_path / f"{way}-{rank}.pt") for rank in range(2)]
        for name, tensor in expected.state_dict().items():
            assert torch.equal(both[0][name], both[1][name]), way
            torch.testing.assert_close(both[0][name], tensor, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_data_parallel_without_gpus(kind):
    backbone = tiny_backbone("llama")
    prompt = kind(backbone)
    expected = copy.deepcopy(prompt)
    model = torch.nn.DataParallel(PromptedModel(backbone, prompt))
    by_loop.train(model, lambda batch: model(**batch).loss, batches(examples(), 2, 4))
    by_hand(backbone, expected)
    assert_same(prompt, expected, atol=0)
