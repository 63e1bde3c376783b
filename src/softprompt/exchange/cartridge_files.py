"""Files of the Cartridges project (arXiv 2506.06266): keys and values that stand for a long document.

A file of `torch.save` with four lists over layers of `[1, kv_head, token, dim]`: `trainable_keys`,
`trainable_values`, and before them the tokens that training left alone, `fixed_keys` and `fixed_values`
(`frozen_...` in other versions).
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.errors import PromptError
from softprompt.exchange.pickles import read_pickled
from softprompt.exchange.prefixes import (
    backbone_of,
    check_vectors_alone,
    prefix_prompt,
    whole_prefix,
    whole_shape,
)
from softprompt.exchange.saving import saved
from softprompt.prompts import Prompt
from softprompt.untrusted import at_home

_TRAINED, _LEFT = "trainable", ("fixed", "frozen")


def load_cartridge(path: Path | str, backbone: Backbone) -> Prompt:
    """A prompt out of a cartridge, for the live backbone. Tensors are read, and nothing is unpickled.

    Args:
        path: as the project's `TrainableCache.save` leaves it.
        backbone: the decoder that it was trained on; the file names none.

    Raises:
        PromptError: no such file, anything but tensors in it, or sizes that are not the backbone's.
    """
    where = str(path)
    stored = read_pickled(at_home(where))
    if not isinstance(stored, dict):
        raise PromptError(where, "no mapping", "the lists of keys and values of a cartridge")
    shape = whole_shape(backbone, where)
    left = next((word for word in _LEFT if f"{word}_keys" in stored), _LEFT[0])
    both = []
    for kind in ("keys", "values"):
        trained = _listed(stored, f"{_TRAINED}_{kind}", where)
        fixed = _listed(stored, f"{left}_{kind}", where) if f"{left}_{kind}" in stored else []
        if len(trained) != len(shape.layers) or len(fixed) not in (0, len(shape.layers)):
            got, expected = f"{len(trained)} layers", f"{len(shape.layers)}, as {backbone.card.name} has"
            raise PromptError(f"{where}: {_TRAINED}_{kind}", got, expected)
        both.append(_stacked(fixed, trained, f"{where}: {kind}"))
    keys, values = both
    size = (shape.attention.kv_heads, shape.attention.key_dim)
    for kind, tensor in (("keys", keys), ("values", values)):
        if (tensor.shape[1], tensor.shape[3]) != size or tensor.shape != keys.shape:
            got, expected = (
                f"shape {list(tensor.shape)}",
                f"{len(shape.layers)} x {size[0]} x tokens x {size[1]}",
            )
            raise PromptError(f"{where}: {kind}", got, f"{expected}, as {backbone.card.name} has")
    made = {"made_by": {"library": "cartridges"}}
    return prefix_prompt(keys, values, backbone, where, initialization="cartridge", training=made)


def save_cartridge(
    prompt: Prompt, path: Path | str, backbone: Backbone | None = None, fixed: int = 1
) -> Path:
    """Write a prefix as a cartridge.

    Args:
        prompt: keys and values of every layer of a decoder, with shifted positions.
        path: of the file.
        backbone: the model of the prompt; None is the one that it was made or loaded for.
        fixed: first tokens that further training there leaves alone (1 in the paper).

    Raises:
        PromptError: another prompt, or a place that cannot be written.
    """
    backbone = backbone_of(prompt, backbone)
    check_vectors_alone(prompt, "a cartridge")
    if prompt.card.placement != "key_values":
        raise PromptError("prompt", "soft tokens", "keys and values, which is what a cartridge has")
    if prompt.weights:
        raise PromptError("prompt.weights", "trained tensors of the backbone", "keys and values alone")
    if not 0 <= fixed <= prompt.length:
        raise PromptError("fixed", fixed, f"0 to {prompt.length} tokens")
    block = whole_prefix(prompt, backbone, "a cartridge")
    lists: dict[str, list[Tensor]] = {}
    for kind, tensor in (("keys", block.keys), ("values", block.values)):
        rows = tensor.detach().float().cpu()[:, None]  # layer 1 kv_head token dim
        lists[f"{_TRAINED}_{kind}"] = [row[:, :, fixed:].clone() for row in rows]
        lists[f"{_LEFT[0]}_{kind}"] = [row[:, :, :fixed].clone() for row in rows]
    content = io.BytesIO()
    torch.save(lists, content)
    return saved(Path(path), content.getvalue())


def _listed(stored: dict[Any, Any], name: str, where: str) -> list[Tensor]:
    found = stored.get(name)
    if not isinstance(found, (list, tuple, torch.nn.ParameterList)):
        got = "no such list" if found is None else f"{type(found).__name__}"
        raise PromptError(f"{where}: {name}", got, "a list of tensors, one for each layer")
    if not all(isinstance(one, Tensor) and one.dim() == 4 and one.shape[0] == 1 for one in found):
        raise PromptError(f"{where}: {name}", "something else", "tensors of 1 x heads x tokens x numbers")
    return list(found)


def _stacked(fixed: Sequence[Tensor], trained: Sequence[Tensor], where: str) -> Tensor:
    """`[layer, kv_head, token, dim]` of lists over layers, the fixed tokens first."""
    parts = [fixed, trained] if fixed else [trained]
    try:
        layers = [
            torch.cat([part.detach().float() for part in layer], 2)[0] for layer in zip(*parts, strict=True)
        ]
        return torch.stack(layers)
    except RuntimeError:
        raise PromptError(where, "layers of different sizes", "the same heads and tokens in each") from None
