"""The comparisons that put small modules beside the backbone's linear layers: adapters and LoRA.

The modules are in `inserts`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from softprompt.errors import BackboneError, PromptError, nearest
from softprompt.files import Activation, AdapterPlacement, AdaptersCard, LoraCard
from softprompt.prompts.methods.options import Count, Layers, Probability
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import HEAD_RATE, TrainingDefaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.inserts import LayerLinears
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt

_REDUCTION = 16


@method("adapter", training=TrainingDefaults(1e-3, HEAD_RATE))
def adapter(
    backbone: "Observable",
    *,
    reduction: Count = _REDUCTION,
    width: Count | None = None,
    activation: Activation = "relu",
    placement: AdapterPlacement = "houlsby",
    layers: Layers = "all",
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Bottleneck adapters: two small projections and a skip connection after parts of every layer.

    Source: Houlsby et al. (arXiv 1902.00751) §2: after the projection that ends the self-attention and
    after the one that ends the feed-forward, before the residual sum and the norm; Pfeiffer et al. (arXiv
    2005.00247): after the feed-forward only. Deviations: the backbone's norms stay frozen (the paper trains
    them; `fine_tuning(tune="layernorm")` is the other half); an adapter stands before the backbone's own
    dropout, not behind it, and in Gemma before the norm that is inside the residual branch; see `Adapter`
    for the start. None stands after cross-attention.

    Args:
        backbone: the frozen model. Layers that share their modules (ALBERT's) share their adapters.
        reduction: the layer's width divided by that of the bottleneck (rounded down).
        width: of the bottleneck, in place of `reduction`.
        activation: `relu` or `gelu`.
        placement: `houlsby`, two in every layer, or `pfeiffer`, one.
        layers: `all`, `first:k`, `last:k` or layer numbers, in every stack.
        head: read off the states, see `softprompt.head`. It reads encoder-decoders by their encoder, which
            alone then has adapters.
        seed: of every random number here.

    Raises:
        PromptError: a size, form or layer that cannot be.
        BackboneError: a family whose projections are not found.
    """
    from softprompt.prompts.methods.builder import PromptBuilder

    if width is not None and reduction != _REDUCTION:
        raise PromptError(
            "adapter.width",
            f"both a width ({width}) and a reduction ({reduction})",
            "one of the two",
            "leave one out",
        )
    sizes: dict[str, tuple[int, int]] = {}
    for layer in _chosen(backbone, layers, head):
        places = [layer.output] if placement == "pfeiffer" else [layer.attention_output, layer.output]
        sizes |= {name: layer.sizes[name] for name in places if name is not None}
        if None in places:
            raise BackboneError(
                f"adapter: {backbone.card.name} ({backbone.card.family}), {layer.site} layer {layer.number}",
                "no linear layer that ends the attention and another that ends the feed-forward",
                "both of them, of the same width",
                "use lora, with targets",
            )
    hidden = sorted({out for _, out in sizes.values()})
    if width is None:
        if len(hidden) > 1:
            raise PromptError(
                "adapter.reduction", f"layers of different widths ({', '.join(map(str, hidden))})",
                "layers of one width", "give a width",
            )  # fmt: skip
        width = hidden[0] // reduction
        if width < 1:
            raise PromptError("adapter.reduction", reduction, f"at most {hidden[0]}, the width of the layers")
    card = AdaptersCard(modules=tuple(sizes), width=width, activation=activation, placement=placement)
    return PromptBuilder("adapter", backbone, head, seed).without_vectors(card)


@method("lora", training=TrainingDefaults(1e-3, HEAD_RATE))
def lora(
    backbone: "Observable",
    *,
    rank: Count = 8,
    alpha: Annotated[float, Field(gt=0)] = 16,
    dropout: Probability = 0.0,
    targets: Annotated[Sequence[str], Field(min_length=1)] | None = None,
    layers: Layers = "all",
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """LoRA: a product of two thin matrices beside chosen linear layers.

    Source: Hu et al. (arXiv 2106.09685), computed by PEFT, which `pip install "softprompt[compare]"`
    brings: with the same seed, parameters, logits and gradients are those of `peft.get_peft_model`.
    Deviation: linear layers outside the model's layers (poolers, projections of embeddings) are no targets.

    Args:
        backbone: the frozen model. Layers that share their modules (ALBERT's) share their LoRA.
        rank: of the product.
        alpha: the product counts `alpha / rank` times.
        dropout: on its input while training.
        targets: ends of the modules' names; None is PEFT's default for the family: queries and values.
        layers: `all`, `first:k`, `last:k` or layer numbers, in every stack.
        head: read off the states, see `softprompt.head`. It reads encoder-decoders by their encoder, which
            alone then has LoRA.
        seed: of every random number here.

    Raises:
        PromptError: a size or layer that cannot be, targets that are not there or not known, or PEFT is
            not installed.
        BackboneError: a family whose layers are not found.
    """
    from softprompt.prompts.methods.builder import PromptBuilder

    chosen = _chosen(backbone, layers, head)
    names = list(dict.fromkeys(name for layer in chosen for name in layer.sizes))
    ends = list(dict.fromkeys(name.rpartition(".")[2] for name in names))
    chosen_ends = _default_targets(backbone, ends) if targets is None else list(dict.fromkeys(targets))
    for end in chosen_ends:
        if not any(_ends(name, end) for name in names):
            raise PromptError(
                "lora.targets", f"'{end}'", f"ends of names of linear layers: {', '.join(ends)}",
                nearest(end, ends),
            )  # fmt: skip
    card = LoraCard(
        modules=tuple(name for name in names if any(_ends(name, end) for end in chosen_ends)),
        rank=rank, alpha=alpha, dropout=dropout, targets=tuple(chosen_ends),
    )  # fmt: skip
    return PromptBuilder("lora", backbone, head, seed).without_vectors(card)


def _chosen(
    backbone: "Observable", layers: str | Sequence[int], head: "HeadCard | None"
) -> list["LayerLinears"]:
    """The chosen layers, in every stack; with a head in the encoder alone, which the head reads."""
    from softprompt.prompts.placements import resolve_layers

    sites = list(dict.fromkeys(layer.site for layer in backbone.layers))
    if head is not None and "encoder" in sites:
        sites = ["encoder"]
    chosen: list[LayerLinears] = []
    for site in sites:
        stack = [layer for layer in backbone.layers if layer.site == site]
        numbers = resolve_layers(layers, sorted(layer.number for layer in stack), "prompt.layers")
        selected = [layer for layer in stack if layer.number in numbers]
        others = {name for layer in stack if layer.number not in numbers for name in layer.sizes}
        if any(name in others for layer in selected for name in layer.sizes):
            raise PromptError(
                "prompt.layers",
                f"{layers!r} on {backbone.card.name}, where other layers share their modules",
                "'all'",
            )
        chosen += selected
    return chosen


def _default_targets(backbone: "Observable", ends: Sequence[str]) -> list[str]:
    from softprompt.prompts.inserts import peft

    peft()
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    family = backbone.card.family
    targets = DEFAULTS.get(family)
    if not isinstance(targets, list):  # none, or a pattern over whole names
        raise PromptError(
            "lora.targets", f"no targets for {family}, for which PEFT has no default",
            f"a list of some of {', '.join(ends)}", "name those of the queries and values",
        )  # fmt: skip
    return list(targets)


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")
