"""Building a prompt from its placement, parameterisation, start and head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.files import HeadCard, InsertsCard, PromptCard
from softprompt.prompts.heads import Head, empty_head, resolve_pooling, uses_output_layer
from softprompt.prompts.initializations import start
from softprompt.prompts.inserts import make_inserts
from softprompt.prompts.methods.options import Positions, Reparameterization
from softprompt.prompts.observable import Observable
from softprompt.prompts.placements import (
    RECURRENT,
    SITES,
    KeyValueShape,
    Shape,
    SlotShape,
    StateShape,
    key_value_shapes,
    state_shapes,
)
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.prompt import Prompt
from softprompt.prompts.reparameterize import MLP, Direct
from softprompt.prompts.start_request import Start, StartRequest

_PLACEMENTS: dict[type[Shape], Literal["key_values", "states", "slot_embeddings"]] = {
    KeyValueShape: "key_values",
    StateShape: "states",
    SlotShape: "slot_embeddings",
}


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


def mlp(backbone: Observable, kind: Reparameterization | None, width: int, depth: int) -> Network | None:
    """Prefix-Tuning's network, or None where the vectors are the parameters."""
    if kind is None:
        return None
    return Network(kind, lambda n, out, start, g: MLP(n, backbone.hidden, width, depth, out, start, g))


@dataclass(frozen=True)
class PromptBuilder:
    """Builds the prompt of a method: with vectors, or with a head, tensors and modules alone.

    Args:
        method: for the card.
        backbone: the frozen model.
        head: to read the states with.
        seed: of every random number.
        tune: which of the backbone's tensors are trained beside the vectors; None is none.
        template: that the prompt is made for.
    """

    method: str
    backbone: Observable
    head: HeadCard | None = None
    seed: int = 0
    tune: str | None = None
    template: str | None = None

    def key_values(
        self, sites: Sequence[str] | None = None, layers: str | Sequence[int] = "all"
    ) -> list[KeyValueShape]:
        """Blocks of keys and values.

        Args:
            sites: any of `encoder`, `decoder`, `cross`; None is every one that the backbone has.
            layers: `all`, `first:k`, `last:k` or layer numbers, in every chosen site.

        Raises:
            PromptError: a site or layer that the backbone does not have.
        """
        attentions = self.backbone.attentions
        available = [site for site in SITES if any(site == name for name, _ in attentions)]
        chosen = available if sites is None else [site for site in available if site in sites]
        for site in sites or ():
            if site not in available:
                expected = f"any of {available} ({self.backbone.card.name} has those)"
                raise PromptError("prompt.sites", repr(site), expected)
        if not chosen:
            raise PromptError("prompt.sites", "no site", f"any of {available}")
        return key_value_shapes(attentions, chosen, layers)

    def states(self, layers: str | Sequence[int] = "all") -> list[StateShape]:
        """Blocks of the states that recurrent layers begin from.

        Args:
            layers: `all`, `first:k`, `last:k` or layer numbers.

        Raises:
            PromptError: a layer without a recurrent state.
            BackboneError: no recurrent layer can begin from a trained state.
        """
        return state_shapes(self.backbone.recurrences, layers)

    def soft_tokens(self) -> list[SlotShape]:
        """The one block of soft tokens."""
        return [SlotShape(self.backbone.hidden)]

    def with_vectors(
        self,
        shapes: Sequence[Shape],
        initialization: str | Prompt,
        length: int | None = None,
        *,
        default_length: int = 10,
        examples: Sequence[Sequence[int]] | None = None,
        random_scale: float = 1.0,
        network: Network | None = None,
        positions: Positions,
        dropout: float = 0.0,
        in_place: bool = False,
        fixed: Mapping[int, Tensor] | None = None,
    ) -> Prompt:
        """A prompt with vectors.

        Args:
            shapes: the blocks, from `key_values`, `states` or `soft_tokens`.
            initialization: where the vectors beginning.
            length: as asked; None follows from the initialization.
            default_length: vectors where neither of the two says.
            examples: token ids, for `examples:k`.
            random_scale: standard deviation of `random`.
            network: what computes the vectors while they are trained; None trains them directly.
            positions: whether the text's positions start behind the prompt.
            dropout: on the vectors.
            in_place: whether slots stand where the text says, instead of in front.
            fixed: slots that begin at a vector of their own, by number.

        Raises:
            PromptError: a start or tensors that cannot be, or a length that leaves no position to a text.
        """
        limit = self.backbone.max_positions
        # Before any vector is made, since hundreds of thousands take minutes.
        if positions == "shifted" and limit is not None and length is not None and length >= limit:
            raise PromptError(
                "prompt.length",
                length,
                f"fewer than {limit}, which are all positions of {self.backbone.card.name}",
                "choose a shorter prompt, or positions='unshifted'",
            )
        generator = torch.Generator().manual_seed(self.seed)
        beginning = start(
            initialization,
            StartRequest(self.backbone, shapes, length, default_length, examples, generator, random_scale),
        )
        if fixed and beginning.flats is not None:
            for number, vector in fixed.items():
                beginning.flats[shapes[0].name][number] = vector
        elif network is not None and initialization == "random":
            beginning = Start(beginning.length, None)
        blocks: dict[str, nn.Module] = {}
        for shape in shapes:
            flat = None if beginning.flats is None else beginning.flats[shape.name].float().cpu()
            if network is not None:
                blocks[shape.name] = network.make(beginning.length, shape.width, flat, generator)
            else:
                assert flat is not None
                blocks[shape.name] = Direct(flat)
        sites: dict[str, list[int]] = {}
        for shape in shapes:
            if isinstance(shape, KeyValueShape):
                sites[shape.site] = sorted([*sites.get(shape.site, []), *shape.layers])
            elif isinstance(shape, StateShape):
                sites[RECURRENT] = sorted([*sites.get(RECURRENT, []), *shape.layers])
        weights = tuned_weights(self.backbone, self.tune, self.head)
        card = PromptCard(
            method=self.method,
            placement=_PLACEMENTS[type(shapes[0])],
            length=beginning.length,
            slots="in_place" if in_place else "front",
            template=self.template,
            positions=positions,
            sites=sites,
            weights=tuple(weights),
            tune=self.tune if weights else None,
            reparameterization=None if network is None else network.name,
            initialization=initialization
            if isinstance(initialization, str)
            else f"prompt: {initialization.card.method}",
            seed=self.seed,
            backbone=self.backbone.card,
        )
        prompt = self._with_head(Prompt(card, shapes, blocks, dropout, weights=weights))
        # The heads must read and answer the same; their dropout may differ.
        cards = [h and h.card.model_copy(update={"dropout": 0.0}) for h in (beginning.head, prompt.head)]
        if beginning.head is not None and prompt.head is not None and cards[0] == cards[1]:
            prompt.head.load_state_dict(beginning.head.state_dict())
        return prompt

    def without_vectors(
        self, inserts: InsertsCard | None = None, weights: Mapping[str, Tensor] | None = None
    ) -> Prompt:
        """A prompt of a head, tensors in place of the backbone's own, and modules beside its layers.

        Args:
            inserts: the modules.
            weights: the tensors; None are those that `tune` means.
        """
        if weights is None:
            weights = tuned_weights(self.backbone, self.tune, self.head)
        card = PromptCard(
            method=self.method, placement="none", length=0, positions="unshifted", weights=tuple(weights),
            tune=self.tune if weights else None, inserts=inserts, template=self.template,
            initialization="backbone", seed=self.seed, backbone=self.backbone.card,
        )  # fmt: skip
        modules: Sequence[nn.Module] = ()
        if inserts is not None:
            sizes = {name: size for layer in self.backbone.layers for name, size in layer.sizes.items()}
            modules = make_inserts(inserts, sizes, self.seed)
        return self._with_head(Prompt(card, (), {}, weights=weights, inserts=modules))

    def _with_head(self, prompt: Prompt) -> Prompt:
        """The prompt with its head, on the backbone's device; random numbers were drawn on the CPU."""
        if self.head is not None:
            prompt = prompt.with_head(new_head(self.backbone, self.head, self.seed))
        return prompt.to(self.backbone.device)


