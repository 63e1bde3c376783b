"""transformers' Seq2SeqTrainer: what it generates while it evaluates is the prompt's."""

import copy

import pytest
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from softprompt import PromptedModel
from support import by_loop
from support.by_loop import assert_same, batches, model_loss
from support.prompts import random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone


def pairs(n=4, seed=0):
    sources, targets = ids(n, 7, seed), ids(n, 5, seed + 1)
    mask = torch.ones(7, dtype=torch.long)
    return [
        {"input_ids": s, "attention_mask": mask, "labels": t} for s, t in zip(sources, targets, strict=True)
    ]


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_trains_and_generates_as_by_hand(family, kind, tmp_path):
    backbone = tiny_backbone(family)
    prompt = kind(backbone)
    expected = copy.deepcopy(prompt)
    arguments = Seq2SeqTrainingArguments(
        str(tmp_path), per_device_train_batch_size=2, per_device_eval_batch_size=2, max_steps=4,
        learning_rate=by_loop.LR, lr_scheduler_type="constant", train_sampling_strategy="sequential",
        predict_with_generate=True, generation_max_length=9, save_strategy="no", report_to=[], use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, eval_strategy="steps", eval_steps=2,
    )  # fmt: skip
    generated = []

    def keep(evaluated):
        generated.append(torch.from_numpy(evaluated.predictions))
        return {"rows": len(evaluated.predictions)}

    trainer = Seq2SeqTrainer(
        PromptedModel(backbone, prompt), arguments, train_dataset=pairs(), eval_dataset=pairs(seed=7),
        compute_metrics=keep,
    )  # fmt: skip
    trainer.train()
    by_loop.train(expected, lambda batch: model_loss(backbone, expected, batch), batches(pairs(), 2, 4))
    assert_same(prompt, expected)

    metrics = trainer.evaluate()
    halves = batches(pairs(seed=7), 2, 2)
    written, losses = {}, {}
    for name, one in (("prompted", expected), ("bare", None)):
        with torch.no_grad(), backbone.prompted(one):
            texts = [
                backbone.model.generate(
                    half["input_ids"], attention_mask=half["attention_mask"], max_length=9
                )
                for half in halves
            ]
        written[name] = torch.cat([torch.nn.functional.pad(t, (0, 9 - t.shape[1])) for t in texts])
        losses[name] = sum(model_loss(backbone, one, half).item() for half in halves) / 2
    shown = generated[-1].clone()
    shown[shown == -100] = 0
    assert torch.equal(torch.nn.functional.pad(shown, (0, 9 - shown.shape[1])), written["prompted"])
    assert not torch.equal(written["prompted"], written["bare"])
    assert metrics["eval_loss"] == pytest.approx(losses["prompted"], rel=1e-5)
    assert abs(losses["prompted"] - losses["bare"]) > 1e-3
