"""Inputs of a stack for its text: vectors in the slots of a template, and positions.

Positions begin at 0, or behind the prompt, each row by its own prompt. Three ways in which families number
them are known: a `position_ids` argument (GPT-2, Llama and most), a learned table that counts by itself
(BART's family), and relative biases (T5's family).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, bound_arguments
from softprompt.backbones.injection.injector import PassContext, RowTable
from softprompt.backbones.injection.refusals import numbered_with_padding
from softprompt.backbones.injection.rotary import RotaryCheck
from softprompt.backbones.inspection import Stack, asked_columns, table_offset, word_vectors
from softprompt.errors import BackboneError, PromptError


class SlotInjector:
    """Puts each row's own vectors where its text has the id -(k + 1), the place of slot k.

    The stack's own table gives the input embeddings of words, scaled where the table scales them; the vectors
    of slots are put between them unscaled. The stack then treats the result like any `inputs_embeds`: it adds
    positions and types, norms and dropout. Text without slots passes unchanged.

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
        """No attention is answered."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Fill slots when the stack is called."""

        def filled(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(self.stack.signature, args, kwargs)
            ids = given.get("input_ids")
            if ids is None or not bool((ids < 0).any()):
                return below(*args, **kwargs)
            self._refuse_padding_before(given.get("attention_mask"))
            return below(**(given | self._embedded(context, ids)))

        return {self.stack.module: filled}

    def _refuse_padding_before(self, mask: Any) -> None:
        """NLLB and FSMT skip padding by its id, and number embeddings by their columns."""
        by_columns = self.stack.numbering == "unknown" and hasattr(self.stack.module, "embed_positions")
        before = isinstance(mask, Tensor) and mask.ndim == 2 and (mask.ne(0).long().diff(dim=1) > 0).any()
        if by_columns and self.stack.site == "encoder" and before:
            raise BackboneError(
                "attention_mask",
                f"padding before slots in {type(self.stack.module).__name__}, which numbers columns",
                "padding behind the text",
                "pad on the right, or use prompt_tuning",
            )

    def _embedded(self, context: PassContext, ids: Tensor) -> dict[str, Any]:
        own_rows = context.rows_for(len(ids))
        rows = torch.zeros(len(ids), dtype=torch.long) if own_rows is None else own_rows
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
        words = word_vectors(self.stack.words, ids.clamp(min=0))
        return {"inputs_embeds": words.index_put(at, filling.to(words)), "input_ids": None}

    def _check(self, context: PassContext, ids: Tensor, rows: Tensor, counts: Tensor) -> None:
        n_slots = counts[rows] if self.takes else torch.zeros(len(ids), dtype=torch.long)
        wrong = (ids < -n_slots.to(ids.device)[:, None]).nonzero()
        if len(wrong) == 0:
            return
        row, column = wrong[0].tolist()
        got = f"{int(ids[row, column])} in row {row}"
        if not self.takes:
            raise PromptError("decoder_input_ids", got, "ids from 0", "put slots into the encoder's text")
        prompt = context.prompts[int(rows[row])]
        n = int(n_slots[row])
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
            f"{int(ids[row, column])} in row {row}, a slot without a prompt",
            "ids from 0",
            "enter backbone.prompted with the prompt that has the slots",
        )


