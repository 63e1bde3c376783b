"""The two prompts that other libraries have: a prefix before every layer, and soft tokens before the text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from softprompt.errors import PromptError
from softprompt.files import PromptCard
from softprompt.prompts import KeyValues, KeyValueShape, Prompt, PromptBuilder, assembled

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


def whole_shape(backbone: "Backbone", where: str) -> KeyValueShape:
    """The layout of keys and values before every layer: of the decoder, or of an encoder that stands alone.

    Raises:
        PromptError: attentions of several sizes, or none within reach.
    """
    sites = {site for site, _ in backbone.attentions}
    if not sites:
        got = f"{backbone.card.name}, in whose attention no keys and values can be put"
        raise PromptError(where, got, "a transformer whose attention is within reach")
    shapes = PromptBuilder("prefix_tuning", backbone).key_values(
        ["decoder" if "decoder" in sites else "encoder"]
    )
    if len(shapes) > 1 or shapes[0].attention.key_dim != shapes[0].attention.value_dim:
        got = f"{backbone.card.name}, whose attentions have keys and values of several sizes"
        raise PromptError(where, got, "layers of one size, since the file has one width for all")
    return shapes[0]


def prefix_prompt(
    keys: Float[Tensor, "layer kv_head prompt dim"],
    values: Float[Tensor, "layer kv_head prompt dim"],
    backbone: "Backbone",
    where: str,
    weights: Mapping[str, Tensor] | None = None,
    **facts: Any,
) -> Prompt:
    """The prompt of keys and values before every layer, behind which the text's positions begin.

    Args:
        keys: in the order of layers.
        values: as keys.
        backbone: that they are for.
        where: what is read, for errors.
        weights: tensors in place of the backbone's own, by name.
        facts: more of the card.
    """
    shape = whole_shape(backbone, where)
    block = KeyValues(shape.site, shape.layers, keys, values)
    tensors = dict(zip(shape.sizes(block.length), (keys, values), strict=True))
    placed = {"method": "prefix_tuning", "placement": "key_values", "length": block.length}
    placed["sites"] = {shape.site: list(shape.layers)}
    return _prompt(placed | facts, tensors, weights or {}, backbone, where)


def soft_tokens_prompt(
    vectors: Float[Tensor, "slot hidden"],
    backbone: "Backbone",
    where: str,
    weights: Mapping[str, Tensor] | None = None,
    **facts: Any,
) -> Prompt:
    """The prompt of soft tokens in front of the text; as `prefix_prompt`."""
    placed = {"method": "prompt_tuning", "placement": "slot_embeddings", "length": len(vectors)}
    return _prompt(placed | facts, {"slots": vectors}, weights or {}, backbone, where)


def _prompt(
    facts: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    backbone: "Backbone",
    where: str,
) -> Prompt:
    card = PromptCard(**facts, positions="shifted", weights=tuple(weights), seed=0, backbone=backbone.card)
    named = {f"weights.{name}": tensor for name, tensor in weights.items()}
    return assembled(card, {**tensors, **named}, backbone, where)


def whole_prefix(prompt: Prompt, backbone: "Backbone", owner: str) -> KeyValues:
    """The keys and values of a prompt that stands before every layer, and is nothing more.

    Args:
        prompt: to be written.
        backbone: of the prompt.
        owner: whose files they are for.

    Raises:
        PromptError: what those files cannot say, with the reason.
    """
    card, shape = prompt.card, whole_shape(backbone, "prompt")
    if (expected := {shape.site: list(shape.layers)}) != card.sites:
        got = f"{card.sites}"
        raise PromptError("prompt.sites", got, f"{expected}, since {owner} puts them before every layer")
    check_positions(prompt, owner)
    (block,) = prompt()
    assert isinstance(block, KeyValues)
    return block


def check_positions(prompt: Prompt, owner: str) -> None:
    """Refuse a text whose positions start at 0, which no other library has."""
    if prompt.card.positions == "unshifted":
        raise PromptError(
            "prompt.positions",
            "a text whose positions start at 0",
            f"positions that start behind the prompt, which is what {owner} has",
            "train with positions='shifted'",
        )


def backbone_of(prompt: Prompt, backbone: "Backbone | None") -> "Backbone":
    """The given backbone, or the one that the prompt was made or loaded for.

    Raises:
        PromptError: none, or another than the prompt's.
    """
    backbone = prompt.origin.backbone if backbone is None else backbone
    if backbone is None:
        raise PromptError("backbone", "none", "the prompt's backbone", "pass backbone=...")
    if backbone.card.key not in prompt.accepted and (why := prompt.unlike(backbone.card)) is not None:
        got, expected = f"{backbone.card.name} ({why})", f"{prompt.card.backbone.name}"
        raise PromptError("backbone", got, expected, "pass the backbone that the prompt was trained on")
    return backbone


def check_vectors_alone(prompt: Prompt, owner: str) -> None:
    """Refuse prompts with anything beside keys and values or soft tokens in front of the text."""
    card = prompt.card
    others = {
        "states": "states of recurrent layers",
        "image": "a visual prompt",
        "none": "a prompt without vectors",
    }
    if card.placement in others:
        got, expected = f"{others[card.placement]} ({card.method})", "keys and values, or soft tokens"
        raise PromptError("prompt", got, f"{expected}, which is what {owner} has")
    if card.inserts is not None:
        got = f"a prompt with modules beside it ({card.inserts.kind})"
        raise PromptError("prompt", got, f"a prompt alone, which is what {owner} has")
    if card.slots == "in_place":
        expected = f"soft tokens in front of the text, the only place that {owner} has"
        raise PromptError("prompt.template", "soft tokens at places of a template", expected)
    if card.head is not None:
        raise PromptError(
            "prompt.head",
            f"a head of softprompt's own ({card.head.kind})",
            f"no head, since {owner} has modules of the backbone alone",
            "write prompt.with_head(None), and keep the head in softprompt's file",
        )
