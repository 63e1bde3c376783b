"""Prompts and calls that the parity tests share."""

import torch
from torch import Tensor

import softprompt
from softprompt.backbones.backbone import Backbone
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
