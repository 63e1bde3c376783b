"""Where a text's positions begin: at 0, or behind the prompt, each row by its own prompt.

Three ways in which families number positions are known: a `position_ids` argument (GPT-2, Llama and
most), a learned table that counts by itself (BART's family), and relative biases (T5's family).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention.interface import Interception
from softprompt.backbones.dispatch import Forward, Override
from softprompt.backbones.injection.injector import PassContext, bound_arguments
from softprompt.backbones.inspection import Stack
from softprompt.errors import BackboneError


class PositionInjector:
    """Gives a stack the positions of each row's text, shifted by the row's prompt.

    Without positions from the caller they are counted along the attention mask, so that padding on
    either side changes nothing. Positions from the caller are those of the text alone.

    Args:
        stack: the module that takes the text.
        shifts: of each prompt, `[prompt_id]`.
        longest: the most positions that a prompt takes, for the check against `max_positions`.
        max_positions: longest input of the backbone in tokens, or None.
        first_position: what the family's own `position_ids` begin with.
        name: of the backbone, for errors.
        switches_at: positions beyond which the rotary table is another one for all of them, if prompts hold
            key/values that were made with the first.
        columns_before: how many soft tokens stand in the input before the text in a call, if any.

    Raises:
        BackboneError: positions that cannot be shifted.
    """

    def __init__(
        self,
        stack: Stack,
        shifts: Sequence[int],
        longest: int,
        max_positions: int | None,
        first_position: int,
        name: str,
        switches_at: int | None = None,
        columns_before: Callable[[PassContext], int] = lambda context: 0,
    ):
        self.stack = stack
        self.shifts = torch.tensor(list(shifts))
        self.longest = longest
        self.max_positions = max_positions
        self.first_position = first_position
        self.name = name
        self.switches_at = switches_at
        self.columns_before = columns_before
        if stack.numbering == "unknown" and longest > 0:
            raise BackboneError(
                "prompt.positions",
                "'shifted'",
                f"'unshifted' ({name}'s {type(stack.module).__name__} numbers positions in a way that is not "
                "known)",
            )

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The stack, and its table of positions where that counts by itself."""
        return [self.stack.module, self.stack.module.embed_positions] if self._counts else [self.stack.module]  # type: ignore[list-item]

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Number the text when the stack is called, and look its positions up."""
        overrides: dict[nn.Module, Override] = {self.stack.module: self._stack(context)}
        if self._counts:
            table: Any = self.stack.module.embed_positions
            overrides[table] = self._table(context, table)
        return overrides

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """None."""
        return {}

    def shifts_of(self, rows: Tensor | None) -> Tensor:
        """By how much each row's positions are moved, `[batch]`; `[1]` where one prompt serves all."""
        return self.shifts[:1] if rows is None else self.shifts[rows]

    @property
    def _counts(self) -> bool:
        return self.stack.numbering == "table"

    def _stack(self, context: PassContext) -> Override:
        def numbered(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            given = bound_arguments(self.stack.signature, args, kwargs)
            text = given["input_ids"] if given.get("input_ids") is not None else given.get("inputs_embeds")
            if text is None:
                return below(*args, **kwargs)
            batch, q_len = text.shape[:2]
            cache = given.get("past_key_values")
            past = cache.get_seq_length() if cache is not None else 0
            # A static cache counts in a tensor that it updates in place.
            past = past.clone() if isinstance(past, Tensor) else past
            self._check(int(past) + q_len - self.columns_before(context))
            positions = given.get("position_ids")
            if positions is None:
                positions = count_positions(given.get("attention_mask"), past, q_len, text.device)
            else:
                positions = (positions[None] if positions.ndim == 1 else positions) - self.first_position
            context.text_positions[self.stack.site] = positions
            rows = context.rows_for(batch)  # also where nothing is shifted: the batch must fit the rows
            if self.stack.numbering not in ("ids", "table"):
                return below(*args, **kwargs)
            shifted = positions + self.shifts_of(rows).to(text.device)[:, None]
            context.shifted_positions[self.stack.site] = shifted
            if self._counts:
                return below(*args, **kwargs)
            shifted = shifted + self.first_position
            given["position_ids"] = shifted.expand(*positions.shape[:-2], batch, q_len)
            return below(**given)

        return numbered

    def _table(self, context: PassContext, table: Any) -> Override:
        def looked_up(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
            # The table counts by itself from one number for all rows; each row's own positions are looked up.
            shifted = context.shifted_positions[self.stack.site]
            return nn.functional.embedding(shifted.to(table.weight.device) + table.offset, table.weight)

        return looked_up

    def _check(self, text_len: int) -> None:
        if self.max_positions is not None and self.longest + text_len > self.max_positions:
            raise BackboneError(
                "prompted",
                f"{text_len} tokens of text and a prompt of {self.longest}",
                f"at most {self.max_positions} together, the positions of {self.name}",
                "shorten the text or the prompt",
            )
        if self.switches_at is not None and self.longest + text_len > self.switches_at:
            raise BackboneError(
                "prompted",
                f"{text_len} tokens of text behind {self.longest} soft ones",
                f"at most {self.switches_at} together: beyond that {self.name} has another rotary table for "
                "all positions, and the soft tokens were read with the first",
                "shorten the text, or use prefix_tuning",
            )


def count_positions(mask: Any, past: int | Tensor, q_len: int, device: torch.device) -> Tensor:
    """Positions of the newest `q_len` tokens, `[batch or 1, seq]`, counted along a 2-D mask."""
    if isinstance(mask, Tensor) and mask.ndim == 2:
        seen = int(past) + q_len
        return (mask[:, :seen].long().cumsum(-1) - 1).clamp(min=0)[:, -q_len:]
    return torch.arange(q_len, device=device)[None] + past


def relative_columns(
    owner: nn.Module, lengths: Tensor, shifted: Tensor, n_prefix: int, text_positions: Tensor
) -> Tensor:
    """T5's bias for prompt columns, as though the prompt stood before the text; 0 where unshifted.

    Args:
        owner: the module with `relative_attention_bias` and T5's bucket function.
        lengths: each row's prompt length, `[batch or 1]`.
        shifted: which rows' prompts occupy positions, `[batch or 1]`.
        n_prefix: prompt columns (the longest prompt).
        text_positions: of the queries, `[batch or 1, seq]`.

    Returns:
        `[batch or 1, head, seq, prompt]`.
    """
    bias_table: Any = owner.relative_attention_bias
    device = bias_table.weight.device
    query_at = text_positions.to(device)[:, :, None] + lengths.to(device)[:, None, None]
    column_at = torch.arange(n_prefix, device=device)[None, None, :]
    bucket: Any = owner._relative_position_bucket
    options = {
        "bidirectional": not owner.is_decoder,
        "num_buckets": owner.relative_attention_num_buckets,
        "max_distance": owner.relative_attention_max_distance,
    }
    # UMT5's knows them by itself.
    known = inspect.signature(bucket).parameters
    buckets = bucket(column_at - query_at, **{name: v for name, v in options.items() if name in known})
    bias = bias_table(buckets).permute(0, 3, 1, 2)
    return bias * shifted.to(device)[:, None, None, None]
