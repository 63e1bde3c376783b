"""Tiny language models that fill blanks, with tokenizers of their own kind, and cloze tasks on them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from softprompt.config import ClozeSettings, DecodingSettings, ProbingSettings
from softprompt.data.records import LabelledText
from softprompt.tasks import build_task
from softprompt.tasks.language.cloze import ClozeTask
from softprompt.tasks.language.probing import ProbingTask
from support.text_tokenizers import made

MASKED = ["bert", "roberta", "albert"]
CAUSAL = ["gpt2", "llama"]
_TOKENIZERS = {
    "bert": "wordpiece", "roberta": "byte_level", "albert": "unigram", "gpt2": "decoder",
    "llama": "decoder_begins",
}  # fmt: skip
WORDS = {"bad": "terrible", "good": ["great", "film"]}
RECORDS = [
    LabelledText("a", "it is a good film, great", "good"),
    LabelledText("b", "bad film", "bad"),
    LabelledText("c", "the restaurant was terrible: nobody said it is great?", "bad"),
    LabelledText("d", "a man reads quietly in Paris", "good"),
]


def _model(family: str, vocab: int) -> PreTrainedModel:
    shape: dict[str, Any] = {
        "vocab_size": vocab, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 128,
    }  # fmt: skip
    match family:
        case "bert":
            return BertForMaskedLM(BertConfig(**shape))
        case "roberta":
            return RobertaForMaskedLM(RobertaConfig(**shape, pad_token_id=1))
        case "albert":
            return AlbertForMaskedLM(AlbertConfig(**shape, embedding_size=16))
        case "gpt2":
            config = GPT2Config(
                vocab_size=vocab, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
                eos_token_id=0,
            )  # fmt: skip
            return GPT2LMHeadModel(config)
    return LlamaForCausalLM(
        LlamaConfig(**shape, num_key_value_heads=2, bos_token_id=1, eos_token_id=0, pad_token_id=0)
    )


@cache
def blank_backbone(family: str) -> Backbone:
    """A random model of a family whose weights are large enough for every token to matter."""
    tokenizer = made(_TOKENIZERS[family])
    torch.manual_seed(0)
    model = _model(family, len(tokenizer))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
            else:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return load_backbone(model.eval(), tokenizer)


def template_of(backbone: Backbone, slots: bool = False) -> str:
    """A manual template that the backbone can take."""
    words = "{text} [soft*2] It was [soft] [blank]" if slots else "{text} It was [blank]"
    return words if backbone.is_causal else f"{words} in [soft#a] Paris." if slots else f"{words} in Paris."


def cloze(backbone: Backbone, labels: Sequence[str] = ("bad", "good"), **settings: Any) -> ClozeTask:
    """A cloze task on sentences."""
    chosen = ClozeSettings(**{"template": template_of(backbone), "verbalizer": WORDS, **settings})
    task = build_task(backbone, chosen, DecodingSettings(batch_size=3), labels, ("sentence",))
    assert isinstance(task, ClozeTask)
    return task


def probing(backbone: Backbone, **settings: Any) -> ProbingTask:
    """A probing task."""
    task = build_task(backbone, ProbingSettings(**settings), DecodingSettings(batch_size=3))
    assert isinstance(task, ProbingTask)
    return task
