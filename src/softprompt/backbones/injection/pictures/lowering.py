"""Visual prompts as tensors that a call uses: key/values where that is exact, else tokens and pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from softprompt.backbones.inspection import Vision
from softprompt.errors import PromptError
from softprompt.prompts import (
    LOCATIONS,
    AddedTokens,
    ExtraChannels,
    ImageTokens,
    KeyValues,
    PixelBorder,
    PixelPatches,
    Prompt,
    reads_prompt,
)


@dataclass(frozen=True)
class TokenPlan:
    """Which layers have a prompt's tokens among the picture's own.

    Args:
        layers: before which the tokens are put in, or replaced.
        last: the last layer that has them.
        kept: whether a head reads the last layer's outputs at the tokens.
        length: number of tokens.
    """

    layers: tuple[int, ...]
    last: int
    kept: bool
    length: int


@dataclass(frozen=True, eq=False)
class VisualParts:
    """One prompt, lowered.

    Args:
        key_values: of the layers where the prompt acts as key/values alone.
        tokens: by layer, `[prompt, hidden]`.
        added: by layer, `[token or 1, hidden]`.
        frame: pixels around the picture, zeros inside, `[channel, height, width]`.
        border: width of the frame, in pixels.
        channels: outputs of further channels, added to the patches, `[hidden, rows, columns]`.
    """

    key_values: tuple[KeyValues, ...] = ()
    tokens: dict[int, Tensor] = field(default_factory=dict)
    added: dict[int, Tensor] = field(default_factory=dict)
    frame: Tensor | None = None
    border: int = 0
    channels: Tensor | None = None


@dataclass(frozen=True)
class VisualTables:
    """The parts of all prompts of a batch, by prompt: `[prompt_id, ...]`.

    Args:
        tokens: by layer; those of shorter prompts end with zeros.
        n_tokens: how many tokens each prompt has; None where all that rows have are alike.
        added: by layer, vectors added to a picture's tokens.
        border: frames around the picture.
        width: of the frames.
        channels: outputs of further channels.
    """

    tokens: dict[int, Tensor] = field(default_factory=dict)
    n_tokens: Tensor | None = None
    added: dict[int, Tensor] = field(default_factory=dict)
    border: Tensor | None = None
    width: int = 0
    channels: Tensor | None = None


def token_layers(prompt: Prompt, n_layers: int, as_tokens: bool) -> TokenPlan | None:
    """The layers in which a prompt must be tokens.

    A deep prompt is key/values wherever the next layer replaces or drops it; only a head that reads the
    prompt's own outputs needs its last layer as tokens.

    Args:
        prompt: the prompt.
        n_layers: of the backbone.
        as_tokens: the paper's own formulation, tokens everywhere.
    """
    card = prompt.card
    kept = reads_prompt(card.head)
    if card.location is None or not LOCATIONS[card.location].has_outputs:
        return None
    if card.depth == "shallow":
        return TokenPlan((0,), n_layers - 1, kept, card.length)
    if as_tokens:
        return TokenPlan(tuple(card.layers), card.layers[-1], kept, card.length)
    return TokenPlan((n_layers - 1,), n_layers - 1, True, card.length) if kept else None


def prefix_layers(prompt: Prompt, n_layers: int, as_tokens: bool) -> tuple[int, ...]:
    """The layers where a visual prompt acts as key/values."""
    location = prompt.card.location
    if location is None or LOCATIONS[location].placement is not ImageTokens or prompt.card.depth != "deep":
        return ()
    plan = token_layers(prompt, n_layers, as_tokens)
    return tuple(layer for layer in prompt.card.layers if plan is None or layer not in plan.layers)


def lower_visual(prompt: Prompt, vision: Vision, as_tokens: bool) -> VisualParts:
    """A visual prompt as the model takes it; differentiable, and computed once for all rows."""
    prefixed = prefix_layers(prompt, len(vision.layers), as_tokens)
    like, conv = vision.weight, vision.conv
    tokens: dict[int, Tensor] = {}
    added: dict[int, Tensor] = {}
    prefix: dict[int, Tensor] = {}
    frame, border, channels = None, 0, None
    for block in prompt():
        if isinstance(block, ImageTokens):
            vectors = block.vectors.to(like)
            for layer, some in zip(block.layers, vectors.unbind(0), strict=True):
                (prefix if layer in prefixed else tokens)[layer] = some
        elif isinstance(block, AddedTokens):
            added |= dict(zip(block.layers, block.vectors.to(like).unbind(0), strict=True))
        elif isinstance(block, PixelPatches):
            # Not by the module itself, which may have hooks.
            assert conv is not None
            tokens[0] = nn.functional.conv2d(
                block.pixels.to(like), conv.weight, conv.bias, stride=vision.patch
            ).flatten(1)
        elif isinstance(block, PixelBorder):
            border = block.border
            frame = _frame(block.pixels.to(like), vision.size, border)
        elif isinstance(block, ExtraChannels):
            channels = nn.functional.conv2d(
                block.pixels.to(like)[None], block.weights.to(like).transpose(0, 1), stride=vision.patch
            )[0]
    ordered = {layer: prefix[layer] for layer in sorted(prefix)}
    return VisualParts(vision.key_values(ordered) if ordered else (), tokens, added, frame, border, channels)


def _frame(pixels: Tensor, size: tuple[int, int], border: int) -> Tensor:
    height, width = (side + 2 * border for side in size)
    around = torch.ones(height, width, dtype=torch.bool, device=pixels.device)
    around[border:-border, border:-border] = False
    frame = pixels.new_zeros(height, width, pixels.shape[1])
    return frame.index_put(around.nonzero(as_tuple=True), pixels).permute(2, 0, 1)


def tabulate(parts: Sequence[VisualParts], used: Sequence[VisualParts]) -> VisualTables:
    """The parts of several prompts as tables; prompts without an addition add zeros.

    Args:
        parts: of all prompts.
        used: of those that rows have.

    Raises:
        PromptError: borders of different widths in one batch.
    """
    borders = {part.border for part in used}
    if len(borders) > 1:
        raise PromptError(
            "prompted",
            f"borders of {' and '.join(map(str, sorted(borders)))} pixels in one batch",
            "borders of one width, since pictures of one batch have one size",
            "give their rows batches of their own",
        )
    tokens: dict[int, Tensor] = {}
    for layer in sorted({layer for part in used for layer in part.tokens}):
        longest = max((part.tokens[layer] for part in used if layer in part.tokens), key=len)
        nothing = longest[:0]  # of prompts without tokens, or that no row has
        some = [part.tokens.get(layer, nothing) if part in used else nothing for part in parts]
        tokens[layer] = torch.stack([_padded(vectors, len(longest)) for vectors in some])
    counts = [max(map(len, part.tokens.values()), default=0) for part in parts]
    alike = len({count for part, count in zip(parts, counts, strict=True) if part in used}) == 1
    n_tokens = None if alike or not tokens else torch.tensor(counts)
    added: dict[int, Tensor] = {}
    for layer in sorted({layer for part in parts for layer in part.added}):
        n = max(part.added[layer].shape[0] for part in parts if layer in part.added)
        some = next(part.added[layer] for part in parts if layer in part.added)
        nothing = some.new_zeros(1, some.shape[1])
        added[layer] = torch.stack([part.added.get(layer, nothing).expand(n, -1) for part in parts])
    frame = next((part.frame for part in used if part.frame is not None), None)
    frames = [frame if part.frame is None or part not in used else part.frame for part in parts]
    extra = next((part.channels for part in parts if part.channels is not None), None)
    channels = None
    if extra is not None:
        channels = torch.stack(
            [torch.zeros_like(extra) if part.channels is None else part.channels for part in parts]
        )
    border = torch.stack(frames) if frame is not None else None  # type: ignore[arg-type]
    return VisualTables(tokens, n_tokens, added, border, borders.pop() if borders else 0, channels)


def _padded(vectors: Tensor, n: int) -> Tensor:
    return nn.functional.pad(vectors, (0, 0, 0, n - len(vectors)))
