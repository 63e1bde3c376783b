"""The attention of the class token, with and without a prompt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, answered_by, watching
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dispatch import Forward, dispatching, overriding
from softprompt.errors import BackboneError


@dataclass(frozen=True)
class ClassAttention:
    """The class token's attention in one layer; the three parts of a head add up to 1.

    Args:
        patches: `[batch, head, row, column]`.
        prompt: `[batch, head, prompt]`, key/values and tokens of the prompt alike.
        special: the class token and other tokens before the patches, `[batch, head, special]`.
    """

    patches: Tensor
    prompt: Tensor
    special: Tensor


@torch.no_grad()
def class_attention(backbone: Backbone, pixel_values: Tensor, layer: int = -1) -> ClassAttention:
    """The class token's attention weights under the active prompt; outside `prompted`, without one.

    The weights are computed from the queries and keys of the model's attention, in addition to it: the model
    and its kernel do not change.

    Args:
        backbone: a model whose first token is a class token.
        pixel_values: `[batch, channel, height, width]`.
        layer: counted from 0, or from the end (-1 is the last).

    Raises:
        BackboneError: a model that reads texts or has no class token, or no such layer.
    """
    vision = backbone.vision
    conv = None if vision is None else vision.conv
    if vision is None or conv is None or not vision.class_attends:
        why = "reads texts" if vision is None else "has no class token that attends to the whole picture"
        raise BackboneError(
            "class_attention", f"{backbone.spec.name}, which {why}", "a backbone with a class token"
        )
    n_layers = len(vision.layers)
    if not -n_layers <= layer < n_layers:
        raise BackboneError("layer", layer, f"{-n_layers} to {n_layers - 1}")
    attention = vision.layers[layer].attention
    weighed: list[tuple[Tensor, int]] = []
    grids: list[torch.Size] = []

    def watch(call: AttentionCall) -> AttentionCall:
        return answered_by(call, _weighing(call, weighed))

    def record_grid(below: Forward, *args: Any, **kwargs: Any) -> Any:
        output = below(*args, **kwargs)
        grids.append(output.shape[-2:])
        return output

    with dispatching([conv]), overriding({conv: record_grid}), watching(attention, watch):
        backbone.look(pixel_values)
    rows, columns = grids[-1]
    weights, n_front = weighed[-1]
    # Columns: key/values of the prompt, class token, tokens of the prompt, other special tokens, patches.
    front, rest = weights[..., :n_front], weights[..., n_front:]
    n_others = vision.n_special - 1
    n_prompt = rest.shape[-1] - 1 - n_others - rows * columns - vision.n_behind
    parts = [1, n_prompt, n_others, rows * columns, vision.n_behind]
    first, prompt, others, patches, behind = rest.split(parts, dim=-1)
    return ClassAttention(
        patches.unflatten(-1, (rows, columns)),
        torch.cat([front, prompt], dim=-1),
        torch.cat([first, others, behind], dim=-1),
    )


def _weighing(original: AttentionCall, weighed: list[tuple[Tensor, int]]) -> Callable[..., Any]:
    """The stock function, which also records the first query's weights and the number of added keys."""

    def stock(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        call = replace(original, query=query, key=key, value=value, mask=mask, kwargs=kwargs)
        scores = call.scale * query[:, :, :1].float() @ key.float().transpose(2, 3)
        scores = call.read_mask().first_queries(1).apply(scores)
        weighed.append((scores.softmax(-1)[:, :, 0], key.shape[2] - original.key.shape[2]))
        return original.stock(module, query, key, value, mask, **kwargs)

    return stock
