"""Prompts and calls that the parity tests share."""

import torch
from torch import Tensor

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.prompts.methods.builder import PromptBuilder
from softprompt.prompts.prompt import Prompt
from support.tiny import ids


def random_prefix(backbone: Backbone, length: int = 4, seed: int = 1, **options: object) -> Prompt:
    """A prefix of random numbers, large enough to matter."""
    options = {"reparameterization": None, "initialization": "random", **options}
    return softprompt.prefix_tuning(backbone, length, seed=seed, **options)


def inputs_for(backbone: Backbone, batch: int = 2, length: int = 7, seed: int = 0) -> dict[str, Tensor]:
    """A batch of random tokens, with the decoder's part where there are two."""
    given = {"input_ids": ids(batch, length, seed)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if backbone.spec.is_encoder_decoder:
        given["decoder_input_ids"] = ids(batch, 5, seed + 100)
    return given


def bare_prompt(backbone: Backbone, weights: dict[str, Tensor] | None = None) -> Prompt:
    """A prompt without vectors: nothing, or tensors in place of the backbone's own."""
    return PromptBuilder("test", backbone).without_vectors(weights=weights)


def soft_tokens(backbone: Backbone, length: int = 3, seed: int = 5) -> Prompt:
    """Soft tokens of random numbers."""
    return softprompt.prompt_tuning(backbone, length, initialization="random", seed=seed)


def same(prompt: Prompt, other: Prompt) -> bool:
    """Whether two prompts hold the same tensors, bit for bit."""
    ours, theirs = prompt.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def text_for(backbone: Backbone, batch: int = 2, length: int = 7) -> dict[str, Tensor]:
    """A batch of random tokens for `read`."""
    given = inputs_for(backbone, batch, length)
    return {name: given[name] for name in ("input_ids", "attention_mask")}


def read_rows(backbone: Backbone, rows: list[Tensor], side: str) -> list[Tensor]:
    """The states of each row's own tokens, read in one batch that is padded on a side."""
    states = backbone.read(pad(rows, side))
    longest = max(len(row) for row in rows)
    assert states.shape[:2] == (len(rows), longest)
    return [
        states[i, longest - len(row) :] if side == "left" else states[i, : len(row)]
        for i, row in enumerate(rows)
    ]


def pad(rows: list[Tensor], side: str, token: int = 0) -> dict[str, Tensor]:
    """Rows of different lengths as one batch with its mask, padded on a side."""
    longest = max(len(row) for row in rows)
    out, mask = [], []
    for row in rows:
        fill = row.new_full((longest - len(row),), token)
        real, shut = torch.ones_like(row), torch.zeros_like(fill)
        out.append(torch.cat([fill, row] if side == "left" else [row, fill]))
        mask.append(torch.cat([shut, real] if side == "left" else [real, shut]))
    return {"input_ids": torch.stack(out), "attention_mask": torch.stack(mask)}


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    """Equal up to rounding, relative to the size of the numbers."""
    torch.testing.assert_close(a, b, atol=tolerance * max(1.0, b.abs().max().item()), rtol=0)


def disturb(prompt: Prompt, seed: int = 7, scale: float = 0.3) -> Prompt:
    """Adds noise to a prompt's modules, which begin as nothing; gives the prompt."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for insert in prompt.inserts.values():
            for parameter in insert.stored().values():
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return prompt
