"""One recorded pass of a model over a few tokens, or over a picture of noise."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall, check_kernel, intercepting, self_computed
from softprompt.backbones.dispatch import dispatching, overriding, undone
from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.images import (
    native_size,
    noise_pictures,
    picture_inputs,
    picture_module,
    reads_pictures,
    size_options,
    unmasked,
)
from softprompt.backbones.inspection.sounds import reads_sounds, states_of_noise

# With different lengths, the sizes of queries and keys tell self-attention from cross-attention.
ENCODER_LEN, DECODER_LEN = 3, 2


@dataclass
class Recording:
    """The record of one pass.

    Args:
        output: of the base model.
        logits: of the whole model, if it has a vocabulary head.
        calls: of attentions, in order.
        events: the begin (False) and end (True) of every module's call, in order; an attention has a second
            end before its own, at which the attention function returned and its output is not yet projected.
        entered: by module, the first tensor among the arguments of its first call.
        gave: by module, the output of its first call.
        positions: by module, the `position_ids` of its first call, where it has any.
    """

    output: Any = None
    logits: Tensor | None = None
    calls: list[AttentionCall] = field(default_factory=list)
    events: list[tuple[nn.Module, bool]] = field(default_factory=list)
    entered: dict[nn.Module, Tensor] = field(default_factory=dict)
    gave: dict[nn.Module, Any] = field(default_factory=dict)
    positions: dict[nn.Module, Tensor] = field(default_factory=dict)

    @property
    def ended(self) -> list[nn.Module]:
        """Modules in the order in which their calls ended."""
        return [module for module, ended in self.events if ended]


@torch.no_grad()
def record(model: PreTrainedModel, size: tuple[int, int] | None = None) -> Recording:
    """Run a model once and record the calls of its modules.

    Args:
        model: the model.
        size: height and width of pictures in pixels; None is the model's own size.

    Raises:
        BackboneError: an attention kernel that cannot take a prompt.
    """
    modules = list(model.modules())
    for config in {id(c): c for m in modules if (c := getattr(m, "config", None)) is not None}.values():
        check_kernel(config)
    recording = Recording()

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recording.events.append((module, False))
        first = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
        if first is not None:
            recording.entered.setdefault(module, first)
        if isinstance(positions := kwargs.get("position_ids"), Tensor):
            recording.positions.setdefault(module, positions)

    def end(module: nn.Module, args: Any, output: Any) -> None:
        recording.events.append((module, True))
        recording.gave.setdefault(module, output)

    def attended(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        recording.calls.append(call)
        given = call.as_usual()
        recording.events.append((call.module, True))
        return given

    with intercepted(modules, attended), eval_mode(model):
        handles: list[Any] = []
        try:
            for module in modules:
                handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
                handles.append(module.register_forward_hook(end))
            output = run(model, size)
        finally:
            for handle in handles:
                handle.remove()
    recording.output = recording.gave.get(
        picture_module(model) if reads_pictures(model) else base_module(model)
    )
    if recording.output is None:  # some models call a part of their base model directly
        with eval_mode(model):
            recording.output = run(model, size, base=True)
    logits = getattr(output, "logits", None)
    recording.logits = logits if isinstance(logits, Tensor) else None
    return recording


def run(model: PreTrainedModel, size: tuple[int, int] | None = None, *, base: bool = False) -> Any:
    """The model's output on two tokens (three in an encoder that has a decoder), or on noise.

    Noise is a picture, or the states of a sound before a decoder's two tokens.

    Args:
        model: the model, with its vocabulary head if it has one.
        size: of the picture, see `record`.
        base: run the base model alone.
    """
    if reads_pictures(model):
        height, width = size or native_size(model)
        inputs = picture_inputs(model, noise_pictures(model, (height, width)))
        with unmasked(model):
            return picture_module(model)(**inputs, **size_options(model, (height, width)))
    token = text_token(model)
    device = model.get_input_embeddings().weight.device
    whole = not base and type(model.get_output_embeddings()) is nn.Linear
    module = model if whole else base_module(model)
    if has_decoder(model):
        read: dict[str, Any] = {}
        if reads_sounds(model):
            read["encoder_outputs"] = states_of_noise(model, ENCODER_LEN)
        else:
            read["input_ids"] = torch.full((1, ENCODER_LEN), token, device=device)  # type: ignore[call-overload]
            read["attention_mask"] = torch.ones_like(read["input_ids"])
        return module(
            **read,
            decoder_input_ids=torch.full((1, DECODER_LEN), token, device=device),  # type: ignore[call-overload]
            use_cache=False,
        )
    ids = torch.full((1, DECODER_LEN), token, device=device)  # type: ignore[call-overload]
    return module(input_ids=ids, attention_mask=torch.ones_like(ids))


def has_decoder(model: PreTrainedModel) -> bool:
    """Whether a model has an encoder and a decoder; an encoder alone may have the configuration of both."""
    if not model.config.is_encoder_decoder:
        return False
    called = (model, base_module(model))  # SpeechT5's base takes vectors alone
    return any("decoder_input_ids" in inspect.signature(module.forward).parameters for module in called)


@torch.no_grad()
def reads_forward(model: PreTrainedModel) -> bool:
    """Whether another second token leaves the states of the first as they are, but for rounding.

    Experts and products of other shapes may round otherwise.
    """
    table: Any = model.get_input_embeddings().weight
    first = text_token(model)
    texts = [[first, first], [first, (first + len(table) // 2) % len(table)]]
    with eval_mode(model):
        states = [
            base_module(model)(input_ids=torch.tensor([text], device=table.device)).last_hidden_state[0, 0]  # type: ignore[arg-type]
            for text in texts
        ]
    one, other = (state.float() for state in states)
    rounding = torch.finfo(table.dtype).eps ** 0.5 if table.is_floating_point() else 0.02
    return float((one - other).abs().max()) <= rounding * float(one.abs().max())


def text_token(model: PreTrainedModel) -> int:
    """A token that is not the padding token, whose position is special in some families."""
    config, table = model.config.get_text_config(), model.get_input_embeddings()
    padding = {getattr(config, "pad_token_id", None), getattr(table, "padding_idx", None)}
    return next(token for token in range(3) if token not in padding)


@contextmanager
def intercepted(
    modules: Iterable[nn.Module], answer: Callable[[AttentionCall], tuple[Tensor, Tensor | None]]
) -> Iterator[None]:
    """Within this context `answer` computes every attention call, in every family.

    Args:
        modules: all modules of a model, or only its attentions.
        answer: returns `[batch, seq, head, value_dim]`, and weights or None.
    """
    overrides = self_computed(modules)
    with dispatching(overrides), overriding(overrides), intercepting(answer):
        yield


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Within this context every module is in evaluation mode; the modes are restored afterwards."""
    training = [module for module in model.modules() if module.training]

    def undo() -> None:
        for module in training:
            module.training = True

    with undone(undo):
        for module in training:
            module.training = False
        yield
