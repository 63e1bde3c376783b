"""One recorded pass over a few tokens, or over a picture of noise: what running a model shows."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall, check_kernel, intercepting, self_computed
from softprompt.backbones.dispatch import dispatching, overriding
from softprompt.backbones.inspection.images import (
    native_size,
    patch_conv,
    reads_pictures,
    size_options,
    unmasked,
)

# Different lengths tell self- from cross-attention by the sizes of queries and keys.
ENCODER_LEN, DECODER_LEN = 3, 2


@dataclass
class Recording:
    """What one pass shows.

    Args:
        output: of the base model.
        logits: of the whole model, where it has a vocabulary head.
        calls: of attentions, in their order.
        events: modules as they were called (False) and as they gave something (True), in that order; an
            attention gives something twice, first when it has attended, before its output is projected.
        entered: the first tensor that each module was first called with.
        gave: what each module gave first.
    """

    output: Any = None
    logits: Tensor | None = None
    calls: list[AttentionCall] = field(default_factory=list)
    events: list[tuple[nn.Module, bool]] = field(default_factory=list)
    entered: dict[nn.Module, Tensor] = field(default_factory=dict)
    gave: dict[nn.Module, Any] = field(default_factory=dict)

    @property
    def ended(self) -> list[nn.Module]:
        """Modules in the order in which they gave something."""
        return [module for module, ended in self.events if ended]


@torch.no_grad()
def record(model: PreTrainedModel, size: tuple[int, int] | None = None) -> Recording:
    """Run a model once and note what happens.

    Args:
        model: the model.
        size: height and width of its picture in pixels, if it reads some; None is its own.

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
    recording.output = recording.gave.get(model.base_model)
    if recording.output is None:  # some call a part of their base model directly
        with eval_mode(model):
            recording.output = run(model, size, base=True)
    logits = getattr(output, "logits", None)
    recording.logits = logits if isinstance(logits, Tensor) else None
    return recording


def run(model: PreTrainedModel, size: tuple[int, int] | None = None, *, base: bool = False) -> Any:
    """The model's output on two tokens (three in an encoder that has a decoder), or on a picture of noise.

    Args:
        model: the model; with its vocabulary head where it has one.
        size: of the picture, see `record`.
        base: run the base model alone.
    """
    if reads_pictures(model):
        height, width = size or native_size(model)
        weight = patch_conv(model).weight
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(1, weight.shape[1], height, width, generator=generator).to(weight)
        with unmasked(model):
            return model.base_model(pixel_values=pixels, **size_options(model, (height, width)))
    # Not the padding token, which some families give a position of its own.
    token = 0 if model.config.get_text_config().pad_token_id != 0 else 1
    device = model.get_input_embeddings().weight.device
    whole = not base and type(model.get_output_embeddings()) is nn.Linear
    module = model if whole else model.base_model
    if model.config.is_encoder_decoder:
        return module(
            input_ids=torch.full((1, ENCODER_LEN), token, device=device),  # type: ignore[call-overload]
            attention_mask=torch.ones(1, ENCODER_LEN, dtype=torch.long, device=device),  # type: ignore[call-overload]
            decoder_input_ids=torch.full((1, DECODER_LEN), token, device=device),  # type: ignore[call-overload]
            use_cache=False,
        )
    ids = torch.full((1, DECODER_LEN), token, device=device)  # type: ignore[call-overload]
    return module(input_ids=ids, attention_mask=torch.ones_like(ids))


@contextmanager
def intercepted(
    modules: Iterable[nn.Module], answer: Callable[[AttentionCall], tuple[Tensor, Tensor | None]]
) -> Iterator[None]:
    """Within this context every attention call is answered so, of whatever family it is.

    Args:
        modules: those of a model, or its attentions alone.
        answer: gives `[batch, seq, head, value_dim]` and weights or None.
    """
    own = self_computed(modules)
    with dispatching(own), overriding(own), intercepting(answer):
        yield


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Within this context nothing is dropped; every module's own flag is put back."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True
