"""transformers' Trainer with a PromptedModel: numbers equal to a loop written by hand."""

import copy

import pytest
import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

import softprompt
from softprompt import PromptedModel
from softprompt.errors import BackboneError
from support import by_loop
from support.by_loop import assert_same, batches, examples, logged_losses, model_loss, moved
from support.prompts import random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")

COMMON = {
    "per_device_train_batch_size": 2, "learning_rate": by_loop.LR, "lr_scheduler_type": "constant",
    "train_sampling_strategy": "sequential", "save_strategy": "no", "report_to": [], "use_cpu": True,
    "disable_tqdm": True, "dataloader_pin_memory": False, "logging_steps": 1, "max_steps": 4,
}  # fmt: skip


def trainer_of(model, folder, data=None, callbacks=(), **options):
    arguments = TrainingArguments(str(folder), **(COMMON | options))
    return Trainer(
        model,
        arguments,
        train_dataset=data or examples(),
        eval_dataset=examples(4, seed=5),
        callbacks=[*callbacks],
    )


def by_hand(backbone, prompt, steps=4, size=2, **options):
    given = batches(examples(), size, steps)
    return by_loop.train(prompt, lambda batch: model_loss(backbone, prompt, batch), given, **options)


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize(
    ("options", "loop"),
    [
        ({"max_grad_norm": 0.0}, {"clip": None}),
        ({"max_grad_norm": 0.1}, {"clip": 0.1}),
        ({"weight_decay": 0.5}, {"weight_decay": 0.5}),
        (
            {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1},
            {"accumulation": 2, "size": 1, "steps": 8},
        ),
        ({"gradient_checkpointing": True}, {}),
        ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {}}, {}),
    ],
    ids=["unclipped", "clipped", "decay", "accumulated", "checkpointed", "checkpointed by default"],
)
def test_equals_a_loop(llama, tmp_path, kind, options, loop):
    prompt = kind(llama)
    begun, expected = copy.deepcopy(prompt), copy.deepcopy(prompt)
    model = PromptedModel(llama, prompt)
    trainer_of(model, tmp_path, **options).train()
    model.gradient_checkpointing_disable()
    by_hand(llama, expected, **loop)
    assert_same(prompt, expected)
    assert moved(prompt, begun) > 0.05
    assert not any(p.requires_grad for p in llama.model.parameters())


def test_losses_and_evaluation_are_the_prompts(llama, tmp_path):
    prompt = random_prefix(llama)
    expected = copy.deepcopy(prompt)
    trainer = trainer_of(PromptedModel(llama, prompt), tmp_path)
    trainer.train()
    assert logged_losses(trainer) == pytest.approx(
        by_hand(llama, expected), rel=1e-3
    )  # logged in four digits
    assert trainer.label_names == ["labels"]
    batch = batches(examples(4, seed=5), 4, 1)[0]
    with torch.no_grad():
        loss, bare = (model_loss(llama, one, batch).item() for one in (expected, None))
    found = trainer.evaluate()["eval_loss"]
    assert found == pytest.approx(loss, rel=1e-5)
    assert abs(found - bare) > 1e-3
    predicted = trainer.predict(examples(4, seed=5)).predictions
    with torch.no_grad(), llama.prompted(prompt):
        logits = llama.model(batch["input_ids"]).logits
    torch.testing.assert_close(torch.from_numpy(predicted), logits, atol=1e-5, rtol=0)


def test_the_best_prompt_is_loaded_and_training_stops_early(llama, tmp_path):
    prompt = random_prefix(llama)
    seen = {}

    class Keep(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, **kwargs):
            seen[state.global_step] = metrics["eval_loss"], copy.deepcopy(prompt)

    trainer = trainer_of(
        PromptedModel(llama, prompt), tmp_path, callbacks=[Keep(), EarlyStoppingCallback(2)],
        max_steps=30, learning_rate=1.0, eval_strategy="steps", eval_steps=1, save_strategy="steps",
        save_steps=1, load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False,
    )  # fmt: skip
    trainer.train()
    best = min(seen, key=lambda step: seen[step][0])
    assert best < max(seen) < 30
    assert_same(prompt, seen[best][1], atol=0)


@pytest.mark.parametrize("reparameterization", [None, "mlp"])
def test_resumed_equals_uninterrupted(llama, tmp_path, reparameterization):
    def made(seed):
        return random_prefix(llama, seed=seed, reparameterization=reparameterization, width=8, dropout=0.2)

    options = {
        "max_steps": 6, "save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": "linear",
        "train_sampling_strategy": "random",
    }  # fmt: skip
    whole = made(1)
    trainer_of(PromptedModel(llama, whole), tmp_path, **options).train()
    checkpoint = tmp_path / "checkpoint-3"
    resumed = made(2)
    trainer_of(PromptedModel(llama, resumed), tmp_path / "b", **options).train(
        resume_from_checkpoint=str(checkpoint)
    )
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    # a checkpoint holds the prompt and its optimizer, and nothing of the model
    from safetensors.torch import load_file

    kept = load_file(checkpoint / "model.safetensors")
    assert {name: tuple(t.shape) for name, t in kept.items()} == {
        f"prompts.0.{name}": tuple(t.shape) for name, t in whole.state_dict().items()
    }
    assert sum(path.stat().st_size for path in checkpoint.iterdir()) < 200_000


