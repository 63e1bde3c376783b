"""Slots in the text: vectors in place of tokens, wherever the ids say so."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError

_Rows = Callable[[int], Tensor | None]


class SlotHook:
    """Puts each row's own vectors where its text has the id -(k + 1), the place of slot k.

    The text becomes input embeddings as the stack's own table gives them (a table that scales its words
    does so once), with vectors in the slots as they are. Everything after that, positions, types, norms
    and dropout, is the family's own business with `inputs_embeds`. Text without slots passes untouched.

    Args:
        stack: the module that takes the text.
        rows_for: which prompt each row of a batch has (None: one for all).
        methods: each prompt's, for errors; None is no prompt.
        takes: whether slots may stand in this stack's text; a decoder that has an encoder takes none.
    """

    def __init__(self, stack: nn.Module, rows_for: _Rows, methods: Sequence[str | None], takes: bool = True):
        self.stack = stack
        self.rows_for = rows_for
        self.methods = methods
        self.takes = takes
        self.counts = torch.zeros(len(methods), dtype=torch.long)
        """Slots of each prompt."""
        self.table: Tensor | None = None
        """Vectors by prompt and slot, `[prompt_id, slot, hidden]`; zeros behind the shorter ones."""
        self._signature = inspect.signature(stack.forward)

    def install(self) -> list[Any]:
        """Register the hook; returns its handle."""
        return [self.stack.register_forward_pre_hook(self._before, with_kwargs=True)]

    def set(self, vectors: Sequence[Tensor | None]) -> None:
        """The current vectors of each prompt, `[slot, hidden]`; None for prompts without slots."""
        some = next((v for v in vectors if v is not None), None)
        if some is None:
            return
        filled = [some.new_zeros(0, some.shape[1]) if v is None else v for v in vectors]
        longest = max(len(v) for v in filled)
        self.table = torch.stack([nn.functional.pad(v, (0, 0, 0, longest - len(v))) for v in filled])
        self.counts = torch.tensor([len(v) for v in filled])

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = self._signature.bind_partial(*args, **kwargs).arguments
        given = {**bound.pop("kwargs", {}), **bound}
        ids = given.get("input_ids")
        if ids is None or not bool((ids < 0).any()):
            return None
        rows = self.rows_for(len(ids))
        rows = torch.zeros(len(ids), dtype=torch.long) if rows is None else rows
        self._check(ids, rows)
        assert self.table is not None
        at = (ids < 0).nonzero(as_tuple=True)
        device = self.table.device
        vectors = self.table[rows.to(device)[at[0].to(device)], (-1 - ids[at]).to(device)]
        words = module.get_input_embeddings()(ids.clamp(min=0))  # type: ignore[operator]
        given["inputs_embeds"] = words.index_put(at, vectors.to(words))
        given["input_ids"] = None
        return (), given

    def _check(self, ids: Tensor, rows: Tensor) -> None:
        there = self.counts[rows] if self.takes else torch.zeros(len(ids), dtype=torch.long)
        wrong = (ids < -there.to(ids.device)[:, None]).nonzero()
        if len(wrong) == 0:
            return
        row, column = wrong[0].tolist()
        got = f"{int(ids[row, column])} in row {row}"
        if not self.takes:
            raise PromptError("decoder_input_ids", got, "ids from 0", "put slots into the encoder's text")
        n, method = int(there[row]), self.methods[int(rows[row])]
        if n == 0:
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
