"""Slots in the text: vectors in place of tokens, wherever the ids say so."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention.interface import Interception
from softprompt.backbones.dispatch import Forward, Override
from softprompt.backbones.injection.injector import PassContext, RowTable, bound_arguments
from softprompt.backbones.inspection import Stack
from softprompt.errors import PromptError


class SlotInjector:
    """Puts each row's own vectors where its text has the id -(k + 1), the place of slot k.

    The text becomes input embeddings as the stack's own table gives them (a table that scales its words
    does so once), with vectors in the slots as they are. Everything after that, positions, types, norms
    and dropout, is the family's own business with `inputs_embeds`. Text without slots passes untouched.

    Args:
        stack: the module that takes the text.
        takes: whether slots may stand in this stack's text; a decoder that has an encoder takes none.
        in_place: which prompts have slots in the text, `[prompt_id]`.
    """

    def __init__(self, stack: Stack, takes: bool, in_place: Sequence[bool]):
        self.stack = stack
        self.takes = takes
        self.in_place = in_place

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The stack."""
        return [self.stack.module]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """None."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Fill slots when the stack is called."""

        def filled(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            given = bound_arguments(self.stack.signature, args, kwargs)
            ids = given.get("input_ids")
            if ids is None or not bool((ids < 0).any()):
                return below(*args, **kwargs)
            return below(**(given | self._embedded(context, ids)))

        return {self.stack.module: filled}

    def _embedded(self, context: PassContext, ids: Tensor) -> dict[str, Any]:
        found = context.rows_for(len(ids))
        rows = torch.zeros(len(ids), dtype=torch.long) if found is None else found
        vectors = [
            v if inside else None for v, inside in zip(context.lowered.vectors, self.in_place, strict=True)
        ]
        table = None if all(v is None for v in vectors) else RowTable(vectors, pad="right")
        counts = torch.zeros(len(context.prompts), dtype=torch.long) if table is None else table.lengths
        self._check(context, ids, rows, counts)
        assert table is not None
        at = (ids < 0).nonzero(as_tuple=True)
        device = table.values.device
        filling = table.values[rows.to(device)[at[0].to(device)], (-1 - ids[at]).to(device)]
        words = self.stack.module.get_input_embeddings()(ids.clamp(min=0))  # type: ignore[operator]
        return {"inputs_embeds": words.index_put(at, filling.to(words)), "input_ids": None}

    def _check(self, context: PassContext, ids: Tensor, rows: Tensor, counts: Tensor) -> None:
        there = counts[rows] if self.takes else torch.zeros(len(ids), dtype=torch.long)
        wrong = (ids < -there.to(ids.device)[:, None]).nonzero()
        if len(wrong) == 0:
            return
        row, column = wrong[0].tolist()
        got = f"{int(ids[row, column])} in row {row}"
        if not self.takes:
            raise PromptError("decoder_input_ids", got, "ids from 0", "put slots into the encoder's text")
        prompt = context.prompts[int(rows[row])]
        n = int(there[row])
        if n == 0:
            method = None if prompt is None else prompt.card.method
            whose = "has no prompt" if method is None else f"has a {method} prompt without slots in the text"
            raise PromptError("input_ids", f"{got}, which {whose}", "ids from 0", "use p_tuning for that row")
        slots = "-1, its prompt's one slot" if n == 1 else f"-1 to -{n}, the {n} slots of its prompt"
        raise PromptError("input_ids", got, slots, "encode the text with the prompt's own template")


def refuse_slots(ids: Any) -> None:
    """Refuse ids that name slots where no prompt is active.

    Raises:
        PromptError: there are some.
    """
    if isinstance(ids, Tensor) and bool((ids < 0).any()):
        row, column = (ids < 0).nonzero()[0].tolist()
        raise PromptError(
            "input_ids",
            f"{int(ids[row, column])} in row {row}, a slot for which there is no prompt",
            "ids from 0",
            "enter backbone.prompted with the prompt that has the slots",
        )
