"""Visual prompts as the paper has them, written out without anything of the package."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Before = Mapping[int, Tensor]


def states_by_hand(model: Any, pixels: Tensor, before: Before, carried: bool, end: int | None = None) -> Any:
    """States of a picture's own tokens, and what the last layer made of the prompt's, `[batch, seq, hidden]`.

    Args:
        model: of a family whose attention sees all tokens.
        pixels: `[batch, channel, height, width]`.
        before: tokens before each layer, `[prompt, hidden]`.
        carried: whether later layers turn the first layer's tokens on; else they are replaced or dropped.
        end: the layer behind which they are dropped; None is the last one that brings some (deep).
    """
    kind = model.config.model_type
    layers = (
        model.encoder.layer
        if kind.startswith("dinov2")
        else getattr(model, "layers", None) or model.encoder.layers
    )
    tokens = _embed(model, kind, pixels)
    place = 0 if kind.startswith("siglip") else 1
    n_own, batch = 0, len(pixels)
    for i, layer in enumerate(layers):
        if i in before:
            own = before[i].expand(batch, -1, -1)
            tokens = torch.cat([tokens[:, :place], own, tokens[:, place + n_own :]], dim=1)
            n_own = own.shape[1]
        tokens = _layer(model, kind, layer, tokens, place, n_own, pixels)
        if not carried and n_own and i + 1 not in before and i + 1 < len(layers):
            tokens = torch.cat([tokens[:, :place], tokens[:, place + n_own :]], dim=1)
            n_own = 0
    norm = model.post_layernorm if kind.startswith(("clip", "siglip")) else model.layernorm
    tokens = norm(tokens)
    own = tokens[:, place : place + n_own]
    return torch.cat([tokens[:, :place], tokens[:, place + n_own :]], dim=1), own


def _embed(model: Any, kind: str, pixels: Tensor) -> Tensor:
    if kind == "vit_mae":
        patches = model.embeddings.patch_embeddings(pixels)
        where = model.embeddings.position_embeddings
        first = (model.embeddings.cls_token + where[:, :1]).expand(len(pixels), -1, -1)
        return torch.cat([first, patches + where[:, 1:]], dim=1)
    tokens = model.embeddings(pixels)
    return model.pre_layrnorm(tokens) if kind.startswith("clip") else tokens


def _layer(
    model: Any, kind: str, layer: Any, tokens: Tensor, place: int, n_own: int, pixels: Tensor
) -> Tensor:
    if kind.startswith(("clip", "siglip")):
        return layer(tokens, None)
    if kind != "beit":
        return layer(tokens)
    # Both biases with zeros at the prompt; the layer adds none of its own then.
    window = tuple(side // model.config.patch_size for side in pixels.shape[2:])
    bias = model.shared_position_bias(window) + layer.relative_position_bias(window)
    bias = (
        nn.functional.pad(bias[..., place:], (n_own, 0))
        if not place
        else torch.cat(
            [bias[..., :place], bias.new_zeros(*bias.shape[:-1], n_own), bias[..., place:]], dim=-1
        )
    )
    bias = torch.cat(
        [bias[:, :, :place], bias.new_zeros(1, bias.shape[1], n_own, bias.shape[-1]), bias[:, :, place:]], 2
    )
    whole, layer.relative_position_bias = layer.relative_position_bias, None
    try:
        return layer(tokens, attention_mask=bias)
    finally:
        layer.relative_position_bias = whole


def swin_by_hand(model: Any, pixels: Tensor, before: Before, carried: bool) -> tuple[Tensor, Tensor | None]:
    """The same of Swin: one picture at a time, window by window.

    Args:
        model: Swin.
        pixels: `[batch, channel, height, width]`.
        before: tokens before each layer, `[prompt, hidden]`.
        carried: whether later layers turn the first layer's tokens on.
    """
    pictures = [_swin_one(model, pixels[i : i + 1], before, carried) for i in range(len(pixels))]
    own = None if pictures[0][1] is None else torch.cat([one[1] for one in pictures])  # type: ignore[misc]
    return torch.cat([one[0] for one in pictures]), own


def _swin_one(model: Any, pixels: Tensor, before: Before, carried: bool) -> tuple[Tensor, Tensor | None]:
    tokens, (height, width) = model.embeddings(pixels)
    number, own = 0, None
    for stage in model.encoder.layers:
        for block in stage.blocks:
            own = before.get(number, own if carried else None)
            tokens, own = _swin_block(block, tokens[0], own, height, width)
            tokens, number = tokens[None], number + 1
        if stage.downsample is not None:
            merging = stage.downsample
            tokens = merging(tokens, (height, width))
            if own is not None:
                own = merging.reduction(merging.norm(torch.cat([own] * 4, dim=-1)))
            height, width = (height + 1) // 2, (width + 1) // 2
    own = None if own is None else model.layernorm(own)[None]
    return model.layernorm(tokens), own


def _swin_block(block: Any, tokens: Tensor, own: Tensor | None, height: int, width: int) -> Any:
    size, shift = block.window_size, block.shift_size
    if min(height, width) <= size:
        size, shift = min(height, width), 0
    down, across = -(-height // size) * size, -(-width // size) * size
    grid = torch.zeros(down, across, tokens.shape[-1])
    grid[:height, :width] = block.layernorm_before(tokens).view(height, width, -1)
    # Which of the pieces that the shift puts side by side a place comes from.
    piece = torch.zeros(down, across, dtype=torch.long)
    if shift:
        grid = torch.roll(grid, (-shift, -shift), (0, 1))
        for axis, n in ((0, down), (1, across)):
            at = torch.arange(n)
            region = (at >= n - size).long() + (at >= n - shift).long()
            piece = piece * 3 + (region[:, None] if axis == 0 else region[None, :])
    attended, outputs = torch.zeros_like(grid), []
    own_states = None if own is None else block.layernorm_before(own)
    for top in range(0, down, size):
        for left in range(0, across, size):
            window = grid[top : top + size, left : left + size].reshape(size * size, -1)
            pieces = piece[top : top + size, left : left + size].flatten()
            out, mine = _window(block.attention, window, pieces, own_states)
            attended[top : top + size, left : left + size] = out.view(size, size, -1)
            outputs.append(mine)
    if shift:
        attended = torch.roll(attended, (shift, shift), (0, 1))
    tokens = tokens + attended[:height, :width].reshape(height * width, -1)
    tokens = tokens + block.mlp(block.layernorm_after(tokens))
    if own is not None:
        own = own + torch.stack(outputs).mean(0)
        own = own + block.mlp(block.layernorm_after(own))
    return tokens, own


def _window(
    attention: Any, window: Tensor, pieces: Tensor, own: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    n_own = 0 if own is None else len(own)
    both = window if own is None else torch.cat([own, window])
    query, key, value = (
        linear(both).view(len(both), attention.num_attention_heads, -1).transpose(0, 1)
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    bias = torch.zeros(attention.num_attention_heads, len(both), len(both))
    bias[:, n_own:, n_own:] = attention.relative_position_bias()[0]
    apart = pieces[:, None] != pieces[None, :]
    bias[:, n_own:, n_own:] += torch.where(apart, -100.0, 0.0)
    scores = query @ key.transpose(1, 2) * attention.scaling + bias
    out = attention.o_proj((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
    return out[n_own:], None if own is None else out[:n_own]
