"""The frozen model's own modes while a prompt is trained."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softprompt.backbones.dispatch import replaced
from softprompt.backbones.runtime.checkpointing import active
from softprompt.errors import BackboneError


@contextmanager
def training_mode(model: PreTrainedModel, dropout: bool, gradient_checkpointing: bool) -> Iterator[None]:
    """Set dropout and gradient checkpointing of a frozen model; every flag is put back on leaving.

    transformers checkpoints a layer only in training mode, so without dropout only the layers
    themselves are set to it, and the dropout rates that they hold are 0.

    Raises:
        BackboneError: the family has no gradient checkpointing.
    """
    if gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise BackboneError(
            "gradient_checkpointing",
            f"True for {type(model).__name__}, whose layers have none in transformers",
            "False",
            "use a smaller batch with more accumulation",
        )
    training = {module: module.training for module in model.modules()}
    checkpointed = is_checkpointed(model)
    quiet: list[tuple[nn.Module, str, Any]] = []
    try:
        model.train(dropout)
        if gradient_checkpointing:
            _switch(model, "enable")({"use_reentrant": False})
            if not dropout:
                for module in model.modules():
                    if isinstance(module, GradientCheckpointingLayer):
                        module.training = True
                        for name, value in list(vars(module).items()):
                            if "dropout" in name and isinstance(value, float):
                                quiet.append((module, name, value))
                                setattr(module, name, 0.0)
        yield
    finally:
        for module, name, value in quiet:
            setattr(module, name, value)
        if gradient_checkpointing and not checkpointed:
            _switch(model, "disable")()
        for module, flag in training.items():
            module.training = flag


@contextmanager
def without_checkpointing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context layers keep their activations, as a short pass of batch 1 should."""
    with ExitStack() as stack:
        for module in active(modules):
            stack.enter_context(replaced(module, "gradient_checkpointing", False))
        yield


def is_checkpointed(model: nn.Module) -> bool:
    """Whether any layer recomputes its activations in the backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _switch(model: PreTrainedModel, what: str) -> Callable[..., None]:
    # transformers 5.2x renamed it; the older name still serves older releases.
    new, old = f"activation_checkpointing_{what}", f"gradient_checkpointing_{what}"
    return getattr(model, new if hasattr(model, new) else old)
