"""Visual prompt tuning: trained tokens or pixels beside those of a picture.

Like `methods`, whose rows they are.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.prompts.assemble import new_head, tuned_weights
from softprompt.prompts.heads import POOLINGS
from softprompt.prompts.placements import resolve_layers
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.prompts.reparameterize import Direct, Projection
from softprompt.prompts.visual_placements import (
    LOCATIONS,
    BorderShape,
    ChannelShape,
    PatchShape,
    PictureFacts,
    TokenShape,
    VisualShape,
    visual_shapes,
)
from softprompt.store.card import HeadCard, PromptCard

Location = Literal["prepend", "add", "add-shared", "pixel-prepend", "pixel-pad", "channel"]
Depth = Literal["deep", "shallow"]
Pool = Literal["cls", "image", "prompt", "mean"]

_LENGTHS = {"prepend": 50, "pixel-prepend": 50, "pixel-pad": 5, "channel": 5}


@plain_tensors()
def visual_prompt_tuning(
    backbone: Observable,
    length: int | None = None,
    *,
    depth: Depth | None = None,
    location: Location = "prepend",
    layers: str | Sequence[int] = "all",
    project: int | None = None,
    dropout: float = 0.0,
    pool: Pool | None = None,
    tune: str | None = None,
    head: HeadCard | None = None,
    seed: int = 0,
) -> Prompt:
    """Trained tokens behind the class token of a frozen vision transformer, or one of the paper's variants.

    Source: Visual Prompt Tuning (arXiv 2203.12119) §3.2 and its ablations. Start: uniform within
    sqrt(6 / (3 patch^2 + hidden)), the code's; `project` takes the place of hidden there. Deviations: deep
    tokens that the next layer replaces run as key/values, which is the same sum; dropout draws once a step
    for all pictures; behind the last of some layers, the tokens are dropped (the code's own default lets
    them go on); with `last:k` they are put in and never overwrite patches, which the code does.

    Args:
        backbone: the frozen model, one that reads pictures.
        length: tokens per layer (`prepend`), patches (`pixel-prepend`), pixels of the border (`pixel-pad`)
            or extra channels (`channel`); None is 50, for the last two 5. `add` has it from the backbone.
        depth: `deep` has its own vectors before every layer, `shallow` before the first alone; None is deep,
            and shallow for the pixels.
        location: `prepend` among the tokens, `add` a vector to each token, `add-shared` one to all,
            `pixel-prepend` patches of pixels, which the frozen patch weights turn into tokens, `pixel-pad` a
            border around the picture, which grows by it, `channel` further channels; there the patch weights
            are trained.
        layers: of a deep prompt: `all`, `first:k`, `last:k` or layer numbers.
        project: width of what is trained, before a linear map that all layers share; None is none.
        dropout: on the vectors, behind the map (0.1 in the paper's deep runs).
        pool: what the head reads: `cls`, the mean of the patches (`image`), of the prompt's own outputs
            (`prompt`) or of both (`mean`); None is the head's own, or `cls` (without a class token `image`).
        tune: backbone tensors trained beside it, as in `fine_tuning`; None is none.
        head: a `picture` head, see `softprompt.head`.
        seed: of every random number here.

    Raises:
        PromptError: a backbone that reads texts, or settings that do not go together.
    """
    facts = backbone.pictures
    if facts is None:
        raise PromptError(
            "visual_prompt_tuning", f"{backbone.card.name}, which reads texts",
            "a backbone that reads pictures",
            "use prefix_tuning, prompt_tuning or p_tuning_v2",
        )  # fmt: skip
    if location not in LOCATIONS:
        raise PromptError("prompt.location", repr(location), f"one of {', '.join(LOCATIONS)}")
    in_pixels = location.startswith("pixel") or location == "channel"
    depth = _depth(depth, location, in_pixels, layers)
    chosen = _layers(facts, layers, depth)
    length = _length(length, location, facts)
    head = _head(head, pool)
    if not 0 <= dropout < 1:
        raise PromptError("prompt.dropout", dropout, "a probability of at least 0 and below 1")
    shapes = visual_shapes(facts, location, chosen, length, depth == "shallow")
    if project is not None and not all(isinstance(shape, TokenShape) for shape in shapes):
        raise PromptError("prompt.project", f"{project} with '{location}'", "location 'prepend'")
    generator = torch.Generator().manual_seed(seed)
    blocks = {shape.name: _block(shape, facts, length, project, generator) for shape in shapes}
    weights = _weights(backbone, facts, tune, location, head)
    card = PromptCard(
        method="visual_prompt_tuning", placement="image", length=length, positions="unshifted",
        location=location, depth=depth, layers=list(chosen), weights=tuple(weights), tune=tune,
        reparameterization=None if project is None else f"project:{project}",
        initialization="random", seed=seed, backbone=backbone.card,
    )  # fmt: skip
    prompt = Prompt(card, shapes, blocks, dropout, weights=weights)
    if head is None:
        return prompt.to(backbone.device)
    own_outputs = location in ("prepend", "pixel-prepend")
    made = new_head(backbone, head, seed, own_outputs)
    if depth == "deep" and own_outputs and made.card.pooling in ("prompt", "mean"):
        last = len(facts.tokens) - 1
        if last not in chosen:
            raise PromptError(
                "prompt.pool",
                f"'{made.card.pooling}' with layers {list(chosen)}",
                f"layer {last} among them, which gives the outputs that are read",
                "choose 'cls' or 'image'",
            )
    return prompt.with_head(made).to(backbone.device)


def start_bound(facts: PictureFacts, width: int) -> float:
    """The paper's bound of a uniform start, of vectors of this width."""
    return (6 / (3 * facts.patch**2 + width)) ** 0.5


def _depth(depth: Depth | None, location: str, in_pixels: bool, layers: str | Sequence[int]) -> Depth:
    if depth is None:
        depth = "shallow" if in_pixels else "deep"
    if depth not in ("deep", "shallow"):
        raise PromptError("prompt.depth", repr(depth), "'deep' or 'shallow'")
    if in_pixels and depth == "deep":
        raise PromptError("prompt.depth", f"'deep' with '{location}'", "'shallow', since pixels enter once")
    if depth == "shallow" and layers != "all":
        raise PromptError(
            "prompt.layers",
            f"{layers!r} with a shallow prompt",
            "'all', since a shallow prompt enters before the first layer",
        )
    return depth


def _layers(facts: PictureFacts, layers: str | Sequence[int], depth: Depth) -> tuple[int, ...]:
    there = range(len(facts.tokens))
    return (0,) if depth == "shallow" else resolve_layers(layers, there, "prompt.layers")


def _length(length: int | None, location: str, facts: PictureFacts) -> int:
    if location in ("add", "add-shared"):
        n = facts.tokens[0] if location == "add" else 1
        if length is not None and length != n:
            raise PromptError("prompt.length", length, f"{n} with '{location}'", "leave length out")
        return n
    length = _LENGTHS[location] if length is None else length
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise PromptError("prompt.length", repr(length), "a whole number of at least 1")
    return length


def _head(head: HeadCard | None, pool: Pool | None) -> HeadCard | None:
    if pool is None:
        return head
    if pool not in POOLINGS:
        raise PromptError("prompt.pool", repr(pool), f"one of {', '.join(POOLINGS)}")
    if head is None:
        raise PromptError(
            "prompt.pool", f"'{pool}' without a head", "a head that reads the pooled tokens", "pass head=..."
        )
    if head.pooling not in (None, pool):
        raise PromptError(
            "prompt.pool",
            f"both '{pool}' and a head that reads '{head.pooling}'",
            "one of the two",
            "leave pool out",
        )
    return head.model_copy(update={"pooling": pool})


def _block(
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
        if isinstance(project, bool) or project < 1:
            raise PromptError("prompt.project", repr(project), "a width of at least 1")
        bound = start_bound(facts, project)
        return Projection(rows, len(shape.layers), project, shape.hidden, bound, generator)
    bound = start_bound(facts, shape.hidden)
    return Direct(torch.empty(rows, shape.width).uniform_(-bound, bound, generator=generator))


def _pixels(rows: int, n: int, facts: PictureFacts, generator: torch.Generator) -> Tensor:
    """Uniform colours as the backbone's normalised pixels, `[row, channel * n]`, channels first."""
    colours = torch.rand(rows, facts.channels, n, generator=generator)
    mean, std = (torch.tensor(values)[None, :, None] for values in (facts.mean, facts.std))
    return ((colours - mean) / std).flatten(1)


def _weights(
    backbone: Observable, facts: PictureFacts, tune: str | None, location: str, head: HeadCard | None
) -> dict[str, Tensor]:
    weights = tuned_weights(backbone, tune, head)
    if location == "channel":
        frozen = backbone.frozen_tensors()
        weights |= {name: frozen[name].detach() for name in facts.patch_tensors if name not in weights}
    return weights
