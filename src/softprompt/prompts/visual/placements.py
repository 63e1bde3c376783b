"""The placements of visual prompts: what passes from such a prompt to a backbone that reads pictures."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PictureFacts:
    """What a prompt needs to know of a backbone that reads pictures."""

    height: int
    """Of its input pictures, in pixels."""
    width: int
    """Of its input pictures, in pixels."""
    channels: int
    """Of its input pictures: 3 for colours."""
    patch: int
    """Side of a patch in pixels."""
    tokens: tuple[int, ...]
    """How many tokens enter each layer."""
    widths: tuple[int, ...]
    """Width of the states before each layer."""
    n_special: int
    """Tokens before the patches: class, distillation, registers."""
    mean: tuple[float, ...]
    """By which pixels are normalised, by channel; 0 where the backbone's own is not known."""
    std: tuple[float, ...]
    """By which pixels are normalised, by channel."""
    patch_tensors: tuple[str, ...]
    """Names of the weights that turn patches into tokens."""
    patch_width: int | None = None
    """Width of what those weights give; None is that of the first layer."""
    why_not: Callable[[str, int], str | None] = lambda location, length: None
    """Why the backbone has no place for prompts of a location and length, a relative clause about it; None
    where it has one."""

    @property
    def has_class(self) -> bool:
        """Whether there is a class token; it comes first."""
        return self.n_special > 0


@dataclass(frozen=True)
class ImageTokens:
    """Tokens among those of a picture, put in before each of some layers.

    Args:
        layers: before which the tokens stand; each layer's replace those of the layer before it.
        vectors: `[layer, prompt, hidden]`.
        carried: whether later layers go on with what the first makes of the tokens (shallow); otherwise the
            tokens are dropped where the next layer has none of its own (deep).
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
