"""The frozen model's own modes while a prompt is trained."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softprompt.backbones.dispatch import replaced, undone
from softprompt.backbones.runtime.checkpointing import active, keep_context, keeps_context
from softprompt.errors import BackboneError

_SWITCHES = ("gradient_checkpointing", "_gradient_checkpointing_func")
_LOCK = threading.RLock()
_ENTERED: "WeakKeyDictionary[nn.Module, list[_Changed]]" = WeakKeyDictionary()
"""The contexts that have changed a model's modes and have not been left, in the order of entering."""


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

    def change() -> None:
        model.train(dropout)
        _keep_statistics(model)
        if gradient_checkpointing:
            # A second thread takes nothing away from a pass of the first.
            if not keeps_context(model.modules()):
                enable_checkpointing(model)
            if not dropout:
                _set_to_training(_checkpointing_layers(model))

    with _changed(model, model.modules(), change):
        yield


@contextmanager
def layers_in_training(model: PreTrainedModel) -> Iterator[None]:
    """Set the layers that can recompute their activations, and nothing else, to training; without dropout."""
    layers = _checkpointing_layers(model)
    with _changed(model, layers, lambda: _set_to_training(layers)):
        yield


@dataclass(eq=False)
class _Changed:
    """A context in which a model has other modes.

    Args:
        before: by module the modes that leaving the context restores.
    """

    before: dict[nn.Module, dict[str, Any]] = field(default_factory=dict)


@contextmanager
def _changed(model: nn.Module, modules: Iterable[nn.Module], change: Callable[[], None]) -> Iterator[None]:
    """Within this context modules have other modes.

    Contexts of several threads may overlap: the last to be left restores the modes before the first.

    Args:
        model: the model.
        modules: of the model.
        change: sets their modes.
    """
    context = _Changed()
    with undone(lambda: _restore(model, context)):
        with _LOCK:
            context.before = {module: _modes(module) for module in modules}
            _ENTERED.setdefault(model, []).append(context)
            change()
        yield


def _restore(model: nn.Module, context: _Changed) -> None:
    with _LOCK:
        entered = _ENTERED.get(model, [])
        if context not in entered:
            return
        later = entered[entered.index(context) + 1 :]
        if later:
            later[0].before = {**later[0].before, **context.before}
        else:
            for module, modes in context.before.items():
                for name in set(_SWITCHES) - modes.keys():
                    vars(module).pop(name, None)
                vars(module).update(modes)
        entered.remove(context)


def _modes(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module that `training_mode` may change."""
    own = vars(module)
    modes = {name: own[name] for name in ("training", *_SWITCHES) if name in own}
    return {**modes, **_dropout_rates(module)} if isinstance(module, GradientCheckpointingLayer) else modes


def _dropout_rates(module: nn.Module) -> dict[str, float]:
    return {
        name: value for name, value in vars(module).items() if "dropout" in name and isinstance(value, float)
    }


def _checkpointing_layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _keep_statistics(model: nn.Module) -> None:
    """Leave norms over batches in evaluation: in training they would change the model's own statistics."""
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            module.training = False


def _set_to_training(layers: Iterable[nn.Module]) -> None:
    """Set layers to training; those that were not lose their dropout."""
    for layer in layers:
        if not layer.training:
            vars(layer).update(dict.fromkeys(_dropout_rates(layer), 0.0))
            layer.training = True


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
    keep_context(active(model.modules()))


def _no_hooks() -> None:
    """Stands in for transformers' `enable_input_require_grads`."""


@contextmanager
def without_checkpointing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context layers keep their activations; for short passes of batch 1."""
    switched = active(modules)

    def switch(on: bool) -> None:
        for module in switched:
            vars(module)["gradient_checkpointing"] = on

    with undone(lambda: switch(True)):
        switch(False)
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
