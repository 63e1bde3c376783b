"""The frozen model's own modes while a prompt is trained."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softprompt.backbones.dispatch import replaced, undone
from softprompt.backbones.runtime.checkpointing import active
from softprompt.errors import BackboneError

_SWITCHES = ("gradient_checkpointing", "_gradient_checkpointing_func")


@contextmanager
def training_mode(model: PreTrainedModel, dropout: bool, gradient_checkpointing: bool) -> Iterator[None]:
    """Set dropout and gradient checkpointing of a frozen model; every flag is put back on leaving.

    transformers checkpoints a layer only in training mode, so without dropout only the layers
    themselves are set to it, and the dropout rates that they hold are 0.

    Raises:
        BackboneError: the family has no gradient checkpointing.
    """
    if gradient_checkpointing:
        _check_supported(model)
    training = {module: module.training for module in model.modules()}

    def undo() -> None:
        for module, flag in training.items():
            module.training = flag

    with undone(undo):
        model.train(dropout)
        if not gradient_checkpointing:
            yield
            return
        with _checkpointing_restored(model):
            enable_checkpointing(model)
            with nullcontext() if dropout else layers_in_training(model):
                yield


@contextmanager
def _checkpointing_restored(model: nn.Module) -> Iterator[None]:
    """Restore on leaving whether, and by which function, each module recomputes its activations."""
    modules = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]
    before = [{name: vars(m)[name] for name in _SWITCHES if name in vars(m)} for m in modules]

    def undo() -> None:
        for module, values in zip(modules, before, strict=True):
            for name in _SWITCHES:
                vars(module).pop(name, None)
            vars(module).update(values)

    with undone(undo):
        yield


def enable_checkpointing(
    model: PreTrainedModel, kwargs: Mapping[str, Any] | None = None, **options: Any
) -> None:
    """Have the layers recompute their activations, in a way that passes gradients to a prompt.

    Args:
        model: the frozen model.
        kwargs: for torch's `checkpoint`.
        options: others that transformers' own method takes.

    Raises:
        BackboneError: the family has no gradient checkpointing, or the reentrant kind is asked for.
    """
    _check_supported(model)
    if (kwargs or {}).get("use_reentrant"):
        raise BackboneError(
            "gradient checkpointing",
            "use_reentrant=True",
            "use_reentrant=False, the kind that can pass gradients to a prompt",
            "leave it out of gradient_checkpointing_kwargs, or set it to False",
        )
    # Older releases do not take options that transformers' trainers pass at their defaults.
    plain = {"every_n_layers": 1, "offload": False}
    chosen = {name: value for name, value in options.items() if plain.get(name) != value}
    # transformers also makes the embeddings' output require gradients, by a forward hook that outlives the
    # checkpointing. The non-reentrant kind needs none: gradients reach a prompt through the recomputed layer.
    with replaced(model, "enable_input_require_grads", _no_hooks):
        switch_checkpointing(model, "enable")({**(kwargs or {}), "use_reentrant": False}, **chosen)


def _no_hooks() -> None:
    """Stands in for transformers' `enable_input_require_grads`."""


@contextmanager
def layers_in_training(model: PreTrainedModel) -> Iterator[None]:
    """Set the layers that can recompute their activations, and nothing else, to training; without dropout."""
    rates: list[tuple[nn.Module, str, Any]] = []
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer) and not m.training]

    def undo() -> None:
        for module, name, value in rates:
            setattr(module, name, value)
        for module in layers:
            module.training = False

    with undone(undo):
        for module in layers:
            module.training = True
            for name, value in list(vars(module).items()):
                if "dropout" in name and isinstance(value, float):
                    rates.append((module, name, value))
                    setattr(module, name, 0.0)
        yield


@contextmanager
def without_checkpointing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context layers keep their activations; for short passes of batch 1."""
    with ExitStack() as stack:
        for module in active(modules):
            stack.enter_context(replaced(module, "gradient_checkpointing", False))
        yield


def _check_supported(model: PreTrainedModel) -> None:
    if not model.supports_gradient_checkpointing:
        raise BackboneError(
            "gradient_checkpointing",
            f"True for {type(model).__name__}, whose layers have none in transformers",
            "False",
            "use a smaller batch with more accumulation",
        )


def switch_checkpointing(model: PreTrainedModel, what: str) -> Callable[..., None]:
    """transformers' method that turns checkpointing on (`enable`) or off (`disable`)."""
    # transformers 5.2x renamed it; the older name still serves older releases.
    new, old = f"activation_checkpointing_{what}", f"gradient_checkpointing_{what}"
    return getattr(model, new if hasattr(model, new) else old)
