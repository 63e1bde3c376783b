"""The facts of a model: its sizes, its number of parameters, the fingerprint of its weights."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.families import OF_EACH_TOKEN, RELATIVE_POSITIONS
from softprompt.backbones.inspection.probe import Recording, has_decoder
from softprompt.backbones.inspection.recognition import out_of_reach, record
from softprompt.backbones.inspection.sounds import reads_sounds
from softprompt.backbones.inspection.stacks import PositionTable, Stack, position_table, table_offset
from softprompt.backbones.inspection.vision import Vision
from softprompt.backbones.loading import is_quantised, numbers
from softprompt.errors import BackboneError
from softprompt.files import BackboneCard, BackboneRecord, without_folders

_SAMPLES = 1024


@dataclass(frozen=True)
class BackboneSpec:
    """Facts about a frozen model."""

    name: str
    family: str
    """transformers' model type."""
    reads: Literal["texts", "pictures", "sounds"]
    """What it reads; the decoder behind sounds reads a text as well."""
    hidden: int
    """Width of the input embeddings, or of the tokens of the first layer."""
    state_size: int
    """Width of the last hidden states (ALBERT's, ELECTRA's and Swin's differ from `hidden`)."""
    n_layers: int
    vocab: int
    """Rows of the table of input embeddings; 0 for a model that reads pictures."""
    max_positions: int | None
    """Number of tokens, the prompt included, that the model was trained for; None if unknown."""
    position_limit: int | None
    """Number of tokens, the prompt included, that the model can read; None if unlimited."""
    first_position: int
    """Index of a text's first position (2 in RoBERTa)."""
    is_encoder_decoder: bool
    fingerprint: str
    n_parameters: int
    n_bytes: int
    record: BackboneRecord
    """Numbers of every tensor, by which a prompt file recognises the model."""
    earlier: frozenset[str] = frozenset()
    """Keys from before the live model was changed; prompts made then still work in it."""

    @property
    def card(self) -> BackboneCard:
        """What a prompt file stores of the backbone; of a folder the last part."""
        return BackboneCard(
            name=without_folders(self.name),
            family=self.family,
            fingerprint=self.fingerprint,
            n_parameters=self.n_parameters,
            record=self.record,
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """The key of the present card and the earlier ones."""
        return self.earlier | {self.card.key}


def describe(
    model: PreTrainedModel,
    name: str,
    recording: Recording,
    stacks: Mapping[str, Stack],
    vision: Vision | None,
) -> BackboneSpec:
    """The facts of a model.

    Args:
        model: the model.
        name: for cards and messages.
        recording: of one pass.
        stacks: the modules that take texts.
        vision: a model that reads pictures; None is one that reads texts.
    """
    facts = _of_texts(model, name, recording, stacks) if vision is None else _of_pictures(model, vision)
    parameters = list(model.parameters())
    return BackboneSpec(
        name=name,
        family=model.config.model_type,
        **facts,
        fingerprint=fingerprint(model),
        n_parameters=sum(p.numel() for p in parameters),
        n_bytes=sum(p.numel() * p.element_size() for p in parameters),
        record=record(model),
    )


def described_again(model: PreTrainedModel, spec: BackboneSpec) -> BackboneSpec:
    """The facts of a model that may have changed since: new words, merged LoRA, overwritten weights.

    Weights that are out of reach, or quantised (and so slow to read), are assumed to be unchanged.
    """
    if out_of_reach(model) or is_quantised(model):
        return spec
    now = record(model)
    if now == spec.record:
        return spec
    parameters = list(model.parameters())
    return replace(
        spec,
        vocab=word_embeddings(model).shape[0] if spec.reads != "pictures" else 0,
        fingerprint=fingerprint(model),
        n_parameters=sum(p.numel() for p in parameters),
        n_bytes=sum(p.numel() * p.element_size() for p in parameters),
        record=now,
        earlier=spec.keys,
    )


def _of_texts(
    model: PreTrainedModel, name: str, recording: Recording, stacks: Mapping[str, Stack]
) -> dict[str, Any]:
    vocab, hidden = word_embeddings(model).shape
    encodes = has_decoder(model)
    output = recording.output
    states = getattr(output, "encoder_last_hidden_state" if encodes else "last_hidden_state", None)
    if states is None:
        raise BackboneError(
            "backbone",
            f"{name} ({model.config.model_type}), whose base model does not give its last states",
            "a base model, with an encoder and a decoder where its configuration says so",
            "load the part of it that reads texts",
        )
    table = position_table(recording)
    return {
        "reads": "sounds" if reads_sounds(model) else "texts",
        "hidden": hidden,
        "state_size": states.shape[-1],
        "n_layers": model.config.get_text_config().num_hidden_layers,
        "vocab": vocab,
        "max_positions": _longest(model, table),
        "position_limit": _limit(stacks, table),
        "first_position": _first_position(recording, stacks) if table is None else table.first,
        "is_encoder_decoder": encodes,
    }


def _of_pictures(model: PreTrainedModel, vision: Vision) -> dict[str, Any]:
    depths = getattr(model.config, "depths", None)  # Swin has stages of layers
    n_layers = getattr(model.config, "num_hidden_layers", None) if depths is None else sum(depths)
    return {
        "reads": "pictures",
        "hidden": vision.layers[0].width if vision.layers else vision.state_size,
        "state_size": vision.state_size,
        "n_layers": n_layers if isinstance(n_layers, int) else len(vision.layers),
        "vocab": 0,
        "max_positions": None,
        "position_limit": None,
        "first_position": 0,
        "is_encoder_decoder": False,
    }


def _first_position(recording: Recording, stacks: Mapping[str, Stack]) -> int:
    """The first number of the positions that a model around a stack gives it (1 in PaliGemma)."""
    given = [recording.positions.get(stack.module) for stack in stacks.values()]
    return min((int(positions.min()) for positions in given if positions is not None), default=0)


def _longest(model: PreTrainedModel, table: PositionTable | None) -> int | None:
    if table is not None:
        return table.n_positions
    if any(hasattr(module, name) for module in model.modules() for name in RELATIVE_POSITIONS):
        return None
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest if longest is not None and longest > 0 else None  # XLNet says -1


def _limit(stacks: Mapping[str, Stack], table: PositionTable | None) -> int | None:
    """The length of the learned table of positions; rotary positions have no limit."""
    if table is not None:
        return table.n_positions
    ends: list[int] = []
    for stack in stacks.values():
        learned: Any = getattr(stack.module, "embed_positions", None)
        if isinstance(learned, torch.nn.Embedding) and stack.numbering in ("ids", "table"):
            ends.append(learned.num_embeddings - table_offset(learned))
    return min(ends, default=None)


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """The table of input embeddings, `[vocab, hidden]`."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


def of_each_token(stack: nn.Module) -> dict[str, int]:
    """What a token without any has in the inputs of each token that a stack takes, by their names."""
    config = getattr(stack, "config", None)
    return {
        name: number if isinstance(number, int) else getattr(config, number, 0)
        for name, number in OF_EACH_TOKEN.items()
    }


def word_vectors(table: nn.Module, ids: Tensor) -> Tensor:
    """What a table of input embeddings gives for tokens, `[*ids, hidden]`; I-BERT's gives a scale too."""
    given = table(ids)
    return given[0] if isinstance(given, tuple) else given


def fingerprint(model: PreTrainedModel, through: torch.dtype | None = None) -> str:
    """A digest of the base model's weights, by which prompt files of formats 1 to 3 recognise it.

    The digest is of names, shapes and about a thousand evenly spaced numbers of every tensor, rounded to
    bfloat16: fast for large models, and changed by any fine-tuning. float32 and bfloat16 copies of a
    checkpoint have the same digest; float16 rounding can change it. Poolers are left out: `read` never uses
    them, and a checkpoint without a pooler gets a random one at every load. Quantised weights count as
    another model, with the dequantised numbers.

    Args:
        model: the model.
        through: a precision to which the numbers are first rounded, as if the model were in it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(base_module(model).named_parameters(), key=lambda item: item[0]):
        if name.startswith("pooler."):
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        flat = numbers(tensor)
        sample = flat[:: max(1, flat.numel() // _SAMPLES)].to("cpu")
        if sample.is_floating_point():
            sample = sample.to(through or sample.dtype).to(torch.bfloat16).view(torch.int16)
        digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
