"""Visual prompt tuning: trained tokens or pixels beside those of a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.errors import PromptError
from softprompt.files import Depth, Location, PicturePooling, PromptCard
from softprompt.prompts.methods.options import Count, Layers, Probability, Tune
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import TrainingDefaults

if TYPE_CHECKING:
    from torch import Tensor

    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt
    from softprompt.prompts.visual import PictureFacts, VisualLocation


@method("visual_prompt_tuning", training=TrainingDefaults(3e-3, 3e-3, warmup=0.05))
def visual_prompt_tuning(
    backbone: "Observable",
    length: Count | None = None,
    *,
    depth: Depth | None = None,
    location: Location = "prepend",
    layers: Layers = "all",
    project: Count | None = None,
    dropout: Probability = 0.0,
    pool: PicturePooling | None = None,
    tune: Tune | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
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
    import torch

    from softprompt.prompts.heads import reads_prompt
    from softprompt.prompts.methods.builder import new_head
    from softprompt.prompts.prompt import Prompt
    from softprompt.prompts.visual import LOCATIONS, ImageTokens, visual_block

    facts = backbone.pictures
    if facts is None:
        raise PromptError(
            "visual_prompt_tuning", f"{backbone.card.name}, which reads texts",
            "a backbone that reads pictures",
            "use prefix_tuning, prompt_tuning or p_tuning_v2",
        )  # fmt: skip
    row = LOCATIONS[location]
    _refuse_location(backbone, facts, location, length)
    depth = _depth(depth, location, row.in_pixels, layers)
    chosen = _layers(facts, layers, depth)
    length = _length(length, location, row, facts)
    head = _head(head, pool)
    if project is not None and row.placement is not ImageTokens:
        raise PromptError("prompt.project", f"{project} with '{location}'", "location 'prepend'")
    shapes = row.shapes(facts, chosen, length, depth == "shallow")
    generator = torch.Generator().manual_seed(seed)
    blocks = {shape.name: visual_block(shape, facts, length, project, generator) for shape in shapes}
    weights = _weights(backbone, facts, tune, row, head)
    card = PromptCard(
        method="visual_prompt_tuning", placement="image", length=length, positions="unshifted",
        location=location, depth=depth, layers=list(chosen), weights=tuple(weights), tune=tune,
        reparameterization=None if project is None else f"project:{project}",
        initialization="random", seed=seed, backbone=backbone.card,
    )  # fmt: skip
    prompt = Prompt(card, shapes, blocks, dropout, weights=weights)
    if head is None:
        return prompt.to(backbone.device)
    made = new_head(backbone, head, seed, row.has_outputs)
    if depth == "deep" and row.has_outputs and reads_prompt(made.card):
        last = len(facts.tokens) - 1
        if last not in chosen:
            raise PromptError(
                "prompt.pool",
                f"'{made.card.pooling}' with layers {list(chosen)}",
                f"layer {last} among them, which gives the outputs that are read",
                "choose 'cls' or 'image'",
            )
    return prompt.with_head(made).to(backbone.device)


def _refuse_location(
    backbone: "Observable", facts: "PictureFacts", location: Location, length: int | None
) -> None:
    from softprompt.prompts.visual import LOCATIONS

    default = LOCATIONS[location].length
    n = length or (default if isinstance(default, int) else 0)
    why = facts.why_not(location, n)
    if why is None:
        return
    others = [_possible(facts, name) for name in LOCATIONS if name != location or name == "pixel-pad"]
    raise PromptError(
        "prompt.location",
        f"'{location}' for {backbone.card.name} ({backbone.card.family}), {why}",
        " or ".join(filter(None, others)) or "another backbone",
    )


def _possible(facts: "PictureFacts", location: Location) -> str:
    """A location that a backbone takes, in words; empty if it does not. Not every border fits the patches."""
    fits = (n for n in (5, 8, 16, 32) if facts.why_not(location, n) is None)
    length = (
        next(fits, None) if location == "pixel-pad" else 5 if facts.why_not(location, 5) is None else None
    )
    if length is None:
        return ""
    return f"'{location}' with length {length}" if location == "pixel-pad" else f"'{location}'"


def _depth(depth: Depth | None, location: Location, in_pixels: bool, layers: str | Sequence[int]) -> Depth:
    if depth is None:
        depth = "shallow" if in_pixels else "deep"
    if in_pixels and depth == "deep":
        raise PromptError("prompt.depth", f"'deep' with '{location}'", "'shallow', since pixels enter once")
    if depth == "shallow" and layers != "all":
        raise PromptError(
            "prompt.layers",
            f"{layers!r} with a shallow prompt",
            "'all', since a shallow prompt enters before the first layer",
        )
    return depth


def _layers(facts: "PictureFacts", layers: str | Sequence[int], depth: str) -> tuple[int, ...]:
    from softprompt.prompts.placements import resolve_layers

    if depth == "shallow":
        return (0,)
    return resolve_layers(layers, range(len(facts.tokens)), "prompt.layers")


def _length(length: int | None, location: str, row: "VisualLocation", facts: "PictureFacts") -> int:
    if isinstance(row.length, int):
        return row.length if length is None else length
    n = row.length(facts)
    if length is not None and length != n:
        raise PromptError("prompt.length", length, f"{n} with '{location}'", "leave length out")
    return n


def _head(head: "HeadCard | None", pool: PicturePooling | None) -> "HeadCard | None":
    if pool is None:
        return head
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


def _weights(
    backbone: "Observable",
    facts: "PictureFacts",
    tune: str | None,
    row: "VisualLocation",
    head: "HeadCard | None",
) -> "dict[str, Tensor]":
    from softprompt.prompts.methods.builder import tuned_weights

    weights = tuned_weights(backbone, tune, head)
    if row.trains_patches:
        frozen = backbone.frozen_tensors()
        weights |= {name: frozen[name].detach() for name in facts.patch_tensors if name not in weights}
    return weights
