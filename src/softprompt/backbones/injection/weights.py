"""Trained tensors in place of a model's own parameters, which stay unchanged."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import undone
from softprompt.backbones.inspection import absent_biases
from softprompt.backbones.loading import is_packed, is_sharded
from softprompt.errors import PromptError
from softprompt.prompts import Prompt


class Weights:
    """The places in a model that hold certain parameters, shared ones (tied embeddings) included.

    A tensor in the module's own `__dict__` hides the parameter of that name, since Python looks there first;
    removing the tensor brings the parameter back.

    A shared parameter's first name (the one in `model.named_parameters()`) means all of its places, any
    other name that place alone: `lm_head.weight` of GPT-2 leaves the tied input embeddings as they are.

    Args:
        model: the model.
        names: of parameters.
        name: of the backbone, for errors.

    Raises:
        PromptError: a name that the model does not have.
    """

    def __init__(self, model: PreTrainedModel, names: Mapping[str, Tensor], name: str):
        self._model = model
        self._shapes: dict[str, torch.Size] = {}
        self.own: dict[str, Tensor] = {}
        self.places: dict[str, list[tuple[nn.Module, str]]] = {}
        if not names:
            return
        # A bias that a linear layer does not have hides its None in the same way.
        own = {**absent_biases(model), **dict(model.named_parameters(remove_duplicate=False))}
        first = {name for name, _ in model.named_parameters()}
        for key, tensor in names.items():
            if key not in own:
                raise PromptError("prompt.weights", f"'{key}'", f"names of parameters of {name}")
            if own[key].shape != tensor.shape:
                shape = list(own[key].shape)
                raise PromptError(f"prompt.weights: {key}", f"shape {list(tensor.shape)}", f"shape {shape}")
            if is_packed(own[key]):
                storage = "sharded" if is_sharded(own[key]) else "quantised"
                raise PromptError(
                    f"prompt.weights: {key}",
                    f"a {storage} tensor of {name}",
                    "a plain tensor, whose place another can take",
                    f"load the backbone without {'sharding' if storage == 'sharded' else 'quantisation'}",
                )
            self.own[key], self._shapes[key] = own[key], tensor.shape
        if len({id(parameter) for parameter in self.own.values()}) < len(self.own):
            raise PromptError(
                "prompt.weights", "two names of one shared parameter", "one name for each parameter"
            )
        for key in self.own.keys() - first:
            path, _, attribute = key.rpartition(".")
            self.places[key] = [(model.get_submodule(path), attribute)]
        keys = {id(parameter): key for key, parameter in self.own.items() if key in first}
        for module in model.modules():
            for attribute, parameter in module._parameters.items():
                if parameter is not None and id(parameter) in keys:
                    self.places.setdefault(keys[id(parameter)], []).append((module, attribute))

    def are_in_place(self) -> bool:
        """Whether every place still holds its parameter; resized embeddings have new ones."""
        modules = set(self._model.modules())
        for key, places in self.places.items():
            for module, attribute in places:
                parameter = module._parameters.get(attribute)  # None where there is no bias
                moved = parameter is not None and parameter is not self.own[key]
                if moved or module not in modules or self.own[key].shape != self._shapes[key]:
                    return False
        return True

    def cast(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors in the precision and on the device of the parameters they replace; differentiable."""
        return {key: tensor.to(self.own[key]) for key, tensor in tensors.items()}

    @contextmanager
    def overriding(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Within this context tensors replace the model's own, for all callers of the model."""
        with undone(lambda: self._remove(tensors)):
            for key, tensor in tensors.items():
                for module, attribute in self.places[key]:
                    module.__dict__[attribute] = tensor
            yield

    def _remove(self, tensors: Mapping[str, Tensor]) -> None:
        for key in tensors:
            for module, attribute in self.places[key]:
                module.__dict__.pop(attribute, None)


def trained_weights(used: Sequence[Prompt | None]) -> Mapping[str, Tensor]:
    """The tensors that replace the backbone's own: one prompt's, for all rows.

    Args:
        used: the prompts that rows have.

    Raises:
        PromptError: prompts with different weights in one batch.
    """
    tuned = [prompt for prompt in used if prompt is not None and prompt.weights]
    if not tuned:
        return {}
    # Views of one prompt under several heads have the very same tensors.
    own = [list(map(id, prompt.weights.values())) if prompt is not None else [] for prompt in used]
    if any(tensors != own[used.index(tuned[0])] for tensors in own):
        raise PromptError(
            "prompted",
            f"a prompt with weights of its own ({tuned[0].card.method}) beside others",
            "such a prompt alone, since weights are the same for all rows of a batch",
            "give its rows a batch of their own",
        )
    return tuned[0].weights