def needs_texts(backbone: Observable, method: str, do: str) -> None:
    """Refuse a method for texts on a backbone that reads pictures, or sounds before it writes.

    Args:
        backbone: the frozen model.
        method: its name.
        do: what to do where the backbone reads pictures.

    Raises:
        PromptError: the backbone reads no texts.
    """
    if backbone.reads != "texts":
        got = f"{backbone.card.name}, which reads {backbone.reads}"
        do = (
            do
            if backbone.reads == "pictures"
            else "use prefix_tuning, which reaches the decoder's attentions"
        )
        raise PromptError(method, got, "a backbone that reads texts", do)


def default_positions(backbone: Observable) -> Literal["shifted", "unshifted"]:
    """The papers' own: decoders and encoders count the prompt; encoder-decoders and pictures do not."""
    both = {"encoder", "decoder"} <= backbone.stacks
    return "unshifted" if both or backbone.reads != "texts" else "shifted"


@plain_tensors()
def new_head(backbone: Observable, head: HeadCard, seed: int, own_outputs: bool = False) -> Head:
    """A new head for this backbone.

    Args:
        backbone: the frozen model.
        head: its card, as the user wrote it.
        seed: of the random numbers.
        own_outputs: whether the prompt is tokens, whose outputs a head can read.

    Raises:
        PromptError: a head that does not fit the backbone or the prompt.
    """
    facts = backbone.pictures
    card = resolve_pooling(head, backbone.stacks, None if facts is None else facts.has_class)
    if not own_outputs and card.pooling == "prompt":
        raise PromptError(
            "head.pooling", "'prompt' for a prompt without tokens", "'cls', 'image' or 'mean'",
            "use visual_prompt_tuning(location='prepend')",
        )  # fmt: skip
    # A generator of its own, so that the head is the same whatever prompt stands beside it.
    return empty_head(card, backbone, torch.Generator().manual_seed(seed))


def tuned_weights(backbone: Observable, tune: str | None, head: HeadCard | None) -> dict[str, Tensor]:
    """The backbone's own tensors that `tune` means, where training begins; none for None."""
    if tune is None:
        return {}
    frozen = backbone.frozen_tensors()
    names = backbone.tuned_tensors(tune, lm_head=uses_output_layer(head))
    # Detached, since a prompt takes a parameter as it is, and this one is the backbone's own.
    return {name: frozen[name].detach() for name in names}
