"""TRL's SFTTrainer and DPOTrainer with a PromptedModel: losses and prompts equal to loops written by hand."""

import copy

import pytest
import torch

import softprompt
from softprompt import PromptedModel
from softprompt.errors import PromptError
from support import by_loop
from support.by_loop import assert_same, logged_losses, moved
from support.prompts import bare_prompt, random_prefix, soft_tokens
from support.tiny import worded_llama
from support.tokenizer import byte_level

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

pytestmark = [pytest.mark.filterwarnings("default")]

COMMON = {
    "max_steps": 3, "per_device_train_batch_size": 2, "logging_steps": 1, "save_strategy": "no",
    "report_to": [], "disable_tqdm": True, "use_cpu": True, "learning_rate": by_loop.LR, "bf16": False,
    "dataloader_pin_memory": False, "lr_scheduler_type": "constant", "train_sampling_strategy": "sequential",
}  # fmt: skip
SENTENCES = [
    "The Mill serves food.",
    "Blue Spice is a cheap restaurant by the riverside.",
    "a",
    "It is cheap.",
]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of a tiny Llama with its tokenizer."""
    place = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = byte_level()
    worded_llama(tokenizer).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


@pytest.fixture
def backbone(folder):
    return softprompt.load_backbone(folder, dtype="float32")


def padded(rows):
    """Ids, mask and labels of rows of (ids, first position that counts), padded on the right."""
    longest = max(len(row) for row, _ in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
    for i, (row, first) in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        labels[i, first : len(row)] = torch.tensor(row[first:])
    return {"input_ids": tokens, "attention_mask": mask}, labels


def log_probabilities(backbone, prompt, inputs, labels):
    """Of each labelled token, `[row, seq - 1]`; 0 elsewhere."""
    with backbone.prompted(prompt):
        logits = backbone.model(**inputs).logits[:, :-1].log_softmax(-1)
    wanted = labels[:, 1:]
    found = logits.gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
    return found * (wanted != -100)


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("data", ["text", "prompt and completion"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_sft_equals_a_loop(backbone, tmp_path, kind, data, checkpointing):
    tokenizer = backbone.tokenizer
    if data == "text":
        rows = [{"text": text} for text in SENTENCES]
        encoded = [(tokenizer(text)["input_ids"] + [2], 0) for text in SENTENCES]
    else:
        rows = [{"prompt": "name :", "completion": f" {text}"} for text in SENTENCES]
        first = len(tokenizer("name :")["input_ids"])
        encoded = [(tokenizer(f"name : {text}")["input_ids"] + [2], first) for text in SENTENCES]
    prompt = kind(backbone)
    expected = copy.deepcopy(prompt)
    trainer = trl.SFTTrainer(
        model=PromptedModel(backbone, prompt),
        args=trl.SFTConfig(str(tmp_path), gradient_checkpointing=checkpointing, **COMMON),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()

    def loss_of(batch):
        inputs, labels = padded(batch)
        found = log_probabilities(backbone, expected, inputs, labels)
        return -found.sum() / (labels[:, 1:] != -100).sum()

    given = [[encoded[(2 * step + i) % 4] for i in range(2)] for step in range(3)]
    losses = by_loop.train(expected, loss_of, given)
    assert logged_losses(trainer) == pytest.approx(losses, rel=1e-3)  # logged in four digits
    assert_same(prompt, expected)


PAIRS = [
    {"prompt": "food :", "chosen": " Chinese", "rejected": " English food in the city"},
    {"prompt": "area :", "chosen": " by the riverside", "rejected": " centre"},
    {"prompt": "name :", "chosen": " The Mill", "rejected": " Blue"},
    {"prompt": "x", "chosen": " a", "rejected": " b"},
]


def dpo_by_hand(backbone, prompt, reference, steps=3, beta=0.1):
    tokenizer = backbone.tokenizer

    def rows_of(pairs, which):
        return [
            (tokenizer(p["prompt"])["input_ids"] + tokenizer(p[which])["input_ids"] + [2],
             len(tokenizer(p["prompt"])["input_ids"]))
            for p in pairs
        ]  # fmt: skip

    def loss_of(pairs):
        ratios = []
        for which in ("chosen", "rejected"):
            inputs, labels = padded(rows_of(pairs, which))
            with torch.no_grad():
                before = log_probabilities(backbone, reference, inputs, labels).sum(1)
            ratios.append(log_probabilities(backbone, prompt, inputs, labels).sum(1) - before)
        return -torch.nn.functional.logsigmoid(beta * (ratios[0] - ratios[1])).mean()

    given = [[PAIRS[(2 * step + i) % 4] for i in range(2)] for step in range(steps)]
    return by_loop.train(prompt, loss_of, given)


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("reference", ["bare", "none", "copy"])
def test_dpo_equals_a_loop(backbone, tmp_path, kind, reference):
    prompt = kind(backbone)
    begun, expected = copy.deepcopy(prompt), copy.deepcopy(prompt)
    model = PromptedModel(backbone, prompt)
    # Without one TRL loads the checkpoint that the backbone came from: the bare frozen model.
    ref = {"bare": PromptedModel(backbone, None), "none": None, "copy": copy.deepcopy(model)}[reference]
    trainer = trl.DPOTrainer(
        model=model,
        ref_model=ref,
        args=trl.DPOConfig(str(tmp_path), gradient_checkpointing=False, **COMMON),
        train_dataset=datasets.Dataset.from_list(PAIRS),
        processing_class=backbone.tokenizer,
    )
    trainer.train()
    losses = dpo_by_hand(backbone, expected, begun if reference == "copy" else None)
    assert logged_losses(trainer) == pytest.approx(losses, rel=1e-3)
    assert_same(prompt, expected, atol=5e-6)
    assert moved(prompt, begun) > 0.01
    if reference != "copy":
        assert abs(losses[0] - 0.6931) > 1e-3  # the prompt is not where the bare model is


def test_a_prompt_that_trains_the_vocabulary_matrix_is_refused(backbone, tmp_path):
    tied = {"lm_head.weight": backbone.frozen_tensors()["lm_head.weight"]}
    trainer = trl.SFTTrainer(
        model=PromptedModel(backbone, bare_prompt(backbone, tied)),
        args=trl.SFTConfig(str(tmp_path), gradient_checkpointing=False, **COMMON),
        train_dataset=datasets.Dataset.from_list([{"text": text} for text in SENTENCES]),
        processing_class=backbone.tokenizer,
    )
    with pytest.raises(PromptError, match="trains the vocabulary matrix"):
        trainer.train()
