"""The lowest layer that prompts act in: all below it is a function of the input alone."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from softprompt.backbones.describe import probe
from softprompt.backbones.vision import Vision
from softprompt.backbones.weights import Weights
from softprompt.errors import PromptError
from softprompt.prompts.prompt import Prompt


def lowest_layer(
    model: PreTrainedModel,
    layers: Mapping[int, nn.Module],
    vision: Vision | None,
    prompts: Iterable[Prompt],
    name: str,
) -> int:
    """The place, among all layers, of the first that a prompt acts in; their number where none does.

    Args:
        model: the model.
        layers: its layers by number, see `trunk.model_layers`.
        vision: the model where it reads pictures.
        prompts: that will be active.
        name: of the backbone, for errors.

    Raises:
        PromptError: a prompt that acts before or in the first layer, with the reason.
    """
    where = _Where(model, layers, vision, name)
    lowest = len(layers)
    for prompt in prompts:
        for place, what in where.acts(prompt):
            if place == 0:
                raise PromptError(
                    "trunk cache",
                    f"a {prompt.card.method} prompt with {what}",
                    f"a prompt that acts in layers 1-{len(layers) - 1} of {name} alone, or in a head",
                    "choose method.layers (e.g. last:4), or leave training.trunk_cache out",
                )
            lowest = min(lowest, place)
    return lowest


class _Where:
    """Where in a model the parts of a prompt act."""

    def __init__(
        self, model: PreTrainedModel, layers: Mapping[int, nn.Module], vision: Vision | None, name: str
    ):
        self.model, self.vision, self.name = model, vision, name
        self.numbers = list(layers)
        self.of_module = {
            inner: place for place, layer in enumerate(layers.values()) for inner in layer.modules()
        }
        self._behind: set[nn.Module] | None = None

    def acts(self, prompt: Prompt) -> Iterable[tuple[int, str]]:
        """For each part of a prompt the first layer it acts in, and words for it."""
        card = prompt.card
        if card.placement == "slot_embeddings":
            kind = "soft tokens before the text" if card.slots == "front" else "slots in the text"
            yield 0, f"{kind}, which every layer reads"
        if card.placement == "image":
            if card.depth == "shallow" or (card.location or "").startswith(("pixel", "channel")):
                yield 0, f"{card.location} before the first layer"
            for layer in card.layers[:1]:
                yield self.numbers.index(layer), f"tokens in layer {layer}"
        for layers in card.sites.values():
            first = min(layers)
            yield self.numbers.index(first), f"key/values in layer {first}"
        for key, places in Weights(self.model, prompt.weights, self.name).places.items():
            for module, _ in places:
                yield self._of(module), f"a tuned tensor before the first layers' end ({key})"
        modules = dict(self.model.named_modules()) if prompt.inserts else {}
        for key in prompt.inserts:
            yield self._of(modules[key]), f"a module beside {key}"

    def _of(self, module: nn.Module) -> int:
        if module in self.of_module:
            return self.of_module[module]
        return len(self.numbers) if module in self.behind else 0

    @property
    def behind(self) -> set[nn.Module]:
        """Modules that run only when the last layer has ended: the final norm and heads."""
        if self._behind is None:
            self._behind = self._look()
        return self._behind

    @torch.no_grad()
    def _look(self) -> set[nn.Module]:
        last = next(m for m, place in self.of_module.items() if place == len(self.numbers) - 1)
        ended = False
        early: set[nn.Module] = set()
        late: set[nn.Module] = set()

        def begin(module: nn.Module, args: Any) -> None:
            (late if ended else early).add(module)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal ended
            ended = True

        base = self.model.base_model
        handles = [module.register_forward_pre_hook(begin) for module in base.modules()]
        handles.append(last.register_forward_hook(end))
        try:
            probe(self.model, None if self.vision is None else self.vision.size)
        finally:
            for handle in handles:
                handle.remove()
        return (late - early) | (set(self.model.modules()) - set(base.modules()))
