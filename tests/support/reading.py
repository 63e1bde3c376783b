"""Tiny backbones with tokenizers that know real characters, and tasks on them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from softprompt.config import DecodingSettings
from softprompt.prompts.heads import Head
from softprompt.prompts.prompt import Prompt
from softprompt.tasks import TASKS, build_task
from support.tokenizer import byte_level, word_piece


def bert_model(vocab: int, seed: int = 0) -> PreTrainedModel:
    """A random BERT whose weights are large enough for every part to matter."""
    config = BertConfig(
        vocab_size=vocab, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128,
    )  # fmt: skip
    torch.manual_seed(seed)
    return _louder(BertModel(config))


@cache
def bert() -> Backbone:
    """BERT with a WordPiece: [CLS], [SEP], pairs, token types."""
    return load_backbone(bert_model(len(word_piece())), word_piece())


@cache
def gpt2() -> Backbone:
    """GPT-2 with a byte-level tokenizer that puts nothing around texts."""
    tokenizer = byte_level()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return load_backbone(_louder(GPT2LMHeadModel(config)), tokenizer)


@cache
def llama() -> Backbone:
    """Llama with a byte-level tokenizer that begins every text with <s>, both texts of a pair too."""
    tokenizer = byte_level(begins=True)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return load_backbone(_louder(LlamaForCausalLM(config)), tokenizer)


@cache
def t5() -> Backbone:
    """T5 with a byte-level tokenizer that ends every text with </s>."""
    tokenizer = byte_level(ends=True)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=0, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return load_backbone(_louder(T5ForConditionalGeneration(config)), tokenizer)


BACKBONES = {"bert": bert, "gpt2": gpt2, "llama": llama, "t5": t5}


def task_of(
    backbone: Backbone, name: str, labels: Sequence[str] = (), batch_size: int = 3, **settings: Any
) -> Any:
    """A task by its name; its head has no dropout unless the settings say so."""
    chosen: Any = TASKS[name].settings(**{"head_dropout": 0.0, **settings})
    return build_task(backbone, chosen, DecodingSettings(batch_size=batch_size), labels)


def prompt_of(backbone: Backbone, task: Any, seed: int = 1, **options: Any) -> Prompt:
    """A deep prompt with the task's head, both loud enough to change answers."""
    from softprompt.prompts.methods import p_tuning_v2

    prompt = p_tuning_v2(backbone, 3, head=task.head, seed=seed, **options)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.mul_(25)
    return prompt.eval()


def head_of(prompt: Prompt) -> Head:
    """A prompt's head, which must be there."""
    assert prompt.head is not None
    return prompt.head


def _louder(model: PreTrainedModel) -> PreTrainedModel:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
    return model.eval()
