"""The placements: the only things that pass from a prompt to a backbone.

A placement says *where* tensors enter the frozen model; how they were made (a method, a
reparameterisation) and how they are used (attention, embeddings) is the work of other rooms.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.errors import PromptError

SITES = ("encoder", "decoder", "cross")
"""Self-attention of the encoder, of the decoder, and the decoder's attention to the encoder."""


RECURRENT = "recurrent"
"""The site of recurrent layers, whose prefix is the state that they begin from."""


@dataclass(frozen=True)
class AttentionShape:
    """The key/value sizes of one attention of a backbone."""

    kv_heads: int
    key_dim: int
    value_dim: int


@dataclass(frozen=True)
class KeyValues:
    """Keys and values put before the real ones, in some layers of one site."""

    site: str
    layers: tuple[int, ...]
    keys: Float[Tensor, "layer kv_head prompt key_dim"]
    values: Float[Tensor, "layer kv_head prompt value_dim"]

    @property
    def length(self) -> int:
        """Prompt vectors per layer."""
        return self.keys.shape[2]


@dataclass(frozen=True)
class SlotEmbeddings:
    """Input vectors in place of tokens; without a template the vectors stand in front of the text."""

    vectors: Float[Tensor, "slot hidden"]

    @property
    def length(self) -> int:
        """Number of slots."""
        return self.vectors.shape[0]


@dataclass(frozen=True)
class States:
    """States that some recurrent layers of equal sizes begin from, one for each layer."""

    layers: tuple[int, ...]
    states: Float[Tensor, "layer ..."]


Placement = tuple[KeyValues, ...] | tuple[States, ...] | SlotEmbeddings
"""Of a prompt for texts; `visual` has those for pictures, a tuple of blocks too."""


@dataclass(frozen=True)
class KeyValueShape:
    """The layout of one `KeyValues`: one flat vector per prompt position.

    A flat vector holds, layer by layer and head by head, the key and then the value.
    """

    site: str
    layers: tuple[int, ...]
    attention: AttentionShape

    rows = None

    @property
    def name(self) -> str:
        """Names the block in files: the site and its layers."""
        return f"{self.site}.{layer_ranges(self.layers)}"

    @property
    def width(self) -> int:
        """Numbers per prompt position."""
        a = self.attention
        return len(self.layers) * a.kv_heads * (a.key_dim + a.value_dim)

    def unflatten(self, flat: Float[Tensor, "prompt width"]) -> KeyValues:
        """The key/values that flat vectors hold (views, no copy)."""
        a = self.attention
        both = flat.view(flat.shape[0], len(self.layers), a.kv_heads, a.key_dim + a.value_dim)
        keys, values = both.permute(1, 2, 0, 3).split([a.key_dim, a.value_dim], dim=-1)
        return KeyValues(self.site, self.layers, keys, values)

    def flatten(self, block: KeyValues) -> Float[Tensor, "prompt width"]:
        """The flat vectors of key/values that cover at least these layers."""
        index = [block.layers.index(layer) for layer in self.layers]
        parts = [block.keys, block.values]
        if index != list(range(len(block.layers))):
            parts = [part[index] for part in parts]
        return torch.cat([part.permute(2, 0, 1, 3) for part in parts], dim=-1).reshape(
            block.length, self.width
        )

    def tensors(self, flat: Float[Tensor, "prompt width"]) -> dict[str, Tensor]:
        """What a file holds: keys and values, `[layer, kv_head, prompt, dim]` each."""
        block = self.unflatten(flat)
        return {f"{self.name}.keys": block.keys, f"{self.name}.values": block.values}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        a, n = self.attention, len(self.layers)
        return {
            f"{self.name}.keys": (n, a.kv_heads, length, a.key_dim),
            f"{self.name}.values": (n, a.kv_heads, length, a.value_dim),
        }

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, "prompt width"]:
        """The flat vectors of a file's tensors."""
        keys, values = tensors[f"{self.name}.keys"], tensors[f"{self.name}.values"]
        return self.flatten(KeyValues(self.site, self.layers, keys, values))


@dataclass(frozen=True)
class SlotShape:
    """The layout of `SlotEmbeddings`: one flat vector per slot is the embedding itself."""

    hidden: int

    name = "slots"
    rows = None

    @property
    def width(self) -> int:
        """Numbers per slot."""
        return self.hidden

    def unflatten(self, flat: Float[Tensor, "slot hidden"]) -> SlotEmbeddings:
        """The slot embeddings that flat vectors are."""
        return SlotEmbeddings(flat)

    def tensors(self, flat: Float[Tensor, "slot hidden"]) -> dict[str, Tensor]:
        """What a file holds: `[slot, hidden]`."""
        return {self.name: flat}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The size of that tensor."""
        return {self.name: (length, self.hidden)}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, "slot hidden"]:
        """The flat vectors of a file's tensors."""
        return tensors[self.name]


