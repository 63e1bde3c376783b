"""Putting a prompt together: the one place where placement, reparameterisation, start and head meet."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.prompts.heads import Head, resolve_pooling
from softprompt.prompts.initialize import Start, start
from softprompt.prompts.placements import SITES, KeyValueShape, Shape, SlotShape
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.prompts.reparameterize import MLP, Direct
from softprompt.store.card import HeadCard, PromptCard

Reparameterization = Literal["mlp"] | None
Positions = Literal["shifted", "unshifted"] | None


def assemble(
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
    head: HeadCard | None,
    seed: int,
) -> Prompt:
    """A prompt with vectors; the arguments are those of the methods."""
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
    prompt = _with_head(Prompt(card, shapes, blocks, dropout), backbone, head, seed)
    # What the two read and say must be the same; how they are trained need not.
    cards = [h and h.card.model_copy(update={"dropout": 0.0}) for h in (begin.head, prompt.head)]
    if begin.head is not None and prompt.head is not None and cards[0] == cards[1]:
        prompt.head.load_state_dict(begin.head.state_dict())
    return prompt


def assemble_bare(
    method: str, backbone: Observable, weights: Mapping[str, Tensor], head: HeadCard | None, seed: int
) -> Prompt:
    """A prompt without vectors: a head, copies of tensors in place of the backbone's own, or both."""
    # A parameter would be taken as it is, the backbone's own frozen one.
    weights = {name: tensor.detach() for name, tensor in weights.items()}
    card = PromptCard(
        method=method, placement="none", length=0, positions="unshifted", weights=tuple(weights),
        initialization="backbone", seed=seed, backbone=backbone.card,
    )  # fmt: skip
    return _with_head(Prompt(card, (), {}, weights=weights), backbone, head, seed)


def new_head(backbone: Observable, head: HeadCard, seed: int) -> Head:
    """A head of its own random numbers for this backbone."""
    card = resolve_pooling(head, [site for site, _ in backbone.attentions])
    # A generator of its own, so that the head is the same whatever prompt stands beside it.
    return Head(card, backbone.state_size, torch.Generator().manual_seed(seed))


def _with_head(prompt: Prompt, backbone: Observable, head: HeadCard | None, seed: int) -> Prompt:
    return prompt if head is None else prompt.with_head(new_head(backbone, head, seed))


def chosen_sites(backbone: Observable, sites: Sequence[str] | None) -> list[str]:
    """The attention sites meant; all that are there for None."""
    there = [site for site in SITES if any(site == name for name, _ in backbone.attentions)]
    if sites is None:
        return there
    for site in sites:
        if site not in there:
            raise PromptError("prompt.sites", repr(site), f"any of {there} ({backbone.card.name} has those)")
    if not sites:
        raise PromptError("prompt.sites", "nothing", f"any of {there}")
    return [site for site in there if site in sites]
