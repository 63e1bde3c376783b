"""PEFT's own adapters on the tiny models, with random numbers in everything that they train."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from support.tiny import ROPE, VOCAB, ids, tiny_backbone

LENGTH, TEXT = 2, 3
"""Vectors, and tokens behind them: both fit into the tiny windows, past which PEFT's prefix does nothing."""

TASK_TYPES = {
    "gpt2": "CAUSAL_LM", "llama": "CAUSAL_LM", "qwen3": "CAUSAL_LM", "gemma3": "CAUSAL_LM",
    "t5": "SEQ_2_SEQ_LM", "bart": "SEQ_2_SEQ_LM", "bert": "FEATURE_EXTRACTION",
    "bert tokens": "TOKEN_CLS", "bert sequence": "SEQ_CLS", "llama sequence": "SEQ_CLS",
}  # fmt: skip

_BERT: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 128, "num_labels": 3,
}  # fmt: skip
_WITH_HEADS: dict[str, Callable[[], Any]] = {
    "bert tokens": lambda: BertForTokenClassification(BertConfig(**_BERT)),
    "bert sequence": lambda: BertForSequenceClassification(BertConfig(**_BERT)),
    "llama sequence": lambda: LlamaForSequenceClassification(LlamaConfig(**ROPE, num_labels=3)),
}


def backbone_of(family: str) -> Backbone:
    """A tiny random backbone; of some families with a classification head."""
    if family not in _WITH_HEADS:
        return tiny_backbone(family)
    torch.manual_seed(0)
    return softprompt.load_backbone(_WITH_HEADS[family]().eval())


def config_of(kind: str, task_type: str) -> Any:
    """PEFT's config of a kind of soft prompt."""
    import peft

    common: dict[str, Any] = {"task_type": task_type, "num_virtual_tokens": LENGTH}
    made: dict[str, Callable[[], Any]] = {
        "prefix": lambda: peft.PrefixTuningConfig(**common),
        "projected prefix": lambda: peft.PrefixTuningConfig(
            **common, prefix_projection=True, encoder_hidden_size=16
        ),
        "cartridge": lambda: peft.CartridgeConfig(**common),
        "prompt": lambda: peft.PromptTuningConfig(**common),
        "p-tuning": lambda: peft.PromptEncoderConfig(**common, encoder_hidden_size=16),
        "p-tuning, LSTM": lambda: peft.PromptEncoderConfig(
            **common, encoder_hidden_size=16, encoder_reparameterization_type="LSTM"
        ),
        "multitask": lambda: peft.MultitaskPromptTuningConfig(**common, num_tasks=3),
        "cpt": lambda: peft.CPTConfig(
            task_type=task_type, cpt_token_ids=[5, 6], cpt_mask=[1, 1], cpt_tokens_type_mask=[1, 2]
        ),
    }
    return made[kind]()


def saved(backbone: Backbone, kind: str, task_type: str, folder: Path) -> Path:
    """An adapter folder as PEFT writes it, of random numbers."""
    import peft

    torch.manual_seed(3)
    model = peft.get_peft_model(copy.deepcopy(backbone.model), config_of(kind, task_type))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.5)
    model.save_pretrained(str(folder))
    return folder


def theirs(backbone: Backbone, folder: Path, task: int | None = None) -> Tensor:
    """What PEFT's model says of two rows, of the text's own positions."""
    import peft

    model = peft.PeftModel.from_pretrained(copy.deepcopy(backbone.model), str(folder)).eval()
    beside = {} if task is None else {"task_ids": torch.tensor([task, task])}
    with torch.no_grad():
        said = _said(model(**inputs(backbone), **beside))
    return said if said.dim() == 2 else said[:, -TEXT:]


def ours(backbone: Backbone, prompt: softprompt.Prompt) -> Tensor:
    """What the backbone says of the same rows under a prompt."""
    with backbone.prompted(prompt), torch.no_grad():
        return _said(backbone.model(**inputs(backbone)))


def inputs(backbone: Backbone) -> dict[str, Tensor]:
    """Two rows without padding; of encoder-decoders the decoder's too."""
    given = {"input_ids": ids(2, TEXT) % (VOCAB - 4) + 4}
    if backbone.stacks == {"encoder", "decoder"}:
        given["decoder_input_ids"] = ids(2, TEXT, 5)
    return given


def _said(output: Any) -> Tensor:
    return output.last_hidden_state if "last_hidden_state" in output else output.logits
