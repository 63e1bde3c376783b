"""The methods, by the papers' names. A method is a row:
placement x reparameterisation x initialisation x layers.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from softprompt.config import MethodSettings
from softprompt.errors import PromptError
from softprompt.prompts.initialize import Start, start
from softprompt.prompts.placements import SITES, KeyValueShape, Shape, SlotShape, key_value_shapes
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.prompts.reparameterize import MLP, Direct
from softprompt.store.card import PromptCard

Reparameterization = Literal["mlp"] | None
Positions = Literal["shifted", "unshifted"] | None


def prefix_tuning(
    backbone: Observable,
    length: int | None = None,
    layers: str | Sequence[int] = "all",
    *,
    sites: Sequence[str] | None = None,
    reparameterization: Reparameterization = "mlp",
    width: int = 512,
    depth: int = 1,
    initialization: str | Prompt = "vocabulary",
    positions: Positions = None,
    dropout: float = 0.0,
    examples: Sequence[Sequence[int]] | None = None,
    seed: int = 0,
) -> Prompt:
    """A prefix of trained keys and values before every layer.

    Source: Prefix-Tuning (arXiv 2101.00190) §4.2-4.3. Deviations: the default start is real
    activations of vocabulary tokens rather than random numbers (`softprompt train` starts from
    training examples), see `initialize`; the network begins exactly at that start, see `MLP`.

    Args:
        backbone: the frozen model.
        length: prompt vectors per layer, 10 unless the initialization is a text, whose length it is.
        layers: `all`, `first:k`, `last:k` or layer numbers, in every chosen site.
        sites: any of `encoder`, `decoder`, `cross`; None is every one that the backbone has.
        reparameterization: `mlp` (the paper's) or None (keys and values are the parameters).
        width: hidden width of the MLP (512 in the paper, 800 for summaries).
        depth: hidden layers of the MLP (1 in the paper).
        initialization: `examples:k`, `text: ...`, `vocabulary`, `random`, `zero`, `prompt: FOLDER` or
            a prompt. `random` is N(0, 1), as the official code's; with the MLP, the MLP's own output.
        positions: `shifted` lets the text's positions start behind the prefix, `unshifted` at 0. None
            is the paper's: shifted for decoders, unshifted for encoder-decoders.
        dropout: on the prefix while training (0 in the paper).
        examples: token ids of training examples, for `examples:k`.
        seed: of every random number here.

    Raises:
        PromptError: a layer, site or form that is not there.
    """
    shapes = key_value_shapes(backbone.attentions, _sites(backbone, sites), layers)
    default = "unshifted" if any(site == "cross" for site, _ in backbone.attentions) else "shifted"
    return _build(
        "prefix_tuning", backbone, shapes, length, 10, reparameterization, width, depth, initialization, 1.0,
        positions, default, dropout, examples, seed,
    )  # fmt: skip


def prompt_tuning(
    backbone: Observable,
    length: int | None = None,
    *,
    reparameterization: Reparameterization = None,
    width: int = 512,
    depth: int = 1,
    initialization: str | Prompt = "vocabulary",
    positions: Positions = None,
    dropout: float = 0.0,
    examples: Sequence[Sequence[int]] | None = None,
    seed: int = 0,
) -> Prompt:
    """Soft tokens in front of the text.

    Source: Lester et al. (arXiv 2104.08691), and Prefix-Tuning's embedding-only ablation (§7.2; its
    MLP is `reparameterization="mlp"`). On a decoder the tokens become key/values by one pass of
    batch 1, which is exact: nothing before them can change them. Deviation: past a sliding window they
    still act. On an encoder-decoder they stand in the encoder's input.

    Args:
        backbone: the frozen model.
        length: soft tokens, 20 unless the initialization is a text, whose length it is.
        reparameterization: `mlp` or None (the vectors are the parameters).
        width: hidden width of the MLP.
        depth: hidden layers of the MLP.
        initialization: as in `prefix_tuning`; `random` is N(0, s) with s the standard deviation of the
            backbone's own embeddings.
        positions: `shifted` (default) lets the text's positions start behind the soft tokens.
        dropout: on the vectors while training.
        examples: token ids of training examples, for `examples:k`.
        seed: of every random number here.

    Raises:
        PromptError: a form or length that cannot be.
    """
    there = {site for site, _ in backbone.attentions}
    if "cross" in there and positions == "unshifted":
        raise PromptError(
            "prompt.positions",
            "'unshifted'",
            "'shifted': before an encoder, soft tokens are part of the input",
        )
    if "decoder" not in there:
        raise PromptError(
            "prompt_tuning", f"{backbone.card.name}, an encoder", "a decoder or an encoder-decoder"
        )
    shapes = [SlotShape(backbone.hidden)]
    scale = (
        backbone.embed(backbone.sample_tokens(1000, torch.Generator().manual_seed(0))).float().std().item()
    )
    return _build(
        "prompt_tuning", backbone, shapes, length, 20, reparameterization, width, depth, initialization,
        scale, positions, "shifted", dropout, examples, seed,
    )  # fmt: skip


METHODS = {"prefix_tuning": prefix_tuning, "prompt_tuning": prompt_tuning}
"""Every method by the name that settings and prompt files use."""


def build(
    backbone: Observable, settings: MethodSettings, seed: int, examples: Sequence[Sequence[int]] | None = None
) -> Prompt:
    """The prompt that a run's settings ask for."""
    options = settings.model_dump(exclude={"name"})
    return METHODS[settings.name](backbone, **options, examples=examples, seed=seed)


