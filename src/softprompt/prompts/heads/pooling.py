"""Which state of a text or picture a head reads: one row for each way."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.errors import PromptError

PADDING, SPECIAL, CLASS, PATCH, PROMPT = range(5)
"""Kinds of a picture's tokens: none, registers and distillation, class, patches, the prompt's own."""

States = Float[Tensor, "row seq hidden"]
Mask = Int[Tensor, "row seq"]
Pooled = Float[Tensor, "row hidden"]


def _first(states: States, mask: Mask) -> Pooled:
    # Of the real places the largest, counted from the right.
    places = torch.arange(mask.shape[1], device=mask.device)
    return _at(states, ((mask.shape[1] - places) * mask).argmax(1))


def _last(states: States, mask: Mask) -> Pooled:
    places = torch.arange(mask.shape[1], device=mask.device)
    return _at(states, (places * mask).argmax(1))


def _at(states: States, places: Tensor) -> Pooled:
    return states[torch.arange(len(states), device=states.device), places]


def _mean(states: States, mask: Mask) -> Pooled:
    # In float32, and without the padding's states, which need not even be numbers.
    real = states.float().masked_fill(mask[..., None] == 0, 0)
    return real.sum(1) / mask.sum(1, keepdim=True)


TEXT_POOLINGS: dict[str, Callable[[States, Mask], Pooled]] = {
    "first": _first, "last": _last, "mean": _mean,
}  # fmt: skip
"""The state of each row's first or last real token, or the mean of the real ones."""

PICTURE_POOLINGS: dict[str, tuple[int, ...]] = {
    "cls": (CLASS,), "image": (PATCH,), "prompt": (PROMPT,), "mean": (PATCH, PROMPT),
}  # fmt: skip
"""The kinds of tokens whose mean is read."""


def pool_text(states: States, mask: Mask, pooling: str) -> Pooled:
    """The state that a row of `TEXT_POOLINGS` means.

    Args:
        states: of texts.
        mask: 1 on real tokens.
        pooling: a name of `TEXT_POOLINGS`.
    """
    return TEXT_POOLINGS[pooling](states, mask)


def pool_picture(states: States, kinds: Mask, pooling: str) -> Pooled:
    """The class token's state, or the mean over the tokens that a row of `PICTURE_POOLINGS` means.

    Args:
        states: of pictures.
        kinds: of each token, `CLASS`, `PATCH`, ...
        pooling: a name of `PICTURE_POOLINGS`.

    Raises:
        PromptError: a picture that has no such token.
    """
    read = PICTURE_POOLINGS[pooling]
    chosen = torch.zeros_like(kinds)
    for kind in read:
        chosen = chosen + (kinds == kind)
    if not bool(chosen.any(1).all()):
        raise PromptError(
            "head.pooling",
            f"'{pooling}' of a picture without such tokens",
            "tokens that the picture has",
            "choose another, e.g. 'image', which every picture has",
        )
    return _first(states, chosen) if read == (CLASS,) else _mean(states, chosen)
