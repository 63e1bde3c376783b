"""Which prompts can enter a model that reads texts: tried once for each way in, when a prompt first asks."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from softprompt.backbones.dispatch import Gate
from softprompt.backbones.injection.calls.reading import (
    SoftTokenWay,
    soft_token_way,
    why_no_prefix,
    why_no_slots,
)
from softprompt.backbones.injection.compatibility import stands_in_front, stands_in_text
from softprompt.backbones.inspection import ModelMap
from softprompt.errors import BackboneError
from softprompt.prompts import Prompt, prefix_tuning, prompt_tuning


class TextReach:
    """Which prompts a text can have, and how they enter.

    Args:
        backbone: for which prompts are made to be tried.
        model_map: of the backbone.
        gate: of the backbone.
    """

    def __init__(self, backbone: Any, model_map: ModelMap, gate: Gate):
        self._backbone = backbone
        self.model_map = model_map
        self.gate = gate

    def check(self, prompts: Sequence[Prompt | None]) -> bool:
        """Whether soft tokens before the text are columns of a stack's input.

        Args:
            prompts: of one session.

        Raises:
            BackboneError: prompts that cannot enter, or not in one batch.
        """
        given = [prompt for prompt in prompts if prompt is not None]
        as_columns = any(map(stands_in_front, given)) and self._as_columns(prompts)
        if any(map(stands_in_text, given)) and self._why_no_slots is not None:
            raise _no_slots(self.model_map, self._why_no_slots)
        if any("decoder" in prompt.card.sites for prompt in given) and self._why_no_prefix is not None:
            raise _no_prefix(self.model_map, self._why_no_prefix)
        return as_columns

    def _as_columns(self, prompts: Sequence[Prompt | None]) -> bool:
        way = self._soft_token_way
        if way.why_not is not None:
            raise _no_soft_tokens(self.model_map, way.why_not)
        lengths = {
            prompt.length if prompt is not None and stands_in_front(prompt) else 0 for prompt in prompts
        }
        several = len(lengths) > 1
        if several and not way.mixes_lengths:
            raise _one_length(self.model_map)
        if several and 0 in lengths and not way.mixes_none:
            raise _all_rows(self.model_map)
        return way.as_columns

    @cached_property
    def _why_no_prefix(self) -> str | None:
        def prefix(length: int) -> Prompt:
            return prefix_tuning(
                self._backbone, length, initialization="random", reparameterization=None, seed=0
            )

        return why_no_prefix(self.model_map, self.gate, prefix)

    @cached_property
    def _why_no_slots(self) -> str | None:
        return why_no_slots(self.model_map, self.gate)

    @cached_property
    def _soft_token_way(self) -> SoftTokenWay:
        def soft(length: int) -> Prompt:
            return prompt_tuning(self._backbone, length, initialization="random", seed=0)

        return soft_token_way(self.model_map, self.gate, soft)


def _no_soft_tokens(model_map: ModelMap, why: str) -> BackboneError:
    """The error of soft tokens on a backbone that takes them in no way."""
    return BackboneError(
        "prompted",
        f"soft tokens before the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model that reads embeddings before a text as it reads tokens",
        "use prefix_tuning or p_tuning_v2, which put key/values into its attentions",
    )


def _no_slots(model_map: ModelMap, why: str) -> BackboneError:
    """The error of slots in the text of a backbone that takes no embeddings."""
    return BackboneError(
        "prompted",
        f"slots in the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model that reads embeddings in place of tokens",
        "use prefix_tuning or p_tuning_v2, which put key/values into its attentions",
    )


def _no_prefix(model_map: ModelMap, why: str) -> BackboneError:
    """The error of key/values on a backbone whose attention is not a function of them alone."""
    return BackboneError(
        "prompted",
        f"key/values before the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model whose attention is a function of queries, keys and values",
        "use prompt_tuning, whose soft tokens are part of the input there",
    )


def _one_length(model_map: ModelMap) -> BackboneError:
    """The error of rows with different numbers of soft tokens where masked columns act on a row."""
    return BackboneError(
        "prompted",
        f"rows with different numbers of soft tokens before the text of {model_map.spec.name}, whose states "
        "change with masked columns before a row",
        "soft tokens of one number in all rows",
        "give every row a prompt of that length, or run rows of each length by themselves",
    )


def _all_rows(model_map: ModelMap) -> BackboneError:
    """The error of rows without soft tokens where a model reads ids otherwise than their embeddings."""
    return BackboneError(
        "prompted",
        f"rows without soft tokens beside others, for {model_map.spec.name}, which reads a text's ids "
        "otherwise than their embeddings",
        "soft tokens in all rows",
        "run rows without a prompt by themselves",
    )
