"""What a decoder gives under a prompt, written out with plain transformers calls on a model of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from support.prompts import disturb, random_prefix, soft_tokens
from support.tiny import tiny_model

METHODS = ("prefix", "soft", "lora", "weights")


def loud(prompt: Prompt, seed: int = 3, scale: float = 0.3) -> Prompt:
    """Adds noise to every tensor of a prompt; gives the prompt."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return prompt


def make(backbone: Backbone, method: str, seed: int = 5) -> Prompt:
    """A prompt of random numbers that enters the model in one of four ways."""
    match method:
        case "prefix":
            return random_prefix(backbone, seed=seed)
        case "soft":
            return soft_tokens(backbone, seed=seed)
        case "lora":
            return disturb(softprompt.lora(backbone, rank=2, seed=seed), seed)
        case _:
            return loud(softprompt.fine_tuning(backbone, tune="layernorm"), seed)


def prompts_of(backbone: Backbone) -> list[Prompt]:
    """One prompt of each way."""
    return [make(backbone, method, seed) for seed, method in enumerate(METHODS, 5)]


@torch.no_grad()
def logits_by_hand(prompt: Prompt | None, ids: Tensor, family: str = "llama", model: Any = None) -> Tensor:
    """Logits of every token of a text, `[batch, seq, vocab]`, under one prompt for all rows.

    Args:
        prompt: the prompt; None is no prompt.
        ids: the text without padding, `[batch, seq]`.
        family: of the model, which is made anew.
        model: one that nothing of the package was ever told of, in place of a new one; it is changed.
    """
    model = tiny_model(family) if model is None else model
    batch, length = ids.shape
    if prompt is None:
        return model(input_ids=ids).logits
    if prompt.weights:
        model.load_state_dict(dict(prompt.weights), strict=False)
        return model(input_ids=ids).logits
    if prompt.inserts:
        for name, insert in prompt.inserts.items():
            model.get_submodule(name).register_forward_hook(_changing(insert))
        return model(input_ids=ids).logits
    placed: Any = prompt()
    if not isinstance(placed, tuple):
        soft = placed.vectors.expand(batch, -1, -1)
        embeds = torch.cat([soft, model.get_input_embeddings()(ids)], dim=1)
        return model(inputs_embeds=embeds).logits[:, -length:]
    cache = DynamicCache()
    for block in placed:
        for i, layer in enumerate(block.layers):
            keys, values = (t[i].expand(batch, -1, -1, -1) for t in (block.keys, block.values))
            cache.update(keys, values, layer)
    mask = torch.ones(batch, prompt.length + length, dtype=torch.long)
    return model(input_ids=ids, attention_mask=mask, past_key_values=cache).logits


def generated_by_hand(prompt: Prompt | None, ids: Tensor, n: int, family: str = "llama") -> Tensor:
    """The text and `n` new tokens, each the likeliest one, `[batch, seq + n]`; every pass reads all anew."""
    for _ in range(n):
        ids = torch.cat([ids, logits_by_hand(prompt, ids, family)[:, -1:].argmax(-1)], dim=1)
    return ids


def rows_by_hand(prompts: Sequence[Prompt | None], rows: Sequence[int], ids: Tensor) -> Tensor:
    """Logits where each row has a prompt of its own, row by row."""
    return torch.cat([logits_by_hand(prompts[at], ids[i : i + 1]) for i, at in enumerate(rows)])


def _changing(insert: Any) -> Any:
    return lambda module, args, output: insert(args[0], output)
