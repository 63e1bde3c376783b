"""What all injectors share: their protocol, the call that they act in, and tables of prompts by row."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Override
from softprompt.errors import PromptError
from softprompt.prompts import Prompt

if TYPE_CHECKING:
    from softprompt.backbones.injection.lowering import LoweredPrompts


@dataclass
class PassContext:
    """One outermost call of a model (a forward, or a whole `generate`) under its prompts.

    A context belongs to one call in one thread. A checkpointed layer that is recomputed in the backward pass
    gets the context of its own forward pass.

    Args:
        prompts: those that rows can have; None is no prompt.
        rows: for each batch row the index of its prompt; None when one prompt serves all rows.
        lowered: the prompts' tensors.
        generating: whether the call is `generate`, which may multiply the rows of the batch.
        text_positions: unshifted positions of the current text by site, `[batch or 1, seq]`; set by the
            `PositionInjector` of the site.
        shifted_positions: the same, shifted by each row's prompt.
        own_states: the last layer's outputs at a visual prompt's own tokens, `[batch, prompt, hidden]`; set
            by the injectors of tokens.
        widened: masks with the prompts' columns, which all layers of one run of a stack share; set by the
            `KeyValueInjector`.
        layer_calls: how often a module that serves several layers was called in this run; also set by the
            `KeyValueInjector`.
        notes: what injectors keep during the call, each under a key of its own.
        cut: gives an encoder's output without the soft tokens in front; set by the `PrependedInjector`.
        text_shifts: gives for a batch size by how much the positions of each row's text are moved, `[batch]`;
            set by the session, for models with one text.
        below: gives, for the indices of some rows, a context in which these rows run through the layers below
            every prompt, with shifted positions and nothing else of the prompts; set by the session.
        running: whether the call has not ended yet; set by the session.
    """

    prompts: Sequence[Prompt | None]
    rows: Tensor | None
    lowered: "LoweredPrompts"
    generating: bool = False
    text_positions: dict[str, Tensor] = field(default_factory=dict)
    shifted_positions: dict[str, Tensor] = field(default_factory=dict)
    own_states: Tensor | None = None
    widened: dict[Any, Any] = field(default_factory=dict)
    layer_calls: dict[nn.Module, int] = field(default_factory=dict)
    notes: dict[object, Any] = field(default_factory=dict)
    cut: Callable[[Any], Any] | None = None
    text_shifts: Callable[[int], Tensor] | None = None
    below: Callable[[Tensor], AbstractContextManager[None]] | None = None
    running: bool = False

    def rows_for(self, batch: int) -> Tensor | None:
        """Which prompt each row of a batch has, `[batch]`; None when one prompt serves all.

        Raises:
            PromptError: the batch has another number of rows.
        """
        if self.rows is None or len(self.rows) == batch:
            return self.rows
        if self.generating and batch and batch % len(self.rows) == 0:
            return self.rows.repeat_interleave(batch // len(self.rows))
        raise PromptError(
            "prompted.rows", f"{len(self.rows)} rows for a batch of {batch}", "one row per batch row"
        )

    def by_row(self, table: Tensor, batch: int) -> Tensor:
        """A table by prompt, `[prompt_id, ...]`, as the batch needs it, `[batch or 1, ...]`."""
        rows = self.rows_for(batch)
        return table[:1] if rows is None else table[rows.to(table.device)]

    def vectors(self, owner: object, chosen: Sequence[bool], pad: str) -> "RowTable":
        """The vectors of some prompts as a table, made once in a call.

        Args:
            owner: whose table it is.
            chosen: which prompts' vectors, `[prompt_id]`.
            pad: see `RowTable`.
        """
        key = (owner, "vectors")
        if key not in self.notes:
            some = [v if own else None for v, own in zip(self.lowered.vectors, chosen, strict=True)]
            self.notes[key] = RowTable(some, pad)
        return self.notes[key]

    def active_rows(self, batch: int) -> list[tuple[Prompt | None, Tensor | None]]:
        """Each prompt that has rows in a batch, with their indices, `[row]` (None: all rows)."""
        rows = self.rows_for(batch)
        if rows is None:
            return [(self.prompts[0], None)]
        indices = [(rows == i).nonzero()[:, 0] for i in range(len(self.prompts))]
        return [
            (prompt, None if len(index) == batch else index)
            for prompt, index in zip(self.prompts, indices, strict=True)
            if len(index)
        ]


def used_prompts(prompts: Sequence[Prompt | None], rows: Tensor | None) -> list[Prompt | None]:
    """The prompts that rows have."""
    return [prompts[0]] if rows is None else [prompts[i] for i in sorted(set(rows.tolist()))]


class Injector(Protocol):
    """One way of prompts into a model. An injector is made once per session and holds nothing of a call."""

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Overrides of forwards in a call, by module."""
        ...

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """Answers to attention calls in a call, by attention."""
        ...

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Every module whose forward may be overridden."""
        ...


class RowTable:
    """Ragged tensors of several prompts as one padded table that rows index.

    Args:
        per_prompt: `[slot, hidden]` of each prompt; None for one without.
        pad: the side on which shorter ones are filled with zeros.
    """

    def __init__(self, per_prompt: Sequence[Tensor | None], pad: str):
        some = next(tensor for tensor in per_prompt if tensor is not None)
        filled = [some.new_zeros(0, some.shape[1]) if t is None else t for t in per_prompt]
        self.lengths = torch.tensor([len(t) for t in filled])
        """Real entries of each prompt, `[prompt_id]`."""
        self.longest = int(self.lengths.max())
        missing = [self.longest - len(t) for t in filled]
        sides = [(0, 0, n, 0) if pad == "left" else (0, 0, 0, n) for n in missing]
        padded = [nn.functional.pad(t, side) for t, side in zip(filled, sides, strict=True)]
        self.values = torch.stack(padded)
        """`[prompt_id, slot, hidden]`."""
        at = torch.arange(self.longest, device=some.device)[None]
        counts = self.lengths.to(some.device)[:, None]
        self.valid = at >= self.longest - counts if pad == "left" else at < counts
        """Which entries are real, `[prompt_id, slot]`."""
