"""Initial recurrent states by plain transformers calls: in a cache that was filled by hand."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from softprompt.prompts.prompt import Prompt


def states_by_hand(
    model: PreTrainedModel, prompt: Prompt, ids: Tensor, n_at_once: int | None = None
) -> Tensor:
    """Logits of a text whose recurrent layers begin from the prompt's states, `[seq, vocab]`.

    The text is read at once, or token by token where the family looks at a state only then (Mamba 1).

    Args:
        model: that is called.
        prompt: with states.
        ids: of the text, `[seq]`.
        n_at_once: tokens that are read at once, before the others one by one; None is all.
    """
    whole = _read(model, prompt, [ids[None]])
    with torch.no_grad():
        bare = model(input_ids=ids[None]).logits[0]
    ignored = float((whole - bare).abs().max()) < 1e-5 * max(1.0, float(bare.abs().max()))
    n = 0 if ignored else n_at_once
    if n is None:
        return whole
    return _read(model, prompt, [*([ids[None, :n]] if n else []), *ids[n:, None, None]])


def _read(model: PreTrainedModel, prompt: Prompt, parts: Sequence[Tensor]) -> Tensor:
    names = inspect.signature(model.forward).parameters
    name = "cache_params" if "cache_params" in names else "past_key_values"
    cache = _filled(model, prompt, name)
    outputs: list[Tensor] = []
    n_read = 0
    for part in parts:
        options: dict[str, Any] = {name: cache}
        if "position_ids" in names:  # some families count only those that they are given
            options["position_ids"] = torch.arange(n_read, n_read + part.shape[1])[None]
        outputs.append(model(input_ids=part, use_cache=True, **options).logits[0])
        n_read += part.shape[1]
    return torch.cat(outputs)


def _filled(model: PreTrainedModel, prompt: Prompt, name: str) -> Any:
    """An empty cache but for the states."""
    with torch.no_grad():
        like: Any = model(input_ids=torch.tensor([[7, 8, 9]]), use_cache=True)[name]
    placed: Any = prompt()
    own = {layer: s[None] for b in placed for layer, s in zip(b.layers, b.states, strict=True)}
    if hasattr(like, "linear_cache"):  # MiniMax's
        cache = type(like)()
        for layer, state in enumerate(like.linear_cache):
            if isinstance(state, Tensor):
                cache.set_linear_cache(layer, own.get(layer, torch.zeros_like(state)))
        return cache
    cache = DynamicCache(config=model.config)
    for layer, kept in enumerate(like.layers):
        for number, inputs in getattr(kept, "conv_states", {}).items():
            if inputs is not None:
                cache.update_conv_state(torch.zeros_like(inputs), layer, number)
        state = getattr(kept, "recurrent_states", {0: None})[0]
        if state is not None:
            cache.update_recurrent_state(torch.zeros_like(state), layer)
            # Not copied, so that gradients reach the prompt.
            kept: Any = cache.layers[layer]
            kept.recurrent_states[0] = own.get(layer, torch.zeros_like(state)).clone()
            kept.update_recurrent_state = partial(_replace, kept)
    return cache


def _replace(layer: Any, state: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As a layer's own, in a new tensor instead of writing into one that the gradients need."""
    layer.recurrent_states[0] = state
    return state


@torch.no_grad()
def slopes(
    model: PreTrainedModel,
    by_hand: Callable[[PreTrainedModel, Prompt, Tensor], Tensor],
    prompt: Prompt,
    text: Tensor,
    came: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """The slopes of the loss along a few directions, by gradients that came and by differences."""
    (parameter,), (gradient,) = list(prompt.parameters()), came
    generator, found, wanted = torch.Generator().manual_seed(5), [], []
    kept = parameter.clone()

    def loss(moved: Tensor) -> Tensor:
        parameter.copy_(moved)
        return by_hand(model, prompt, text).double().log_softmax(-1)[:, 7].mean()

    def slope(direction: Tensor, step: float) -> Tensor:
        return (loss(kept + step * direction) - loss(kept - step * direction)) / (2 * step)

    directions = [gradient / gradient.norm() * kept.numel() ** 0.5 / 10]  # the steepest, beside a random one
    directions.append(torch.randn(kept.shape, generator=generator))
    for direction in directions:
        found.append((gradient * direction).sum())
        # The two together leave out the third derivative.
        wanted.append(((4 * slope(direction, 2e-3) - slope(direction, 4e-3)) / 3).float())
    parameter.copy_(kept)
    return [torch.stack(found)], [torch.stack(wanted)]
