"""Where a prompt enters a model, how many positions it takes, and which prompts are refused."""

import operator
from collections.abc import Collection, Iterable, Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.inspection import AttentionSite, BackboneSpec
from softprompt.errors import BackboneError, PromptError, with_article
from softprompt.prompts import Prompt


def as_several(prompts: Prompt | None | Sequence[Prompt | None]) -> list[Prompt | None]:
    """The prompts that a caller gave, one or several.

    Raises:
        PromptError: an argument that is no prompt, such as a wrapped prompt or the name of a folder.
    """
    # From a caller, who may have given anything.
    anything: Any = prompts
    several = isinstance(anything, Iterable) and not isinstance(anything, nn.Module | str | PathLike)
    given: list[Any] = list(anything) if several else [anything]
    for one in given:
        if one is not None and not isinstance(one, Prompt):
            raise PromptError(
                "prompted",
                with_article(type(one).__name__),
                "a prompt, None, or a list of them",
                "load a folder with softprompt.load_prompt; give accelerate or DistributedDataParallel a "
                "softprompt.PromptedModel(backbone, prompt) rather than the prompt, and call that",
            )
    return given


def prompt_of_row(prompts: Sequence[Prompt | None], rows: Sequence[int] | Tensor | None) -> list[int]:
    """For each batch row the index of its prompt.

    Args:
        prompts: those that rows can have.
        rows: from the caller; None is one row for each prompt, in order.

    Raises:
        PromptError: no rows, no whole numbers, or a row that names no prompt.
    """
    index = list(range(len(prompts))) if rows is None else _numbers(rows)
    bad = [row for row in index if not 0 <= row < len(prompts)]
    if bad or not index:
        raise PromptError(
            "prompted.rows",
            bad[0] if bad else "no rows",
            f"indices from 0 to {len(prompts) - 1}, one per batch row",
        )
    return index


def _numbers(rows: Sequence[int] | Tensor) -> list[int]:
    """The numbers of rows, none of them rounded.

    Raises:
        PromptError: something else than a row of whole numbers.
    """
    try:
        return [operator.index(row) for row in (rows.tolist() if isinstance(rows, Tensor) else rows)]
    except TypeError:
        raise PromptError(
            "prompted.rows",
            repr(rows.tolist() if isinstance(rows, Tensor) else rows),
            "a whole number for each batch row, the index of its one prompt",
            "give [0, 1] for a first row under the first prompt and a second under the second; a row has one "
            "prompt",
        ) from None


def check_prompt(
    prompt: Prompt,
    spec: BackboneSpec,
    places: Collection[tuple[str, int]],
    dtype: torch.dtype,
) -> None:
    """Refuse a prompt that does not belong to a backbone or cannot enter it.

    Args:
        prompt: the prompt.
        spec: of the backbone.
        places: the sites and layers of the backbone; empty where the prompt needs none.
        dtype: the precision in which the backbone computes.

    Raises:
        PromptError: a prompt for another backbone, numbers beyond the range of this one's precision, or
            positions that the placement cannot have.
        BackboneError: a layer that the backbone does not have.
    """
    if not prompt.accepted & spec.keys:
        unlike = prompt.unlike(spec.card)
        if unlike is not None:
            raise PromptError(
                "prompted",
                f"a prompt for {prompt.card.backbone.name}, which {spec.name} is not: {unlike}",
                f"one for {spec.name}",
                "load it with load_prompt(folder, backbone, any_backbone=True) to try",
            )
        prompt.check_range(dtype, "prompted")
        prompt.accepted |= spec.keys  # the next check need not compare sizes
    slots = prompt.card.placement == "slot_embeddings" and prompt.card.slots == "front"
    if slots and prompt.card.positions == "unshifted" and any(site == "encoder" for site, _ in places):
        raise PromptError(
            "prompt.positions",
            "'unshifted'",
            "'shifted', since soft tokens before an encoder are part of the input",
        )
    if prompt.card.slots == "in_place" and prompt.card.positions == "shifted":
        raise PromptError(
            "prompt.positions",
            "'shifted'",
            "'unshifted', since slots in the text have the text's own positions",
        )
    for site, layers in prompt.card.sites.items():
        for layer in layers:
            if (site, layer) not in places:
                raise BackboneError("prompted", f"{site} layer {layer}", f"layers that {spec.name} has")


def stands_in_front(prompt: Prompt | None) -> bool:
    """Whether a prompt is soft tokens in front of the text."""
    return _is_soft(prompt, "front")


def stands_in_text(prompt: Prompt | None) -> bool:
    """Whether a prompt is vectors in slots of the text."""
    return _is_soft(prompt, "in_place")


def _is_soft(prompt: Prompt | None, slots: str) -> bool:
    if prompt is None:
        return False
    return prompt.card.placement == "slot_embeddings" and prompt.card.slots == slots


def reaches(prompt: Prompt | None, attention: AttentionSite, front: str | None) -> bool:
    """Whether a prompt has key/values in an attention; soft tokens do unless they are part of an input.

    Args:
        prompt: the prompt; None is no prompt.
        attention: the attention.
        front: the site whose input holds the soft tokens, or None.
    """
    if prompt is None:
        return False
    if stands_in_front(prompt):
        return front is None
    return attention.layer in prompt.card.sites.get(attention.site, [])


def shift(prompt: Prompt | None, site: str, front: str | None) -> int:
    """By how much the positions of a site's text are moved for a prompt; `front` as in `reaches`."""
    if prompt is None or prompt.card.positions == "unshifted":
        return 0
    if stands_in_front(prompt):  # soft tokens in the input are counted with the text
        return prompt.length if front is None else 0
    return prompt.length if site in prompt.card.sites else 0


def occupied(prompt: Prompt | None, site: str, front: str | None) -> int:
    """Positions that a prompt takes from the text; `front` as in `reaches`."""
    if site == front and prompt is not None and stands_in_front(prompt):
        return prompt.length
    return shift(prompt, site, front)