def test_mixed_precision_runs(llama, tmp_path):
    prompt = random_prefix(llama)
    expected, begun = copy.deepcopy(prompt), copy.deepcopy(prompt)
    trainer_of(PromptedModel(llama, prompt), tmp_path, bf16=True).train()

    def loss_of(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model_loss(llama, expected, batch)

    by_loop.train(expected, loss_of, batches(examples(), 2, 4))
    assert all(p.dtype == torch.float32 for p in prompt.parameters())
    assert moved(prompt, begun) > 0.05
    assert_same(prompt, expected)


def test_label_smoothing_shifts_the_labels(llama, tmp_path):
    prompt = random_prefix(llama)
    expected = copy.deepcopy(prompt)
    trainer_of(PromptedModel(llama, prompt), tmp_path, label_smoothing_factor=0.2).train()

    def smoothed(batch):
        with llama.prompted(expected):
            logits = llama.model(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
        wanted = batch["labels"][:, 1:].flatten()
        return torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=0.2)

    by_loop.train(expected, smoothed, batches(examples(), 2, 4))
    assert_same(prompt, expected)


def test_columns_that_the_model_does_not_take_are_left_out(llama, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"input_ids": row.tolist(), "labels": row.tolist(), "text": "x"} for row in ids(8, 9)]
    prompt = random_prefix(llama)
    expected = copy.deepcopy(prompt)
    trainer_of(PromptedModel(llama, prompt), tmp_path, datasets.Dataset.from_list(rows)).train()
    by_hand(llama, expected)
    assert_same(prompt, expected)


def test_several_prompts_in_one_batch(llama, tmp_path):
    one, two = random_prefix(llama, seed=1), soft_tokens(llama)
    expected = torch.nn.ModuleList([copy.deepcopy(one), copy.deepcopy(two)])
    model = PromptedModel(llama, [one, two])
    trainer_of(model, tmp_path).train()
    by_loop.train(expected, lambda b: model_loss(llama, list(expected), b), batches(examples(), 2, 4))
    assert_same(model, expected)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_head_is_trained_with_its_prompt(family, tmp_path):
    backbone = tiny_backbone(family)
    head = softprompt.head("sequence", ("a", "b", "c"), dropout=0.0)
    prompt = random_prefix(backbone, head=head)
    expected = copy.deepcopy(prompt)
    data = [
        {"input_ids": row, "attention_mask": torch.ones_like(row), "labels": torch.tensor(i % 3)}
        for i, row in enumerate(ids(8, 9))
    ]
    trainer = trainer_of(PromptedModel(backbone, prompt), tmp_path, data, gradient_accumulation_steps=2)
    trainer.train()

    def loss_of(batch):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with backbone.prompted(expected):
            assert expected.head is not None
            outputs = expected.head(backbone.read(inputs), inputs["attention_mask"])
        return torch.nn.functional.cross_entropy(outputs, batch["labels"])

    by_loop.train(expected, loss_of, batches(data, 2, 8), accumulation=2)
    assert_same(prompt, expected)
    with torch.no_grad():
        loss = loss_of(batches(data, 8, 1)[0]).item()
    assert trainer.evaluate(data)["eval_loss"] == pytest.approx(loss, rel=1e-5)


def test_a_quantised_model_is_not_refused(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(llama.model, "is_quantized", True, raising=False)
    prompt = random_prefix(llama)
    expected = copy.deepcopy(prompt)
    trainer_of(PromptedModel(llama, prompt), tmp_path).train()
    by_hand(llama, expected)
    assert_same(prompt, expected)


def test_the_bare_model_is_refused_before_the_first_step(llama, tmp_path):
    prompt = random_prefix(llama)
    begun = copy.deepcopy(prompt)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1.0)
    arguments = TrainingArguments(str(tmp_path), **COMMON)
    trainer = Trainer(llama.model, arguments, train_dataset=examples(), optimizers=(optimizer, None))
    with (
        llama.prompted(prompt),
        pytest.raises(BackboneError, match=r"softprompt.PromptedModel\(backbone, prompt\)"),
    ):
        trainer.train()
    assert moved(prompt, begun) == 0


def test_what_cannot_be_is_refused(llama, tmp_path):
    model = PromptedModel(llama, random_prefix(llama))
    reentrant = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}
    with pytest.raises(BackboneError, match="got use_reentrant=True"):
        trainer_of(model, tmp_path, **reentrant).train()
    with pytest.raises(BackboneError, match="expected float32, in which a prompt is trained"):
        trainer_of(model, tmp_path, bf16_full_eval=True).evaluate()
