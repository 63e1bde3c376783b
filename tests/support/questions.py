"""Records of every task, and a tokenizer whose tokens the tiny backbones know."""

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from softprompt.config import DecodingSettings
from softprompt.data.records import Answer, Choices, LabelledText, Question, Record, TaggedWords
from softprompt.prompts.methods import METHODS
from softprompt.prompts.prompt import Prompt
from softprompt.tasks import TASKS, build_task
from support.tiny import DECODERS, ENCODER_DECODERS, VOCAB, tiny_model

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["[PAD]", "[SEP]", "[CLS]", "[UNK]"]
_WORDS = ["the", "mill", "city", "is", "in", "food", "blue"]
_SEGMENTED = ("bert", "electra", "albert", "albert_groups", "deberta")


def letters(family: str) -> PreTrainedTokenizerFast:
    """Letters and a few words, 64 tokens in all, with the special tokens that a family puts around texts."""
    tokens = [*_SPECIAL, *_LETTERS, *("##" + letter for letter in _LETTERS), *_WORDS]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if family not in DECODERS:
        start = "" if family in ENCODER_DECODERS else "[CLS] "
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start}$A [SEP]",
            pair=f"{start}$A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 1)],
        )
    tokenizer.add_tokens(["\n"])
    assert tokenizer.get_vocab_size() == VOCAB
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]",
        eos_token="[SEP]", model_input_names=names if family in _SEGMENTED else names[::2],
    )  # fmt: skip


def reader(family: str, seed: int = 0) -> Backbone:
    """A tiny backbone with its tokenizer."""
    return load_backbone(tiny_model(family, seed), letters(family))


@dataclass(frozen=True)
class Case:
    """A task with records for it.

    Args:
        settings: of the task, its name among them.
        records: of different lengths.
        labels: every label.
    """

    settings: dict[str, Any]
    records: tuple[Any, ...]
    labels: tuple[str, ...] = ()

    def task(self, backbone: Backbone, batch_size: int = 16) -> Any:
        """The task; its head has no dropout."""
        name = self.settings["name"]
        calm = {} if name == "generation" else {"head_dropout": 0.0}
        settings: Any = TASKS[name].settings(**{**calm, **self.settings})
        decoding = DecodingSettings(strategy="greedy", max_new_tokens=4, batch_size=batch_size)
        return build_task(backbone, settings, decoding, self.labels)


_TEXTS = ("the mill", "blue food is in the city", "is it", "a very long text of the blue mill", "food")
CASES: dict[str, Case] = {
    "classification": Case(
        {"name": "classification"},
        tuple(LabelledText(f"c{i}", t, "yes no maybe".split()[i % 3]) for i, t in enumerate(_TEXTS)),
        ("yes", "no", "maybe"),
    ),
    "pair": Case(
        {"name": "classification", "max_tokens": 12},
        tuple(
            LabelledText(f"p{i}", t, "ab"[i % 2], second)
            for i, (t, second) in enumerate(zip(_TEXTS, _TEXTS[::-1], strict=True))
        ),
        ("a", "b"),
    ),
    "tagging": Case(
        {"name": "tagging", "max_tokens": 9},
        (
            TaggedWords("t0", ("the", "blue", "mill"), ("O", "B-x", "I-x")),
            TaggedWords("t1", ("cities", "in", "the", "food", "of", "x"), ("B-x", "O", "O", "B-y", "O", "O")),
            TaggedWords("t2", ("mill",), ("B-y",)),
            TaggedWords("t3", ("food", "is", "late"), ("O", "O", "B-y")),
        ),
        ("O", "B-x", "I-x", "B-y", "I-y"),
    ),
    "choice": Case(
        {"name": "choice"},
        (
            Choices("k0", "the mill", ("is blue", "is in the city"), 1),
            Choices("k1", "food", ("is in", "the", "blue"), 0),
            Choices("k2", "in the city is a mill", ("so it is", "no"), 0),
        ),
    ),
    "spans": Case(
        {"name": "spans", "max_tokens": 14, "stride": 3},
        (
            Question("q0", "is it", "the mill is in the blue city", (Answer("blue city", 19),)),
            Question("q1", "who is", "food is in the mill of the city in the mill", (Answer("mill", 15),)),
            Question("q2", "no", "the city", ()),
        ),
    ),
    "regression": Case(
        {"name": "regression"},
        tuple(LabelledText(f"r{i}", t, str(0.5 * i - 1)) for i, t in enumerate(_TEXTS[:4])),
    ),
}  # fmt: skip
"""Each task with a head."""

WRITING = Case(
    {"name": "generation"},
    tuple(
        Record(f"w{i}", t, (s,)) for i, (t, s) in enumerate(zip(_TEXTS, _TEXTS[2:] + _TEXTS[:2], strict=True))
    ),
)
"""Generation."""


def prompt_for(backbone: Backbone, task: Any, method: str, seed: int = 0, **options: Any) -> Prompt:
    """A prompt of a method for a task (None: without a head), of random numbers large enough to matter."""
    inserted = method in ("adapter", "lora")
    if method != "head_only" and not inserted:
        options = {"initialization": "random", **options}
    prompt = METHODS[method](backbone, head=None if task is None else task.head, seed=seed, **options)
    if options.get("reparameterization", "mlp" if method == "prefix_tuning" else None):
        noise = torch.Generator().manual_seed(seed)
        for parameter in prompt.blocks.parameters():  # whose last layer begins at zero
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=noise)
    elif inserted:  # which begins as nothing
        noise = torch.Generator().manual_seed(seed)
        for insert in prompt.inserts.values():
            for parameter in insert.stored().values():
                parameter.data += 0.2 * torch.randn(parameter.shape, generator=noise)
    elif method == "p_tuning_v2":
        for block in prompt.blocks:
            for parameter in block.parameters():
                parameter.data.mul_(25)  # from N(0, 0.02), at which a prompt of a tiny model does nothing
    if prompt.head is not None:
        prompt.head.weight.data.mul_(10)
    return prompt
