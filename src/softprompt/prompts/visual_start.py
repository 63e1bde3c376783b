"""Where the blocks of a visual prompt begin."""

import torch
from torch import Tensor, nn

from softprompt.prompts.reparameterize import Direct, Projection
from softprompt.prompts.visual_placements import (
    BorderShape,
    ChannelShape,
    PatchShape,
    PictureFacts,
    VisualShape,
)


def start_bound(facts: PictureFacts, width: int) -> float:
    """The paper's bound of a uniform start, of vectors of this width."""
    return (6 / (3 * facts.patch**2 + width)) ** 0.5


def visual_block(
    shape: VisualShape, facts: PictureFacts, length: int, project: int | None, generator: torch.Generator
) -> nn.Module:
    """What a block's flat vectors are computed by, where training begins."""
    rows = length if shape.rows is None else shape.rows
    if isinstance(shape, PatchShape | BorderShape):
        return Direct(_pixels(rows, shape.width // facts.channels, facts, generator))
    if isinstance(shape, ChannelShape):
        # One channel of pixels has no mean of its own; its weights begin as a convolution's do.
        pixels = torch.rand(rows, facts.height * facts.width, generator=generator)
        bound = (facts.channels * facts.patch**2) ** -0.5
        weights = torch.empty(rows, shape.width - pixels.shape[1]).uniform_(
            -bound, bound, generator=generator
        )
        return Direct(torch.cat([pixels, weights], dim=1))
    if project is not None:
        bound = start_bound(facts, project)
        return Projection(rows, len(shape.layers), project, shape.hidden, bound, generator)
    bound = start_bound(facts, shape.hidden)
    return Direct(torch.empty(rows, shape.width).uniform_(-bound, bound, generator=generator))


def _pixels(rows: int, n: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
    """Uniform colours as the backbone's normalised pixels, `[row, channel * n]`, channels first."""
    colours = torch.rand(rows, facts.channels, n, generator=generator)
    mean, std = (torch.tensor(values)[None, :, None] for values in (facts.mean, facts.std))
    return ((colours - mean) / std).flatten(1)
