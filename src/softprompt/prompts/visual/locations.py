"""Where visual prompts enter: one row for each location, which settings, cards and backbones read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from softprompt.files import Location
from softprompt.prompts.reparameterize import Direct, Projection
from softprompt.prompts.visual.placements import (
    AddedTokens,
    ExtraChannels,
    ImageTokens,
    PictureFacts,
    PixelBorder,
    PixelPatches,
    VisualPlacement,
)
from softprompt.prompts.visual.shapes import (
    BorderShape,
    ChannelShape,
    PatchShape,
    TokenShape,
    VisualShape,
    start_bound,
)

Layers = Sequence[int]


@dataclass(frozen=True)
class VisualLocation:
    """A row: what a visual prompt is at one location.

    Args:
        placement: what the backbone gets.
        shapes: gives the blocks, from the backbone's facts, the layers, the prompt's length as its card has
            it, and whether the prompt is shallow.
        length: vectors where the user gives no number; a function where the backbone alone decides.
        in_pixels: whether the prompt enters once, with the pixels, and not before every layer.
        has_outputs: whether the prompt is tokens, whose outputs a head can read.
        trains_patches: whether the weights that turn patches into tokens are trained with the prompt.
    """

    placement: type[VisualPlacement]
    shapes: Callable[[PictureFacts, Layers, int, bool], Sequence[VisualShape]]
    length: int | Callable[[PictureFacts], int]
    in_pixels: bool = False
    has_outputs: bool = False
    trains_patches: bool = False


def _by_size(
    facts: PictureFacts,
    layers: Layers,
    rows: Callable[[int], int | None],
    *,
    added: bool = False,
    carried: bool = False,
) -> list[TokenShape]:
    """One block for the layers that have equal sizes; the sizes of Swin's stages differ."""
    groups: dict[tuple[int, int | None], list[int]] = {}
    for layer in layers:
        groups.setdefault((facts.widths[layer], rows(layer)), []).append(layer)
    return [TokenShape(tuple(group), hidden, n, added, carried) for (hidden, n), group in groups.items()]


def _tokens(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[TokenShape]:
    return _by_size(facts, layers, lambda layer: None, carried=shallow)


def _added_to_each(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[TokenShape]:
    return _by_size(facts, layers, lambda layer: facts.tokens[layer], added=True)


def _added_to_all(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[TokenShape]:
    return _by_size(facts, layers, lambda layer: 1, added=True)


def _patches(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[PatchShape]:
    return [PatchShape(facts.channels, facts.patch)]


def _border(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[BorderShape]:
    return [BorderShape(facts.channels, facts.height, facts.width, length)]


def _channels(facts: PictureFacts, layers: Layers, length: int, shallow: bool) -> list[ChannelShape]:
    return [ChannelShape(facts.height, facts.width, facts.patch_width or facts.widths[0], facts.patch)]


LOCATIONS: dict[Location, VisualLocation] = {
    "prepend": VisualLocation(ImageTokens, _tokens, 50, has_outputs=True),
    "add": VisualLocation(AddedTokens, _added_to_each, lambda facts: facts.tokens[0]),
    "add-shared": VisualLocation(AddedTokens, _added_to_all, lambda facts: 1),
    "pixel-prepend": VisualLocation(PixelPatches, _patches, 50, in_pixels=True, has_outputs=True),
    "pixel-pad": VisualLocation(PixelBorder, _border, 5, in_pixels=True),
    "channel": VisualLocation(ExtraChannels, _channels, 5, in_pixels=True, trains_patches=True),
}
"""Every location by its name in settings and cards."""


def visual_block(
    shape: VisualShape, facts: PictureFacts, length: int, project: int | None, generator: torch.Generator
) -> nn.Module:
    """The module that computes a block's flat vectors, where training begins.

    Args:
        shape: of the block; with `project` that of tokens.
        facts: of the backbone.
        length: of the prompt.
        project: width of what is trained before a linear map; None trains the vectors themselves.
        generator: source of the random numbers.
    """
    rows = length if shape.rows is None else shape.rows
    if project is None:
        return Direct(shape.start(rows, facts, generator))
    assert isinstance(shape, TokenShape)
    bound = start_bound(facts, project)
    return Projection(rows, len(shape.layers), project, shape.hidden, bound, generator)
