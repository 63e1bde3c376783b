"""SavePrompt: Trainer leaves prompt folders, whose prompts compute what the checkpoints compute."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainingArguments

import softprompt
from softprompt import PromptedModel, SavePrompt
from softprompt.errors import PromptError
from softprompt.files import read_card
from support import by_loop
from support.by_loop import examples
from support.prompts import inputs_for, random_prefix, same, soft_tokens
from support.tiny import tiny_backbone

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


def train(model, folder, callback, **options):
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=2, learning_rate=by_loop.LR, max_steps=4, logging_steps=1,
        save_strategy="steps", save_steps=2, eval_strategy="steps", eval_steps=2, report_to=[], use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, seed=7, **options,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=examples(), eval_dataset=examples(4, seed=5), callbacks=[callback]
    )
    trainer.train()
    return trainer


def test_every_checkpoint_is_a_prompt(llama, tmp_path):
    made = lambda: random_prefix(llama, reparameterization="mlp", width=8)  # noqa: E731
    model = PromptedModel(llama, made())
    card = model.prompt.card
    trainer = train(model, tmp_path, SavePrompt(card=True))
    assert model.prompt.card == card  # as it was
    assert same(softprompt.load_prompt(tmp_path / "prompt", llama), model.prompt)
    losses = {line["step"]: line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line}
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        by_state = PromptedModel(llama, made())
        by_state.load_state_dict(load_file(folder / "model.safetensors"))
        loaded = softprompt.load_prompt(folder / "prompt", llama)
        given = inputs_for(llama)
        with torch.no_grad():
            assert torch.equal(PromptedModel(llama, loaded)(**given).logits, by_state(**given).logits)
        told = read_card(folder / "prompt")
        assert told.metrics == {"eval_loss": losses[step]} and told.seed == 7
        assert told.training == {"trainer": "transformers", "steps": step}
        assert "eval_loss" in (folder / "prompt" / "README.md").read_text("utf-8")


def test_the_best_one_is_left_at_the_end(llama, tmp_path):
    # The greatest loss counts as the best, so that the best prompt is not the last one.
    model = PromptedModel(llama, random_prefix(llama))
    trainer = train(
        model, tmp_path, SavePrompt(), load_best_model_at_end=True, metric_for_best_model="eval_loss",
        greater_is_better=True,
    )  # fmt: skip
    losses = {line["step"]: line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line}
    worst = max(losses, key=lambda step: losses[step])
    assert losses[2] != losses[4]
    left = softprompt.load_prompt(tmp_path / "prompt", llama)
    assert same(left, softprompt.load_prompt(tmp_path / f"checkpoint-{worst}" / "prompt", llama))
    assert read_card(tmp_path / "prompt").metrics == {"eval_loss": losses[worst]}


def test_what_cannot_be_saved_is_refused_before_the_first_step(llama, tmp_path):
    several = PromptedModel(llama, [random_prefix(llama), soft_tokens(llama)], rows=[0, 1])
    with pytest.raises(PromptError, match="got 2 prompts, expected one"):
        train(several, tmp_path, SavePrompt())
    with pytest.raises(PromptError, match="SavePrompt: got a Linear, expected Trainer over a PromptedModel"):
        train(torch.nn.Linear(2, 2), tmp_path, SavePrompt())
    assert not list(tmp_path.glob("**/prompt*"))
