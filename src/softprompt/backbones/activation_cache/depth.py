"""The lowest layer that prompts act in: the layers below it depend on the input alone."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from torch import nn

from softprompt.backbones.injection import Weights
from softprompt.backbones.inspection import ModelMap, base_module
from softprompt.errors import PromptError, with_article
from softprompt.prompts import LOCATIONS, Prompt


def first_injected_layer(
    model_map: ModelMap, layers: Mapping[int, nn.Module], prompts: Iterable[Prompt]
) -> int:
    """The place, among all layers, of the first that a prompt acts in; their number where none does.

    Args:
        model_map: of the backbone.
        layers: its layers by number, see `skip.model_layers`.
        prompts: that will be active.

    Raises:
        PromptError: a prompt that acts before or in the first layer, with the reason.
    """
    name = model_map.spec.name
    where = _Where(model_map, layers)
    lowest = len(layers)
    for prompt in prompts:
        for place, what in where.acts(prompt):
            if place == 0:
                raise PromptError(
                    "trunk cache",
                    f"{with_article(prompt.card.method)} prompt with {what}",
                    f"a prompt that acts in layers 1-{len(layers) - 1} of {name} alone, or in a head",
                    "choose method.layers (e.g. last:4), or leave training.trunk_cache out",
                )
            lowest = min(lowest, place)
    return lowest


class _Where:
    """Where in a model the parts of a prompt act."""

    def __init__(self, model_map: ModelMap, layers: Mapping[int, nn.Module]):
        self.map = model_map
        self.numbers = list(layers)
        self.of_module = {
            inner: place for place, layer in enumerate(layers.values()) for inner in layer.modules()
        }

    def acts(self, prompt: Prompt) -> Iterable[tuple[int, str]]:
        """For each part of a prompt the first layer it acts in, and words for it."""
        card = prompt.card
        if card.placement == "slot_embeddings":
            kind = "soft tokens before the text" if card.slots == "front" else "slots in the text"
            yield 0, f"{kind}, which every layer reads"
        if card.placement == "image":
            if card.depth == "shallow" or (card.location and LOCATIONS[card.location].in_pixels):
                yield 0, f"{card.location} before the first layer"
            for layer in card.layers[:1]:
                yield self.numbers.index(layer), f"tokens in layer {layer}"
        if card.placement == "states":
            yield 0, "initial states of recurrent layers"
            return
        for layers in card.sites.values():
            first = min(layers)
            yield self.numbers.index(first), f"key/values in layer {first}"
        for key, places in Weights(self.map.model, prompt.weights, self.map.spec.name).places.items():
            for module, _ in places:
                yield self._of(module), f"a tuned tensor before the first layers' end ({key})"
        modules = dict(self.map.model.named_modules()) if prompt.inserts else {}
        for key in prompt.inserts:
            yield self._of(modules[key]), f"a module beside {key}"

    def _of(self, module: nn.Module) -> int:
        if module in self.of_module:
            return self.of_module[module]
        return len(self.numbers) if module in self.behind else 0

    @cached_property
    def behind(self) -> set[nn.Module]:
        """Modules that run only when the last layer has ended: the final norm and heads."""
        model = self.map.model
        last = next(m for m, place in self.of_module.items() if place == len(self.numbers) - 1)
        base = set(base_module(model).modules())
        return (self.map.behind(last) & base) | (set(model.modules()) - base)
