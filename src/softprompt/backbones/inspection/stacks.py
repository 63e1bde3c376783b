"""The stacks of layers that take a text, and how each numbers positions."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.attention_sites import AttentionSite, text_module
from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.families import CHANGING_ROTARY
from softprompt.backbones.inspection.probe import DECODER_LEN, Recording, has_decoder, reads_forward

Numbering = Literal["ids", "table", "relative", "unknown"]


@dataclass(frozen=True)
class Stack:
    """A module that takes a text.

    Args:
        site: `encoder` or `decoder`.
        module: the module.
        signature: of its forward.
        numbering: how positions are numbered: by a `position_ids` argument, by a learned table that counts
            them itself, by relative biases, or in an unknown way.
        bias_owner: the module with T5's relative position bias, which all layers share, if any.
        rotary: how its rotary table changes with the length of a text; None if it never changes.
        model: the whole model.
    """

    site: str
    module: nn.Module
    signature: inspect.Signature
    numbering: Numbering
    bias_owner: nn.Module | None
    rotary: "ChangingRotary | None"
    model: PreTrainedModel

    @property
    def words(self) -> nn.Module:
        """The table of input embeddings that the stack reads from, which may be replaced by a larger one."""
        own = getattr(self.module, "get_input_embeddings", None)  # FSMT's stacks are plain modules
        return self.model.get_input_embeddings() if own is None else own()

    @property
    def takes_per_layer_inputs(self) -> bool:
        """Whether tokens have second embeddings, one for each layer."""
        return has_per_layer_inputs(self.module)

    def per_layer_inputs(self, ids: Tensor | None, embeds: Tensor | None = None) -> Tensor | None:
        """The second embeddings of tokens, `[batch, seq, layer, size]`.

        None where a call has input embeddings alone, and the family goes without (Gemma 3n).

        Args:
            ids: of the tokens, `[batch, seq]`.
            embeds: the input embeddings of a call without ids, `[batch, seq, hidden]`.
        """
        module: Any = self.module
        if ids is not None:
            return module.get_per_layer_inputs(ids)
        finds = "inputs_embeds" in inspect.signature(module.get_per_layer_inputs).parameters
        return module.get_per_layer_inputs(None, embeds) if finds else None


@dataclass(frozen=True)
class ChangingRotary:
    """A rotary table that changes for all positions of a call with the largest of them.

    Args:
        at: number of positions beyond which it changes.
        grows: whether it is another for every length beyond (dynamic NTK), rather than one (LongRoPE).
    """

    at: int
    grows: bool


def find_stacks(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], recording: Recording
) -> Mapping[str, Stack]:
    """The stacks by site, encoder first.

    Where no attention of a stack can be intercepted, an encoder-decoder names its stacks itself. Another
    model has a decoder then if it reads from left to right, else an encoder; of both nothing is known.
    """
    both = has_decoder(model)
    if not attentions and not both:
        site = "decoder" if reads_forward(model) else "encoder"
        return {site: _stack(site, _innermost(model), recording, model)}
    stacks: dict[str, Stack] = {}
    for site, named in (("encoder", model.get_encoder), ("decoder", model.get_decoder)):
        found = [a for a in attentions if a.site == site]
        if found:
            stacks[site] = _stack(site, text_module(model, found), recording, model)
        elif both and _takes_text(module := named()):
            stacks[site] = _stack(site, module, recording, model)
    return stacks


def _takes_text(module: nn.Module) -> bool:
    return {"input_ids", "inputs_embeds"} <= set(inspect.signature(module.forward).parameters)


def _innermost(model: PreTrainedModel) -> nn.Module:
    """The innermost module that holds the table of input embeddings and takes input embeddings."""
    table, found = model.get_input_embeddings(), base_module(model)
    for module in base_module(model).modules():  # outer modules come first
        names = set(inspect.signature(module.forward).parameters)
        takes_text = {"input_ids", "inputs_embeds", "attention_mask"} <= names
        if takes_text and any(inner is table for inner in module.modules()):
            found = module
    return found


def _stack(site: str, module: nn.Module, recording: Recording, model: PreTrainedModel) -> Stack:
    return Stack(
        site,
        module,
        inspect.signature(module.forward),
        _numbering(module, recording),
        next(filter(has_relative_bias, module.modules()), None),
        _changing_rotary(module),
        model,
    )


def has_per_layer_inputs(module: nn.Module) -> bool:
    """Whether a module takes second embeddings of its tokens, for each layer one (see `PER_LAYER_INPUTS`)."""
    return bool(getattr(module, "hidden_size_per_layer_input", 0)) and hasattr(module, "get_per_layer_inputs")


def has_relative_bias(module: nn.Module) -> bool:
    """Whether a module holds T5's relative position bias.

    MPNet has a table of this name too, but prompt columns get no bias there (see `attention/families.py`).
    """
    return hasattr(module, "relative_attention_bias") and hasattr(module, "_relative_position_bucket")


@dataclass(frozen=True)
class PositionTable:
    """A learned table of positions.

    Args:
        first: index of a text's first position (2 in RoBERTa).
        n_positions: the largest number of positions of a text.
    """

    first: int
    n_positions: int


def position_table(recording: Recording) -> PositionTable | None:
    """The table in which the recorded pass looked positions up, or None.

    All tokens of that pass are the same, so indices that count up are positions. Padding may stand behind
    them (Longformer's).
    """
    for module, ids in recording.entered.items():
        if not _looks_up_rows(module) or ids.is_floating_point():
            continue
        if ids.ndim and ids.shape[-1] > 1 and _count_up(ids):
            first = int(ids[..., 0].min())
            return PositionTable(first, len(module.weight) - first)  # type: ignore[arg-type]
    return None


def _count_up(ids: Tensor) -> bool:
    """Whether indices count up, to the end or to one index of padding."""
    text, behind = ids[..., :DECODER_LEN], ids[..., DECODER_LEN:]
    if bool((behind == behind[..., -1:]).all()) and behind.shape[-1] > 1:
        return bool((text.diff(dim=-1) == 1).all())
    return bool((ids.diff(dim=-1) == 1).all())


def _looks_up_rows(module: nn.Module) -> bool:
    """Whether a module is a table, and no table that counts positions by itself (BART's)."""
    weight = getattr(module, "weight", None)
    own = type(module) is nn.Embedding or not isinstance(
        module, nn.Embedding
    )  # I-BERT has a class of its own
    return own and isinstance(weight, Tensor) and weight.ndim == 2


def _numbering(stack: nn.Module, recording: Recording) -> Numbering:
    if "position_ids" in inspect.signature(stack.forward).parameters:
        return "ids"
    if any(hasattr(module, "relative_attention_bias") for module in stack.modules()):
        return "relative"
    table = getattr(stack, "embed_positions", None)
    if isinstance(table, nn.Embedding) and isinstance(rows := recording.gave.get(table), Tensor):
        first = table_offset(table)
        given = rows.reshape(-1, rows.shape[-1])
        if torch.equal(given, table.weight[first : first + len(given)].to(given)):
            return "table"
    return "unknown"


def table_offset(table: nn.Module) -> int:
    """The row of a table that counts positions by itself in which the first position stands (2 in BART)."""
    offset = getattr(table, "offset", 0)
    return offset if isinstance(offset, int) else 0


def asked_columns(args: tuple[Any, ...]) -> int:
    """For how many columns such a table is called, by a text or its shape; 0 where it does not say."""
    shape = getattr(args[0], "shape", args[0]) if args else ()
    return int(shape[1]) if len(shape) > 1 else 0


def _changing_rotary(stack: nn.Module) -> ChangingRotary | None:
    """The rotary table of a stack if it is computed anew for long texts (LongRoPE, dynamic NTK)."""
    config: Any = getattr(stack, "config", None)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    kinds = [rope, *rope.values()] if isinstance(rope, Mapping) else []
    for kind in kinds:  # some families have settings for each kind of layer
        name = kind.get("rope_type", kind.get("type")) if isinstance(kind, Mapping) else None
        if name in CHANGING_ROTARY:
            length = kind.get("original_max_position_embeddings")
            length = length or getattr(config, "original_max_position_embeddings", None)
            return ChangingRotary(int(length or config.max_position_embeddings), CHANGING_ROTARY[name])
    return None
