"""Putting a prompt together: the one place where placement, reparameterisation, start and head meet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.prompts.heads import Head, empty_head, resolve_pooling
from softprompt.prompts.initialize import Start, start
from softprompt.prompts.inserts import make_inserts
from softprompt.prompts.placements import SITES, KeyValueShape, Shape, SlotShape
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.prompts.reparameterize import MLP, Direct
from softprompt.store.card import HeadCard, InsertsCard, PromptCard

Reparameterization = Literal["mlp"] | None
Positions = Literal["shifted", "unshifted"] | None


@dataclass(frozen=True)
class Network:
    """What flat vectors are computed by while they are trained.

    Args:
        name: for the card.
        make: gives the module, from the number of vectors, the numbers per vector, the start (None: the
            module's own output) and the source of random numbers.
    """

    name: str
    make: Callable[[int, int, Tensor | None, torch.Generator], nn.Module]


def network(backbone: Observable, kind: Reparameterization, width: int, depth: int) -> Network | None:
    """Prefix-Tuning's network, or None where the vectors are the parameters."""
    if kind is None:
        return None
    if kind != "mlp":
        raise PromptError("prompt.reparameterization", repr(kind), "'mlp' or None")
    return Network("mlp", lambda n, out, start, g: MLP(n, backbone.hidden, width, depth, out, start, g))


@plain_tensors()
def assemble(
    method: str,
    backbone: Observable,
    shapes: Sequence[Shape],
    length: int | None,
    default_length: int,
    through: Network | None,
    initialization: str | Prompt,
    random_scale: float,
    positions: Positions,
    default_positions: Literal["shifted", "unshifted"],
    dropout: float,
    examples: Sequence[Sequence[int]] | None,
    tune: str | None,
    head: HeadCard | None,
    seed: int,
    in_place: bool = False,
    template: str | None = None,
    fixed: Mapping[int, Tensor] | None = None,
) -> Prompt:
    """A prompt with vectors; most arguments are those of the methods.

    Args:
        method: for the card.
        backbone: the frozen model.
        shapes: of the blocks.
        length: as asked; None follows from the start.
        default_length: where nothing says.
        through: what computes the vectors while they are trained; None trains them directly.
        initialization: where they begin.
        random_scale: standard deviation of `random`.
        positions: as asked.
        default_positions: the method's.
        dropout: on the vectors.
        examples: token ids, for `examples:k`.
        tune: which of the backbone's tensors are trained beside the vectors.
        head: to read the states with.
        seed: of every random number.
        in_place: whether slots stand where the text says, instead of in front.
        template: that it is made for.
        fixed: slots that begin at a vector of their own, by number.
    """
    if positions is not None and positions not in get_args(get_args(Positions)[0]):
        raise PromptError(
            "prompt.positions", repr(positions), "'shifted', 'unshifted' or None (the method's own)"
        )
    if not 0 <= dropout < 1:
        raise PromptError("prompt.dropout", dropout, "a probability of at least 0 and below 1")
    generator = torch.Generator().manual_seed(seed)
    begin = start(backbone, shapes, initialization, length, default_length, examples, generator, random_scale)
    if fixed and begin.flats is not None:
        for number, vector in fixed.items():
            begin.flats[shapes[0].name][number] = vector
    elif through is not None and initialization == "random":
        begin = Start(begin.length, None)
    blocks: dict[str, nn.Module] = {}
    for shape in shapes:
        flat = None if begin.flats is None else begin.flats[shape.name].float().cpu()
        if through is not None:
            blocks[shape.name] = through.make(begin.length, shape.width, flat, generator)
        else:
            assert flat is not None
            blocks[shape.name] = Direct(flat)
    sites: dict[str, list[int]] = {}
    for shape in shapes:
        if isinstance(shape, KeyValueShape):
            sites[shape.site] = sorted([*sites.get(shape.site, []), *shape.layers])
    weights = tuned_weights(backbone, tune, head)
    card = PromptCard(
        method=method,
        placement="slot_embeddings" if isinstance(shapes[0], SlotShape) else "key_values",
        length=begin.length,
        slots="in_place" if in_place else "front",
        template=template,
        positions=positions or default_positions,
        sites=sites,
        weights=tuple(weights),
        tune=tune if weights else None,
        reparameterization=None if through is None else through.name,
        initialization=initialization
        if isinstance(initialization, str)
        else f"prompt: {initialization.card.method}",
        seed=seed,
        backbone=backbone.card,
    )
    prompt = _with_head(Prompt(card, shapes, blocks, dropout, weights=weights), backbone, head, seed)
    # What the two read and say must be the same; how they are trained need not.
    cards = [h and h.card.model_copy(update={"dropout": 0.0}) for h in (begin.head, prompt.head)]
    if begin.head is not None and prompt.head is not None and cards[0] == cards[1]:
        prompt.head.load_state_dict(begin.head.state_dict())
    return prompt


@plain_tensors()
def assemble_bare(
    method: str,
    backbone: Observable,
    weights: Mapping[str, Tensor],
    head: HeadCard | None,
    seed: int,
    tune: str | None = None,
    template: str | None = None,
    inserts: InsertsCard | None = None,
) -> Prompt:
    """A prompt without vectors: a head, tensors in place of the backbone's own, modules beside its layers."""
    card = PromptCard(
        method=method, placement="none", length=0, positions="unshifted", weights=tuple(weights),
        tune=tune if weights else None, inserts=inserts, template=template, initialization="backbone",
        seed=seed, backbone=backbone.card,
    )  # fmt: skip
    modules: Sequence[nn.Module] = ()
    if inserts is not None:
        sizes = {name: size for layer in backbone.layers for name, size in layer.sizes.items()}
        modules = make_inserts(inserts, sizes, seed)
    return _with_head(Prompt(card, (), {}, weights=weights, inserts=modules), backbone, head, seed)


def needs_texts(backbone: Observable, method: str, do: str) -> None:
    """Refuse a method that stands in texts on a backbone that reads pictures.

    Raises:
        PromptError: it does.
    """
    if backbone.pictures is not None:
        got = f"{backbone.card.name}, which reads pictures"
        raise PromptError(method, got, "a backbone that reads texts", do)


@plain_tensors()
def new_head(backbone: Observable, head: HeadCard, seed: int, own_outputs: bool = False) -> Head:
    """A head of its own random numbers for this backbone.

    Args:
        own_outputs: whether the prompt is tokens that a head can read.
    """
    facts = backbone.pictures
    sites = [] if facts is not None else [site for site, _ in backbone.attentions]
    card = resolve_pooling(head, sites, None if facts is None else facts.has_class)
    if facts is not None and card.pooling == "prompt" and not own_outputs:
        raise PromptError(
            "head.pooling", "'prompt' for a prompt without tokens", "'cls', 'image' or 'mean'",
            "use visual_prompt_tuning(location='prepend')",
        )  # fmt: skip
    # A generator of its own, so that the head is the same whatever prompt stands beside it.
    return empty_head(card, backbone, torch.Generator().manual_seed(seed))


def tuned_weights(backbone: Observable, tune: str | None, head: HeadCard | None) -> dict[str, Tensor]:
    """The backbone's own tensors that a choice means, where training begins; none for None."""
    if tune is None:
        return {}
    frozen = backbone.frozen_tensors()
    # A head that reads the last states leaves nothing to say in words.
    words = head is None or head.kind in ("calibration", "soft")
    names = backbone.tuned_tensors(tune, lm_head=words)
    # Detached: a parameter would be taken as it is, the backbone's own frozen one.
    return {name: frozen[name].detach() for name in names}


def _with_head(prompt: Prompt, backbone: Observable, head: HeadCard | None, seed: int) -> Prompt:
    """With its head, and where the backbone is; random numbers were drawn on the processor."""
    made = prompt if head is None else prompt.with_head(new_head(backbone, head, seed))
    return made.to(backbone.device)


def chosen_sites(backbone: Observable, sites: Sequence[str] | None) -> list[str]:
    """The attention sites meant; all that are there for None."""
    there = [site for site in SITES if any(site == name for name, _ in backbone.attentions)]
    if sites is None:
        return there
    for site in sites:
        if site not in there:
            raise PromptError("prompt.sites", repr(site), f"any of {there} ({backbone.card.name} has those)")
    if not sites:
        raise PromptError("prompt.sites", "no site", f"any of {there}")
    return [site for site in there if site in sites]
