"""What a model is: its sizes, its weights' fingerprint, and what a run on a few tokens shows."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.glance import glance, patch_conv, reads_pictures
from softprompt.backbones.held import is_packed, numbers
from softprompt.backbones.recognition import out_of_reach, record
from softprompt.store.card import BackboneCard, BackboneRecord

# Different lengths tell self- from cross-attention by the sizes of queries and keys.
ENCODER_LEN, DECODER_LEN = 3, 2
_SAMPLES = 1024


@dataclass(frozen=True)
class BackboneSpec:
    """Facts about a frozen model."""

    name: str
    family: str
    """transformers' model type."""
    reads: Literal["texts", "pictures"]
    hidden: int
    """Width of the input embeddings, or of the first layer's tokens."""
    state_size: int
    """Width of the last hidden states (ALBERT's, ELECTRA's and Swin's differ from `hidden`)."""
    n_layers: int
    vocab: int
    """Words in the table of input embeddings; 0 where pictures are read."""
    max_positions: int | None
    """Longest input in tokens, the prompt included; None where there is no limit."""
    first_position: int
    """Number of a text's first position, where `position_ids` say it (RoBERTa's is 2)."""
    is_encoder_decoder: bool
    fingerprint: str
    n_parameters: int
    n_bytes: int
    record: BackboneRecord
    """Numbers out of every tensor, by which prompts know the model again."""
    earlier: frozenset[str] = frozenset()
    """Keys that it had before it was changed where it stands; prompts of then still work in it."""

    @property
    def card(self) -> BackboneCard:
        """What a prompt file stores of the backbone."""
        return BackboneCard(
            name=self.name,
            family=self.family,
            fingerprint=self.fingerprint,
            n_parameters=self.n_parameters,
            record=self.record,
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of its card, now and earlier."""
        return self.earlier | {self.card.key}


def describe(model: PreTrainedModel, name: str, size: tuple[int, int] | None = None) -> BackboneSpec:
    """The facts of a model.

    Args:
        model: the model.
        name: for cards and messages.
        size: height and width of its pictures in pixels, if it reads some; None is its own.
    """
    facts = _of_pictures(model, size) if reads_pictures(model) else _of_texts(model)
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
    """The facts of a model that may have been changed since: words added, LoRA merged, numbers written over.

    Where its numbers are out of reach, or quantised (each would have to be turned back), they are taken as
    they were.
    """
    if out_of_reach(model) or any(map(is_packed, model.parameters())):
        return spec
    now = record(model)
    if now == spec.record:
        return spec
    parameters = list(model.parameters())
    return replace(
        spec,
        vocab=word_embeddings(model).shape[0] if spec.reads == "texts" else 0,
        fingerprint=fingerprint(model),
        n_parameters=sum(p.numel() for p in parameters),
        n_bytes=sum(p.numel() * p.element_size() for p in parameters),
        record=now,
        earlier=spec.keys,
    )


def _of_texts(model: PreTrainedModel) -> dict[str, Any]:
    seen = _look(model)
    vocab, hidden = word_embeddings(model).shape
    return {
        "reads": "texts",
        "hidden": hidden,
        "state_size": seen.state_size,
        "n_layers": model.config.get_text_config().num_hidden_layers,
        "vocab": vocab,
        "max_positions": _longest(model, seen),
        "first_position": seen.first_position,
        "is_encoder_decoder": bool(model.config.is_encoder_decoder),
    }


def _of_pictures(model: PreTrainedModel, size: tuple[int, int] | None) -> dict[str, Any]:
    depths = getattr(model.config, "depths", None)  # Swin's layers come in stages
    return {
        "reads": "pictures",
        "hidden": patch_conv(model).out_channels,
        "state_size": glance(model, size).last_hidden_state.shape[-1],
        "n_layers": model.config.num_hidden_layers if depths is None else sum(depths),
        "vocab": 0,
        "max_positions": None,
        "first_position": 0,
        "is_encoder_decoder": False,
    }


def input_weight(model: PreTrainedModel) -> Tensor:
    """The first weight that an input meets: it says where and in which precision the model computes."""
    return patch_conv(model).weight if reads_pictures(model) else word_embeddings(model)


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """The table of input embeddings, `[vocab, hidden]`."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


def fingerprint(model: PreTrainedModel, through: torch.dtype | None = None) -> str:
    """A digest of the base model's weights, by which files of formats 1 to 3 know it.

    Names, shapes and about a thousand evenly spaced numbers of every tensor go in, rounded to bfloat16:
    fast for large models, and any fine-tuning changes it. float32 and bfloat16 loads of a checkpoint have
    the same; what float16 rounds off can change it. Poolers are left out: `read` never uses them, and
    checkpoints without one get a random one at every load. Quantised weights are another model: their
    numbers are what they mean, not what they were made from.

    Args:
        model: the model.
        through: a precision that the numbers are rounded to before, as though the model were held in it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.base_model.named_parameters(), key=lambda item: item[0]):
        if name.startswith("pooler."):
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        flat = numbers(tensor)
        sample = flat[:: max(1, flat.numel() // _SAMPLES)].to("cpu")
        if sample.is_floating_point():
            sample = sample.to(through or sample.dtype).to(torch.bfloat16).view(torch.int16)
        digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class _Seen:
    """What one run over a few tokens shows."""

    state_size: int
    first_position: int
    table_len: int | None
    """Rows of the table of positions, if there is one."""


@torch.no_grad()
def _look(model: PreTrainedModel) -> _Seen:
    looked_up: list[tuple[nn.Embedding, int]] = []

    def note(table: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(table, nn.Embedding)
        looked_up.append((table, int(args[0].min())))

    tables = [m for n, m in model.named_modules() if n.endswith("position_embeddings")]
    handles = [m.register_forward_pre_hook(note) for m in tables if type(m) is nn.Embedding]
    try:
        output = probe(model)
    finally:
        for handle in handles:
            handle.remove()
    states = output.encoder_last_hidden_state if model.config.is_encoder_decoder else output.last_hidden_state
    table, first = looked_up[0] if looked_up else (None, 0)
    return _Seen(states.shape[-1], first, None if table is None else table.num_embeddings)


def _longest(model: PreTrainedModel, seen: _Seen) -> int | None:
    if seen.table_len is not None:
        return seen.table_len - seen.first_position
    relative = ("relative_attention_bias", "rel_embeddings")  # T5's and MPNet's, DeBERTa's
    if any(hasattr(module, name) for module in model.modules() for name in relative):
        return None
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest if longest is not None and longest > 0 else None  # XLNet says -1


def probe(
    model: PreTrainedModel, size: tuple[int, int] | None = None, *, whole: bool = False, **options: Any
) -> Any:
    """The base model's output on two tokens (three in an encoder that has a decoder), or on a picture.

    Args:
        model: the model.
        size: of the picture, see `describe`.
        whole: run the whole model, with its vocabulary head (texts only).
        options: further arguments of a model with one text.
    """
    if reads_pictures(model):
        return glance(model, size)
    # Not the padding token, which some families give a position of its own.
    token = 0 if model.config.get_text_config().pad_token_id != 0 else 1
    device = word_embeddings(model).device
    training = model.training
    module = model if whole else model.base_model
    model.eval()
    try:
        if model.config.is_encoder_decoder:
            return module(
                input_ids=torch.full((1, ENCODER_LEN), token, device=device),
                attention_mask=torch.ones(1, ENCODER_LEN, dtype=torch.long, device=device),
                decoder_input_ids=torch.full((1, DECODER_LEN), token, device=device),
                use_cache=False,
            )
        ids = torch.full((1, DECODER_LEN), token, device=device)
        return module(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
    finally:
        model.train(training)
