"""The injectors that some prompts need to enter a model."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from softprompt.backbones.injection.columns import ColumnInjector
from softprompt.backbones.injection.compatibility import (
    occupied,
    reaches,
    shift,
    stands_in_front,
    stands_in_text,
)
from softprompt.backbones.injection.initial_states import StateInjector
from softprompt.backbones.injection.injector import Injector, PassContext, used_prompts
from softprompt.backbones.injection.key_values import KeyValueInjector
from softprompt.backbones.injection.layer_modules import LayerModuleInjector
from softprompt.backbones.injection.pictures import (
    AddedTokenInjector,
    PixelInjector,
    SwinInjector,
    VisionTokenInjector,
    plan_of,
    prefix_layers,
    token_layers,
)
from softprompt.backbones.injection.prepended import PrependedInjector
from softprompt.backbones.injection.rotary import RotaryCheck
from softprompt.backbones.injection.text_inputs import PositionInjector, SlotInjector
from softprompt.backbones.inspection import AttentionSite, ModelMap, Vision, word_of_soft_tokens
from softprompt.prompts import LOCATIONS, RECURRENT, AddedTokens, Prompt


class Injectors:
    """The injectors of prompts, outermost first.

    Args:
        model_map: of the backbone.
        prompts: one or several; None stands for no prompt.
        rows: for each batch row, which prompt, `[batch]`; None when one prompt serves all rows.
        as_tokens: run deep visual prompts as tokens.
        as_columns: soft tokens before a decoder's text are columns of its input instead of key/values.

    Raises:
        PromptError: prompts that cannot share a batch.
        BackboneError: a placement that the model cannot take.
    """

    def __init__(
        self,
        model_map: ModelMap,
        prompts: Sequence[Prompt | None],
        rows: Tensor | None,
        as_tokens: bool,
        as_columns: bool,
    ):
        self.model_map = model_map
        self.prompts = prompts
        self.layer_modules = LayerModuleInjector(model_map.model, prompts, model_map.spec.name)
        self.positions: dict[str, PositionInjector] = {}
        self.as_columns = as_columns
        self._prepended: PrependedInjector | None = None
        self._key_values: KeyValueInjector | None = None
        by_layers = not ("encoder" in model_map.stacks or as_columns)
        self.reads_by_layers = by_layers and any(map(stands_in_front, prompts))
        """Whether soft tokens go through the model's layers alone, before any text."""
        if model_map.vision is None:
            self.all = self._of_texts()
        else:
            self.all = self._of_pictures(model_map.vision, used_prompts(prompts, rows), as_tokens)
        if self.layer_modules.modules:
            self.all.append(self.layer_modules)

    @cached_property
    def modules(self) -> tuple[nn.Module, ...]:
        """Every module whose forward they may override."""
        return tuple(dict.fromkeys(module for injector in self.all for module in injector.modules))

    @cached_property
    def attentions(self) -> frozenset[nn.Module]:
        """All attentions of the model."""
        return frozenset(attention.module for attention in self.model_map.attentions)

    @cached_property
    def configs(self) -> tuple[Any, ...]:
        """The configurations that name the kernels of attentions which prompts reach."""
        reached = [] if self._key_values is None else self._key_values.by_module
        configs = [config for module in reached if (config := getattr(module, "config", None)) is not None]
        return tuple({id(config): config for config in configs}.values())

    @property
    def shares_modules(self) -> bool:
        """Whether prompts reach layers that share one module."""
        return self._key_values is not None and self._key_values.shares_modules

    @property
    def grows_input(self) -> bool:
        """Whether soft tokens are part of the input of an encoder without a decoder."""
        return self._prepended is not None and self._prepended.decoder is None

    # -- of texts --------------------------------------------------------------------------------

    def _of_texts(self) -> list[Injector]:
        model_map, prompts, stacks = self.model_map, self.prompts, self.model_map.stacks
        in_place = [stands_in_text(prompt) for prompt in prompts]
        # Slots come first, so that the other injectors get embeddings.
        injectors: list[Injector] = [
            SlotInjector(stack, site == "encoder" or "encoder" not in stacks, in_place)
            for site, stack in stacks.items()
        ]
        in_front = [stands_in_front(prompt) for prompt in prompts]
        front: str | None = None
        columns: Callable[[PassContext], int] | None = None
        if any(in_front) and "encoder" in stacks:
            front, model = "encoder", model_map.model
            self._prepended = PrependedInjector(
                stacks["encoder"],
                stacks.get("decoder"),
                [model, model_map.base],
                [a.module for a in model_map.attentions if a.site == "encoder"],
                in_front,
            )
            injectors.append(self._prepended)
            columns = self._prepended.n_columns
        elif any(in_front) and self.as_columns:
            front = "decoder"
            injector = ColumnInjector(
                stacks["decoder"],
                model_map.base,
                model_map.model.get_input_embeddings(),
                word_of_soft_tokens(model_map.model),
                in_front,
                model_map.spec.name,
            )
            injectors.append(injector)
            columns = injector.n_columns
        spec = model_map.spec
        for site, stack in stacks.items():
            longest = max(occupied(prompt, site, front) for prompt in prompts)
            rotary = None
            if stack.rotary is not None:
                with_first = self.reads_by_layers
                rotary = RotaryCheck(stack.rotary, stack.module, longest, with_first, spec.name)
            self.positions[site] = PositionInjector(
                stack,
                model_map.base,
                [shift(prompt, site, front) for prompt in prompts],
                longest,
                spec.position_limit,
                spec.first_position,
                spec.name,
                rotary,
                columns if site == front else None,
            )
        injectors += self.positions.values()
        targets = [
            (attention, any(reaches(prompt, attention, front) for prompt in prompts))
            for attention in model_map.attentions
        ]
        return injectors + self._prefixes(targets) + self._initial_states()

    def _prefixes(self, targets: Sequence[tuple[AttentionSite, bool]]) -> list[Injector]:
        if not any(reached for _, reached in targets):
            return []
        stacks, vision = self.model_map.stacks, self.model_map.vision
        shifted = [prompt is not None and prompt.card.positions == "shifted" for prompt in self.prompts]
        windowed = vision is not None and vision.windowed
        self._key_values = KeyValueInjector(targets, stacks, shifted, windowed, self.model_map.chosen_keys)
        return [self._key_values]

    def _initial_states(self) -> list[Injector]:
        begun = {layer for prompt in self.prompts if prompt for layer in prompt.card.sites.get(RECURRENT, ())}
        if not begun:
            return []
        recurrences = [one for one in self.model_map.recurrences if one.layer in begun]
        return [StateInjector(recurrences, self.model_map.spec.name)]

    # -- of pictures -----------------------------------------------------------------------------

    def _of_pictures(self, vision: Vision, used: Sequence[Prompt | None], as_tokens: bool) -> list[Injector]:
        if all(prompt is None for prompt in self.prompts):
            return []
        n_layers = len(vision.layers)

        def prefixed(prompt: Prompt | None) -> Sequence[int]:
            if prompt is None:
                return ()
            return prefix_layers(prompt, n_layers, as_tokens) or prompt.card.sites.get("encoder", [])

        injectors: list[Injector] = [PixelInjector(vision)]
        cards = [prompt.card for prompt in self.prompts if prompt is not None]
        sums = [card for card in cards if card.location and LOCATIONS[card.location].placement is AddedTokens]
        added = sorted({layer for card in sums for layer in card.layers})
        if added:
            injectors.append(AddedTokenInjector(vision, added))
        targets = [
            (attention, any(attention.layer in prefixed(prompt) for prompt in self.prompts))
            for attention in self.model_map.attentions
        ]
        injectors += self._prefixes(targets)
        plans = [None if prompt is None else token_layers(prompt, n_layers, as_tokens) for prompt in used]
        # Key/values and tokens cannot both answer a layer's attention.
        mixes = not vision.windowed and not any(map(prefixed, used))
        plan = plan_of(plans, mixes)
        if plan is not None:
            tokens = SwinInjector if vision.windowed else VisionTokenInjector
            injectors.append(tokens(vision, plan))
        return injectors