def _build(
    method: str,
    backbone: Observable,
    shapes: Sequence[Shape],
    length: int | None,
    default_length: int,
    reparameterization: Reparameterization,
    width: int,
    depth: int,
    initialization: str | Prompt,
    random_scale: float,
    positions: Positions,
    default_positions: Literal["shifted", "unshifted"],
    dropout: float,
    examples: Sequence[Sequence[int]] | None,
    seed: int,
) -> Prompt:
    if reparameterization not in ("mlp", None):
        raise PromptError("prompt.reparameterization", repr(reparameterization), "'mlp' or None")
    if positions is not None and positions not in get_args(get_args(Positions)[0]):
        raise PromptError(
            "prompt.positions", repr(positions), "'shifted', 'unshifted' or None (the method's own)"
        )
    if not 0 <= dropout < 1:
        raise PromptError("prompt.dropout", dropout, "a probability from 0 up to, but not, 1")
    generator = torch.Generator().manual_seed(seed)
    begin = start(backbone, shapes, initialization, length, default_length, examples, generator, random_scale)
    if reparameterization == "mlp" and initialization == "random":
        begin = Start(begin.length, None)
    blocks: dict[str, nn.Module] = {}
    for shape in shapes:
        flat = None if begin.flats is None else begin.flats[shape.name].float().cpu()
        if reparameterization == "mlp":
            blocks[shape.name] = MLP(
                begin.length, backbone.hidden, width, depth, shape.width, flat, generator
            )
        else:
            assert flat is not None
            blocks[shape.name] = Direct(flat)
    sites: dict[str, list[int]] = {}
    for shape in shapes:
        if isinstance(shape, KeyValueShape):
            sites[shape.site] = sorted([*sites.get(shape.site, []), *shape.layers])
    card = PromptCard(
        method=method,
        placement="slot_embeddings" if isinstance(shapes[0], SlotShape) else "key_values",
        length=begin.length,
        positions=positions or default_positions,
        sites=sites,
        reparameterization=reparameterization,
        initialization=initialization
        if isinstance(initialization, str)
        else f"prompt: {initialization.card.method}",
        seed=seed,
        backbone=backbone.card,
    )
    return Prompt(card, shapes, blocks, dropout)


def _sites(backbone: Observable, sites: Sequence[str] | None) -> list[str]:
    there = [site for site in SITES if any(site == name for name, _ in backbone.attentions)]
    if sites is None:
        return there
    for site in sites:
        if site not in there:
            raise PromptError("prompt.sites", repr(site), f"any of {there} ({backbone.card.name} has those)")
    if not sites:
        raise PromptError("prompt.sites", "nothing", f"any of {there}")
    return [site for site in there if site in sites]