@dataclass(frozen=True)
class StateShape:
    """The layout of one `States`: a single flat vector holds the states layer by layer."""

    layers: tuple[int, ...]
    size: tuple[int, ...]
    """Of one layer's state."""

    rows = None

    @property
    def name(self) -> str:
        """Names the block in files: the site and its layers."""
        return f"{RECURRENT}.{layer_ranges(self.layers)}"

    @property
    def width(self) -> int:
        """Numbers of all of its states."""
        return len(self.layers) * math.prod(self.size)

    def unflatten(self, flat: Float[Tensor, "1 width"]) -> States:
        """The states that a flat vector holds (a view, no copy)."""
        return States(self.layers, flat.view(len(self.layers), *self.size))

    def flatten(self, block: States) -> Float[Tensor, "1 width"]:
        """The flat vector of states that cover at least these layers."""
        index = [block.layers.index(layer) for layer in self.layers]
        return block.states[index].reshape(1, self.width)

    def tensors(self, flat: Float[Tensor, "1 width"]) -> dict[str, Tensor]:
        """What a file holds: the states, `[layer, *state]`."""
        return {f"{self.name}.states": self.unflatten(flat).states}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The size of that tensor."""
        return {f"{self.name}.states": (len(self.layers), *self.size)}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, "1 width"]:
        """The flat vector of a file's tensor."""
        return tensors[f"{self.name}.states"].reshape(1, self.width)


Shape = KeyValueShape | StateShape | SlotShape


def resolve_layers(layers: str | Sequence[int], available: Sequence[int], where: str) -> tuple[int, ...]:
    """Layer numbers meant by `all`, `first:k`, `last:k` or a list.

    Args:
        layers: as the user wrote it.
        available: the layers that the backbone has, in order.
        where: the setting, for errors.

    Raises:
        PromptError: a layer that the backbone does not have, or an unknown form.
    """
    span = layer_ranges(tuple(available))
    forms = f"'all', 'first:k', 'last:k' or a list of layers out of {span}"
    if isinstance(layers, str):
        kind, _, count = layers.partition(":")
        if kind == "all" and not count:
            return tuple(available)
        if kind in ("first", "last") and count.isdecimal():
            k = int(count)
            if not 1 <= k <= len(available):
                raise PromptError(
                    where, repr(layers), f"a count from 1 to {len(available)} (it has layers {span})"
                )
            return tuple(available[:k] if kind == "first" else available[len(available) - k :])
        raise PromptError(where, repr(layers), forms)
    chosen = sorted(set(layers))
    if not chosen or any(isinstance(layer, bool) or not isinstance(layer, int) for layer in chosen):
        raise PromptError(where, repr(layers), forms)
    missing = [layer for layer in chosen if layer not in available]
    if missing:
        raise PromptError(where, f"layer {missing[0]}", f"layers {span}", "choose a subset of those")
    return tuple(chosen)


def key_value_shapes(
    attentions: dict[tuple[str, int], AttentionShape], sites: Iterable[str], layers: str | Sequence[int]
) -> list[KeyValueShape]:
    """The blocks that cover the chosen layers of the chosen sites.

    Layers of one site whose heads differ in size make blocks of their own.
    """
    shapes = []
    for site in sites:
        available = sorted(layer for name, layer in attentions if name == site)
        groups: dict[AttentionShape, list[int]] = {}
        for layer in resolve_layers(layers, available, "prompt.layers"):
            groups.setdefault(attentions[site, layer], []).append(layer)
        shapes += [KeyValueShape(site, tuple(group), attention) for attention, group in groups.items()]
    return shapes


def state_shapes(sizes: Mapping[int, tuple[int, ...]], layers: str | Sequence[int]) -> list[StateShape]:
    """The blocks that cover the chosen recurrent layers, one for each size of state.

    Args:
        sizes: of the backbone's states, by layer.
        layers: as in `resolve_layers`.

    Raises:
        PromptError: a layer that has no recurrent state.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for layer in resolve_layers(layers, sorted(sizes), "prompt.layers"):
        groups.setdefault(sizes[layer], []).append(layer)
    return [StateShape(tuple(group), size) for size, group in groups.items()]


def layer_ranges(layers: tuple[int, ...]) -> str:
    """Layer numbers as text, runs shortened: `0-3+7`."""
    parts: list[list[int]] = []
    for layer in layers:
        if parts and layer == parts[-1][-1] + 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return "+".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