class PositionInjector:
    """Gives a stack the positions of each row's text, shifted by the row's prompt.

    Where the caller gives no positions, they are counted along the attention mask, so padding on either side
    changes nothing. Positions from the caller are those of the text alone.

    Args:
        stack: the module that takes the text.
        around: the model's base module, which may number columns itself before the stack is called.
        shifts: of each prompt, `[prompt_id]`.
        longest: the most positions that a prompt takes, for the check against `max_positions`.
        max_positions: longest input of the backbone in tokens, or None.
        first_position: the first number of the family's own `position_ids`.
        name: of the backbone, for errors.
        rotary: what is refused where the family has another rotary table for long texts; else None.
        columns_before: gives the number of soft tokens before the text in a call's input; None where it has
            none.

    Raises:
        BackboneError: positions that cannot be shifted.
    """

    def __init__(
        self,
        stack: Stack,
        around: nn.Module,
        shifts: Sequence[int],
        longest: int,
        max_positions: int | None,
        first_position: int,
        name: str,
        rotary: RotaryCheck | None = None,
        columns_before: Callable[[PassContext], int] | None = None,
    ):
        self.stack = stack
        self.around = None if around is stack.module else around
        self.shifts = torch.tensor(list(shifts))
        self.longest = longest
        self.max_positions = max_positions
        self.first_position = first_position
        self.name = name
        self.rotary = rotary
        self.columns_before = columns_before
        if stack.numbering == "unknown" and any(shifts):
            raise BackboneError(
                "prompt.positions",
                "'shifted'",
                f"'unshifted' ({name}'s {type(stack.module).__name__} numbers positions in a way that is not "
                "known)",
            )

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The stack, the module around it, and the stack's table of positions if that counts them itself."""
        table = self.stack.module.embed_positions if self._counts else None
        return [module for module in (self.stack.module, self.around, table) if isinstance(module, nn.Module)]

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Number the text when the stack is called, and look its positions up."""
        overrides: dict[nn.Module, Override] = {self.stack.module: self._stack(context)}
        if self._counts:
            table: Any = self.stack.module.embed_positions
            overrides[table] = self._table(context, table)
        if self.around is not None:
            overrides[self.around] = self._noted(context, inspect.signature(self.around.forward))
        return overrides

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def shifts_of(self, rows: Tensor | None) -> Tensor:
        """By how much each row's positions are moved, `[batch]`; `[1]` where one prompt serves all."""
        return self.shifts[:1] if rows is None else self.shifts[rows]

    @property
    def _counts(self) -> bool:
        return self.stack.numbering == "table"

    def _noted(self, context: PassContext, signature: inspect.Signature) -> Override:
        """Keep what the caller says of positions, for the time of the call."""

        def noted(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(signature, args, kwargs)
            context.notes[self] = given.get("position_ids") is None, given.get("attention_mask")
            try:
                return below(*args, **kwargs)
            finally:
                context.notes.pop(self, None)

        return noted

    def _stack(self, context: PassContext) -> Override:
        def numbered(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(self.stack.signature, args, kwargs)
            text = given["input_ids"] if given.get("input_ids") is not None else given.get("inputs_embeds")
            if text is None:
                return below(*args, **kwargs)
            batch, q_len = text.shape[:2]
            cache = given.get("past_key_values")
            past = cache.get_seq_length() if cache is not None else 0
            # A static cache updates its counter, a tensor, in place.
            past = past.clone() if isinstance(past, Tensor) else past
            columns = 0 if self.columns_before is None else self.columns_before(context)
            self._check(int(past) + q_len - columns)
            positions, mask = given.get("position_ids"), given.get("attention_mask")
            by_columns, outer_mask = context.notes.get(self, (False, None))
            if by_columns and _are_columns(positions, past + self.first_position):
                positions, mask = None, mask if outer_mask is None else outer_mask
            if positions is None:
                positions = count_positions(mask, past, q_len, text.device)
            else:
                if self.around is None and self.shifts.any() and _counts_padding(positions, mask):
                    raise numbered_with_padding(self.name)
                positions = self._of_this_pass(positions, batch, q_len, int(past)) - self.first_position
            context.text_positions[self.stack.site] = positions
            # Checks that the batch fits the rows, even where nothing is shifted.
            rows = None if context.rows is None else context.rows_for(batch)
            # A new run over the layers begins: both hold what belongs to one run.
            context.widened.clear()
            context.layer_calls.clear()
            if self.stack.numbering not in ("ids", "table"):
                return below(*args, **kwargs)
            shifted = positions + self.shifts_of(rows).to(text.device)[:, None]
            context.shifted_positions[self.stack.site] = shifted
            if self.rotary is not None:
                self.rotary.check_rows(shifted, int(past) > 0)
            if self._counts:
                return below(*args, **kwargs)
            shifted = shifted + self.first_position
            given["position_ids"] = shifted.expand(*positions.shape[:-2], batch, q_len)
            return below(**given)

        return numbered

    def _of_this_pass(self, positions: Tensor, batch: int, q_len: int, past: int) -> Tensor:
        """Positions given for a pass, `[..., batch or 1, seq or 1]`.

        Qwen's picture-text models number all that a mask says of, also the tokens of earlier passes.
        """
        positions = positions[None] if positions.ndim == 1 else positions
        n_rows, n_columns = positions.shape[-2:]
        if past and n_columns == past + q_len:
            positions = positions[..., -q_len:]
        elif n_rows not in (1, batch) or n_columns not in (1, q_len):
            raise BackboneError(
                "position_ids",
                f"{tuple(positions.shape)} for {batch} rows of {q_len} tokens",
                f"[{batch}, {q_len}], a position for each token of this pass",
                "pass the positions of these tokens alone, or leave position_ids out",
            )
        return positions

    def _table(self, context: PassContext, table: Any) -> Override:
        def looked_up(below: Forward, *args: Any, **kwargs: Any) -> Tensor:
            # The table itself counts from one number for all rows; each row has its own positions.
            shifted = context.shifted_positions[self.stack.site]
            places = shifted.to(table.weight.device) + table_offset(table)
            added = asked_columns(args) - places.shape[1]
            if added > 0:  # masked columns by which LED fills its window, behind the text
                places = torch.cat([places, places[:, -1:].expand(-1, added)], dim=1)
            return nn.functional.embedding(places, table.weight)

        return looked_up

    def _check(self, text_len: int) -> None:
        if self.max_positions is not None and self.longest + text_len > self.max_positions:
            raise BackboneError(
                "prompted",
                f"{text_len} tokens of text and a prompt of {self.longest}",
                f"at most {self.max_positions} tokens together, as many as {self.name} has positions",
                "shorten the text or the prompt",
            )
        if self.rotary is not None:
            self.rotary.check_length(text_len)


def count_positions(mask: Any, past: int | Tensor, q_len: int, device: torch.device) -> Tensor:
    """Positions of the newest `q_len` tokens, `[batch or 1, seq]`, counted along the real ones of a mask."""
    real = _real(mask)
    seen = int(past) + q_len
    if real is None or real.shape[1] < seen:
        return torch.arange(q_len, device=device)[None] + past
    return (real[:, :seen].long().cumsum(-1) - 1).clamp(min=0)[:, -q_len:]


def _are_columns(positions: Tensor | None, past: int | Tensor) -> bool:
    """Whether positions only number the columns of the input."""
    if positions is None or positions.ndim > 2:
        return False
    columns = torch.arange(positions.shape[-1], device=positions.device) + past
    return bool((positions == columns).all())


def _counts_padding(positions: Tensor, mask: Any) -> bool:
    """Whether a model around a stack made masks that show padding before a text, and numbered that too.

    A mask of two dimensions is the caller's own, and so are the positions beside it.
    """
    if positions.ndim > 2 or (isinstance(mask, Tensor) and mask.ndim != 4):
        return False
    real, length = _real(mask), positions.shape[-1]
    if real is None or length < 2 or real.shape[1] != length or bool(real[:, 0].all()):
        return False
    first = positions[..., :1]
    return bool((positions - first == torch.arange(length, device=positions.device)).all())


def _real(mask: Any) -> Tensor | None:
    """Which tokens a mask takes for real ones, `[batch, seq]`; None where it does not say.

    Models around a stack may have made masks of four dimensions before the stack is called, one for each kind
    of attention. A real token is seen by some query, itself at least.
    """
    if isinstance(mask, Mapping):
        mask = mask.get("full_attention", next(iter(mask.values()), None))
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 4):
        return None
    seen = mask if mask.ndim == 2 or mask.dtype == torch.bool else mask == 0
    return seen if mask.ndim == 2 else seen[:, 0].any(dim=-2)
