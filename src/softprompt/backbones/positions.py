"""Where a text's positions begin: at 0, or behind the prompt, each row by its own prompt.

Three ways in which families number positions are known: a `position_ids` argument (GPT-2, Llama and
most), a learned table that counts by itself (BART's family), and relative biases (T5's family).
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import BackboneError


def numbering(stack: nn.Module) -> str:
    """How a stack numbers positions: `ids`, `table`, `relative` or `unknown`."""
    if "position_ids" in inspect.signature(stack.forward).parameters:
        return "ids"
    if any(hasattr(module, "relative_attention_bias") for module in stack.modules()):
        return "relative"
    table = getattr(stack, "embed_positions", None)
    if isinstance(table, nn.Embedding) and isinstance(getattr(table, "offset", None), int):
        return "table"
    return "unknown"


class PositionHook:
    """Gives a stack the positions of each row's text, shifted by the row's prompt.

    Without positions from the caller they are counted along the attention mask, so that padding on
    either side changes nothing. Positions from the caller are those of the text alone.

    Args:
        stack: the module that takes the text.
        shifts: called with the batch size; gives each row's shift, `[batch or 1]`.
        longest: the most positions that a prompt takes, for the check against `max_positions`.
        max_positions: longest input of the backbone in tokens, or None.
        first_position: what the family's own `position_ids` begin with.
        name: of the backbone, for errors.
        columns_before: how many soft tokens stand in the input before the text, if any.
    """

    def __init__(
        self,
        stack: nn.Module,
        shifts: Callable[[int], Tensor],
        longest: int,
        max_positions: int | None,
        first_position: int,
        name: str,
        columns_before: Callable[[], int] | None = None,
    ):
        self.stack = stack
        self.shifts = shifts
        self.longest = longest
        self.max_positions = max_positions
        self.first_position = first_position
        self.name = name
        self.columns_before = columns_before
        self.numbering = numbering(stack)
        self.signature = inspect.signature(stack.forward)
        self.paused = False
        self.text_positions: Tensor | None = None
        """Positions of the current text, unshifted and from 0, `[batch or 1, seq]`."""
        self._shifted: Tensor | None = None
        if self.numbering == "unknown" and longest > 0:
            raise BackboneError(
                "prompt.positions",
                "'shifted'",
                f"'unshifted' ({name}'s {type(stack).__name__} numbers positions in a way that is not known)",
            )

    def install(self) -> list[Any]:
        """Register the hooks; returns their handles."""
        handles = [self.stack.register_forward_pre_hook(self._before, with_kwargs=True)]
        if self.numbering == "table":
            handles.append(self.stack.embed_positions.register_forward_hook(self._table))  # type: ignore[union-attr]
        return handles

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.paused:
            return None
        bound = self.signature.bind_partial(*args, **kwargs).arguments
        given = {**bound.pop("kwargs", {}), **bound}
        text = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
        if text is None:
            return None
        batch, q_len = text.shape[:2]
        cache = given.get("past_key_values")
        past = cache.get_seq_length() if cache is not None else 0
        # A static cache counts in a tensor that it updates in place.
        past = past.clone() if isinstance(past, Tensor) else past
        self._check(int(past) + q_len - (self.columns_before() if self.columns_before else 0))
        positions = given.get("position_ids")
        if positions is None:
            positions = count_positions(given.get("attention_mask"), past, q_len, text.device)
        else:
            positions = (positions[None] if positions.ndim == 1 else positions) - self.first_position
        self.text_positions = positions
        if self.numbering not in ("ids", "table"):
            return None
        shifted = positions + self.shifts(batch).to(text.device)[:, None]
        self._shifted = shifted
        if self.numbering == "table":
            return None
        shifted = shifted + self.first_position
        given["position_ids"] = shifted.expand(*positions.shape[:-2], batch, q_len)
        return (), given

    def _table(self, table: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        # The table counts by itself from one number for all rows; look each row's own positions up instead.
        if self.paused:
            return output
        assert self._shifted is not None
        weight: Tensor = table.weight  # type: ignore[assignment]
        return nn.functional.embedding(self._shifted.to(weight.device) + table.offset, weight)  # type: ignore[operator]

    def _check(self, text_len: int) -> None:
        if self.max_positions is not None and self.longest + text_len > self.max_positions:
            raise BackboneError(
                "prompted",
                f"{text_len} tokens of text and a prompt of {self.longest}",
                f"at most {self.max_positions} tokens together, as many as {self.name} has positions",
                "shorten the text or the prompt",
            )


def count_positions(mask: Any, past: int | Tensor, q_len: int, device: torch.device) -> Tensor:
    """Positions of the newest `q_len` tokens, `[batch or 1, seq]`, counted along a 2-D mask."""
    if isinstance(mask, Tensor) and mask.ndim == 2:
        seen = int(past) + q_len
        return (mask[:, :seen].long().cumsum(-1) - 1).clamp(min=0)[:, -q_len:]
    return torch.arange(q_len, device=device)[None] + past


def biased(module: nn.Module) -> bool:
    """Whether a module holds T5's relative position bias.

    MPNet has a table of this name too, but prompt columns get no bias there (see `self_computed.py`).
    """
    return hasattr(module, "relative_attention_bias") and hasattr(module, "_relative_position_bucket")


def first_biased(stack: nn.Module) -> nn.Module | None:
    """The module with T5's relative position bias which all layers of a stack share, if any."""
    return next(filter(biased, stack.modules()), None)


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
    buckets = owner._relative_position_bucket(  # type: ignore[operator]
        column_at - query_at,
        bidirectional=not owner.is_decoder,
        num_buckets=owner.relative_attention_num_buckets,
        max_distance=owner.relative_attention_max_distance,
    )
    bias = bias_table(buckets).permute(0, 3, 1, 2)
    return bias * shifted.to(device)[:, None, None, None]
