"""The layouts of visual placements: flat vectors, as they are trained, and named tensors, as files hold them.

A layout has as many flat vectors as `rows` says; None is the prompt's length.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.prompts.placements import layer_ranges
from softprompt.prompts.visual.placements import (
    AddedTokens,
    ExtraChannels,
    ImageTokens,
    PictureFacts,
    PixelBorder,
    PixelPatches,
)


def start_bound(facts: PictureFacts, width: int) -> float:
    """The paper's bound of a uniform start, for vectors of this width."""
    return (6 / (3 * facts.patch**2 + width)) ** 0.5


@dataclass(frozen=True)
class TokenShape:
    """The layout of `ImageTokens` and `AddedTokens`: a flat vector is one token's, layer by layer.

    Args:
        layers: before which the tokens enter.
        hidden: width of the states there.
        rows: tokens; None is the prompt's length.
        added: whether the vectors are added to a picture's tokens, instead of tokens of their own.
        carried: see `ImageTokens`.
    """

    layers: tuple[int, ...]
    hidden: int
    rows: int | None = None
    added: bool = False
    carried: bool = False

    @property
    def name(self) -> str:
        """Names the block in files."""
        return f"{'added' if self.added else 'tokens'}.{layer_ranges(self.layers)}"

    @property
    def width(self) -> int:
        """Numbers per token."""
        return len(self.layers) * self.hidden

    def start(self, rows: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
        """Where training begins, `[row, width]`: uniform within the paper's bound."""
        bound = start_bound(facts, self.hidden)
        return torch.empty(rows, self.width).uniform_(-bound, bound, generator=generator)

    def unflatten(self, flat: Tensor) -> ImageTokens | AddedTokens:
        """The placement that flat vectors, `[token, width]`, hold."""
        vectors = flat.view(flat.shape[0], len(self.layers), self.hidden).transpose(0, 1)
        if self.added:
            return AddedTokens(self.layers, vectors)
        return ImageTokens(self.layers, vectors, self.carried)

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[layer, token, hidden]`."""
        return {self.name: self.unflatten(flat).vectors}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (len(self.layers), length if self.rows is None else self.rows, self.hidden)}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors, `[row, width]`, of a file's tensors."""
        return tensors[self.name].transpose(0, 1).reshape(-1, self.width)


@dataclass(frozen=True)
class PatchShape:
    """The layout of `PixelPatches`: a flat vector is one patch."""

    channels: int
    patch: int

    name = "patches"
    rows = None

    @property
    def width(self) -> int:
        """Numbers per patch."""
        return self.channels * self.patch**2

    def start(self, rows: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
        """Where training begins, `[row, width]`: uniform colours."""
        return _colours(rows, self.patch**2, facts, generator)

    def unflatten(self, flat: Tensor) -> PixelPatches:
        """The patches that flat vectors hold."""
        return PixelPatches(flat.view(-1, self.channels, self.patch, self.patch))

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[prompt, channel, patch, patch]`."""
        return {self.name: self.unflatten(flat).pixels}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (length, self.channels, self.patch, self.patch)}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors, `[row, width]`, of a file's tensors."""
        return tensors[self.name].flatten(1)


@dataclass(frozen=True)
class BorderShape:
    """The layout of `PixelBorder`: a flat vector is one pixel of the border."""

    channels: int
    height: int
    """Of the picture inside, in pixels."""
    wide: int
    """Width of the picture inside."""
    border: int
    """Width of the border."""

    name = "border"

    @property
    def rows(self) -> int:
        """Pixels in the border."""
        return (self.height + 2 * self.border) * (self.wide + 2 * self.border) - self.height * self.wide

    @property
    def width(self) -> int:
        """Numbers per pixel."""
        return self.channels

    def start(self, rows: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
        """Where training begins, `[row, width]`: uniform colours."""
        return _colours(rows, 1, facts, generator)

    def unflatten(self, flat: Tensor) -> PixelBorder:
        """The border that flat vectors are."""
        return PixelBorder(flat, self.border)

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[pixel, channel]`."""
        return {self.name: flat}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (self.rows, self.channels)}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors, `[row, width]`, of a file's tensors."""
        return tensors[self.name]


@dataclass(frozen=True)
class ChannelShape:
    """The layout of `ExtraChannels`: a flat vector is a channel's picture, then its patch weights."""

    height: int
    wide: int
    hidden: int
    patch: int

    name = "channels"
    rows = None

    @property
    def width(self) -> int:
        """Numbers per channel."""
        return self.height * self.wide + self.hidden * self.patch**2

    def start(self, rows: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
        """Where training begins, `[row, width]`: uniform pixels, and weights as those of a convolution."""
        # One channel of pixels has no mean of its own, by which it could be normalised.
        pixels = torch.rand(rows, self.height * self.wide, generator=generator)
        bound = (facts.channels * self.patch**2) ** -0.5
        weights = torch.empty(rows, self.hidden * self.patch**2)
        return torch.cat([pixels, weights.uniform_(-bound, bound, generator=generator)], dim=1)

    def unflatten(self, flat: Tensor) -> ExtraChannels:
        """The channels that flat vectors hold."""
        pixels, weights = flat.split([self.height * self.wide, self.hidden * self.patch**2], dim=1)
        return ExtraChannels(
            pixels.view(-1, self.height, self.wide), weights.view(-1, self.hidden, self.patch, self.patch)
        )

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[prompt, height, width]` and `[prompt, hidden, patch, patch]`."""
        placed = self.unflatten(flat)
        return {f"{self.name}.pixels": placed.pixels, f"{self.name}.weights": placed.weights}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {
            f"{self.name}.pixels": (length, self.height, self.wide),
            f"{self.name}.weights": (length, self.hidden, self.patch, self.patch),
        }

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors, `[row, width]`, of a file's tensors."""
        both = tensors[f"{self.name}.pixels"], tensors[f"{self.name}.weights"]
        return torch.cat([part.flatten(1) for part in both], dim=1)


VisualShape = TokenShape | PatchShape | BorderShape | ChannelShape


def _colours(rows: int, n: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
    """Uniform colours as the backbone's normalised pixels, `[row, channel * n]`, channels first."""
    colours = torch.rand(rows, facts.channels, n, generator=generator)
    mean, std = (torch.tensor(values)[None, :, None] for values in (facts.mean, facts.std))
    return ((colours - mean) / std).flatten(1)
