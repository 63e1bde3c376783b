"""The placements of visual prompts, and their layouts as flat vectors.

Each layout says how many flat vectors there are (`rows`; None is the prompt's length) and which tensors
they hold, by the names that files use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.prompts.placements import layer_ranges


@dataclass(frozen=True)
class PictureFacts:
    """What a prompt needs to know of a backbone that reads pictures."""

    height: int
    """Of the pictures that it is given, in pixels."""
    width: int
    channels: int
    patch: int
    """Side of a patch in pixels."""
    tokens: tuple[int, ...]
    """How many tokens enter each layer."""
    widths: tuple[int, ...]
    """How wide they are there."""
    n_special: int
    """Tokens before the patches: class, distillation, registers."""
    mean: tuple[float, ...]
    """Of the normalised pixels, by channel; 0 where the backbone's own is not known."""
    std: tuple[float, ...]
    patch_tensors: tuple[str, ...]
    """Names of the weights that read patches."""

    @property
    def has_class(self) -> bool:
        """Whether there is a class token; it comes first."""
        return self.n_special > 0


@dataclass(frozen=True)
class ImageTokens:
    """Tokens among those of a picture: before each of some layers, replacing what stood there.

    Args:
        layers: before which they stand.
        vectors: `[layer, prompt, hidden]`.
        carried: whether the layers after the first turn them on (shallow) instead of dropping them.
    """

    layers: tuple[int, ...]
    vectors: Tensor
    carried: bool


@dataclass(frozen=True)
class AddedTokens:
    """Vectors added to a picture's tokens before some layers, `[layer, token or 1, hidden]`."""

    layers: tuple[int, ...]
    vectors: Tensor


@dataclass(frozen=True)
class PixelPatches:
    """Patches of pixels beside a picture's own, `[prompt, channel, patch, patch]`."""

    pixels: Tensor


@dataclass(frozen=True)
class PixelBorder:
    """Pixels around a picture, `[pixel, channel]` row by row, in a border of some pixels."""

    pixels: Tensor
    border: int


@dataclass(frozen=True)
class ExtraChannels:
    """Channels beside a picture's own, with the patch weights that read them.

    Args:
        pixels: `[prompt, height, width]`.
        weights: `[prompt, hidden, patch, patch]`.
    """

    pixels: Tensor
    weights: Tensor


VisualPlacement = ImageTokens | AddedTokens | PixelPatches | PixelBorder | ExtraChannels


@dataclass(frozen=True)
class TokenShape:
    """The layout of `ImageTokens`: a flat vector holds one prompt token, layer by layer."""

    layers: tuple[int, ...]
    hidden: int
    carried: bool

    rows = None

    @property
    def name(self) -> str:
        """Names the block in files."""
        return f"tokens.{layer_ranges(self.layers)}"

    @property
    def width(self) -> int:
        """Numbers per prompt token."""
        return len(self.layers) * self.hidden

    def unflatten(self, flat: Tensor) -> ImageTokens:
        """The tokens that flat vectors, `[prompt, width]`, hold."""
        vectors = flat.view(flat.shape[0], len(self.layers), self.hidden).transpose(0, 1)
        return ImageTokens(self.layers, vectors, self.carried)

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[layer, prompt, hidden]`."""
        return {self.name: self.unflatten(flat).vectors}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (len(self.layers), length, self.hidden)}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors of a file's tensors."""
        return tensors[self.name].transpose(0, 1).reshape(-1, self.width)


@dataclass(frozen=True)
class AddedShape:
    """The layout of `AddedTokens`: a flat vector for each token that is added to (one, where shared)."""

    layers: tuple[int, ...]
    hidden: int
    rows: int

    @property
    def name(self) -> str:
        """Names the block in files."""
        return f"added.{layer_ranges(self.layers)}"

    @property
    def width(self) -> int:
        """Numbers per token."""
        return len(self.layers) * self.hidden

    def unflatten(self, flat: Tensor) -> AddedTokens:
        """The additions that flat vectors, `[token, width]`, hold."""
        vectors = flat.view(self.rows, len(self.layers), self.hidden).transpose(0, 1)
        return AddedTokens(self.layers, vectors)

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[layer, token, hidden]`."""
        return {self.name: self.unflatten(flat).vectors}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (len(self.layers), self.rows, self.hidden)}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors of a file's tensors."""
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

    def unflatten(self, flat: Tensor) -> PixelPatches:
        """The patches that flat vectors hold."""
        return PixelPatches(flat.view(-1, self.channels, self.patch, self.patch))

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[prompt, channel, patch, patch]`."""
        return {self.name: self.unflatten(flat).pixels}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (length, self.channels, self.patch, self.patch)}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors of a file's tensors."""
        return tensors[self.name].flatten(1)


@dataclass(frozen=True)
class BorderShape:
    """The layout of `PixelBorder`: a flat vector is one pixel of the border."""

    channels: int
    height: int
    """Of the picture inside."""
    wide: int
    """Its width."""
    border: int

    name = "border"

    @property
    def rows(self) -> int:
        """Pixels in the border."""
        return (self.height + 2 * self.border) * (self.wide + 2 * self.border) - self.height * self.wide

    @property
    def width(self) -> int:
        """Numbers per pixel."""
        return self.channels

    def unflatten(self, flat: Tensor) -> PixelBorder:
        """The border that flat vectors are."""
        return PixelBorder(flat, self.border)

    def tensors(self, flat: Tensor) -> dict[str, Tensor]:
        """What a file holds: `[pixel, channel]`."""
        return {self.name: flat}

    def sizes(self, length: int) -> dict[str, tuple[int, ...]]:
        """The sizes of those tensors."""
        return {self.name: (self.rows, self.channels)}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors of a file's tensors."""
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

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vectors of a file's tensors."""
        both = tensors[f"{self.name}.pixels"], tensors[f"{self.name}.weights"]
        return torch.cat([part.flatten(1) for part in both], dim=1)


VisualShape = TokenShape | AddedShape | PatchShape | BorderShape | ChannelShape


def visual_shapes(
    facts: PictureFacts, location: str, layers: Sequence[int], length: int, carried: bool
) -> list[VisualShape]:
    """The blocks of a visual prompt.

    Args:
        facts: of the backbone.
        location: where the prompt enters.
        layers: before which it stands; the first one where it enters through the pixels.
        length: as the card has it: tokens, patches, channels, or pixels of the border.
        carried: whether it is shallow.
    """
    if location == "pixel-prepend":
        return [PatchShape(facts.channels, facts.patch)]
    if location == "pixel-pad":
        return [BorderShape(facts.channels, facts.height, facts.width, length)]
    if location == "channel":
        return [ChannelShape(facts.height, facts.width, facts.widths[0], facts.patch)]
    # Layers of one size share a block; Swin's stages differ.
    groups: dict[tuple[int, int], list[int]] = {}
    for layer in layers:
        n_tokens = facts.tokens[layer] if location == "add" else 1
        groups.setdefault((facts.widths[layer], n_tokens), []).append(layer)
    if location == "prepend":
        return [TokenShape(tuple(group), hidden, carried) for (hidden, _), group in groups.items()]
    return [AddedShape(tuple(group), hidden, rows) for (hidden, rows), group in groups.items()]
