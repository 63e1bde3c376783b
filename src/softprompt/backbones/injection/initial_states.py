"""Initial states: recurrent layers begin a text from the states of each row's prompt.

A layer begins where its cache holds no state of it, or where there is no cache. It then runs on a cache of
ours that holds the state (`recurrence`), and what it leaves goes into the family's own cache, from which
later passes continue without us.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, bound_arguments
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.recurrence import PACKING, Recurrence, begin, first_tokens, go_on, held_state
from softprompt.errors import BackboneError
from softprompt.prompts import States

_serial = itertools.count()
_MARK = "_softprompt_states"
"""Name of the attribute of a cache that says which injector its recurrent layers began under."""


class StateInjector:
    """Lets recurrent layers begin from the states of prompts; rows without a prompt begin from zeros.

    Args:
        recurrences: the layers that some prompt has states of.
        name: of the backbone, for errors.
    """

    def __init__(self, recurrences: Sequence[Recurrence], name: str):
        self.recurrences = recurrences
        self.name = name
        self.owner = next(_serial)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The recurrent layers."""
        return [recurrence.module for recurrence in self.recurrences]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Begin each layer from the states of the batch's rows."""
        return {recurrence.module: self._override(recurrence, context) for recurrence in self.recurrences}

    def _override(self, recurrence: Recurrence, context: PassContext) -> Override:
        def begun(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(recurrence.signature, args, kwargs)
            cache = given.get(recurrence.cache)
            tokens: Tensor = given[recurrence.tokens]
            batch, n_tokens = tokens.shape[:2]
            held = None if cache is None else held_state(cache, recurrence.layer)
            if held is not None:
                self._check_owner(cache)
                if recurrence.in_steps and n_tokens > 1:
                    raise self._ignored(n_tokens)
                learns = torch.is_grad_enabled() and held.requires_grad
                return go_on(recurrence, below, given) if learns else below(*args, **kwargs)
            if any(given.get(name) is not None for name in PACKING):
                raise self._packed()
            table = context.lowered.states[recurrence.layer]
            states = context.by_row(table, batch).to(tokens.device).expand(batch, *recurrence.size)
            first = self._first_tokens(context, given.get("attention_mask"), n_tokens)
            output, left = begin(recurrence, below, given, states, first)
            if cache is not None:
                left.fill(cache, recurrence.layer)
                setattr(cache, _MARK, self.owner)
            return output

        return begun

    def _first_tokens(self, context: PassContext, mask: Any, n_tokens: int) -> Sequence[int] | None:
        """As `first_tokens`, once for all layers of a pass."""
        known = context.notes.get((self, "first"))
        if known is None or known[0] is not mask or known[1] != n_tokens:
            known = (mask, n_tokens, first_tokens(mask, n_tokens, self.name))
            context.notes[self, "first"] = known
        return known[2]

    def _check_owner(self, cache: Any) -> None:
        if getattr(cache, _MARK, None) != self.owner:
            raise BackboneError(
                "prompted",
                f"a cache of {self.name} whose recurrent layers began outside of this session",
                "an empty cache, or one that this session has filled: it holds what became of the states",
                "begin the text in the session that goes on with it",
            )

    def _ignored(self, n_tokens: int) -> BackboneError:
        return BackboneError(
            "prompted",
            f"{n_tokens} tokens of {self.name} behind a cache, whose recurrent states its layers look at in "
            "passes of one token alone",
            "one token in each pass that continues from a cache",
            "pass the whole text at once, without a cache, or the further tokens one by one",
        )

    def _packed(self) -> BackboneError:
        return BackboneError(
            "prompted",
            f"several texts in one row of {self.name}, each of which would begin from its prompt's states",
            "one text in each row",
            "pad the texts instead of packing them",
        )


def make_states(placed: Sequence[Sequence[States]], recurrences: Sequence[Recurrence]) -> dict[int, Tensor]:
    """For each recurrent layer that some prompt has a state of, the states by prompt, `[prompt_id, *state]`.

    Args:
        placed: the blocks of each prompt; none for a prompt of another kind.
        recurrences: the backbone's.
    """
    tables: dict[int, Tensor] = {}
    for recurrence in recurrences:
        rows = [_of_layer(blocks, recurrence.layer) for blocks in placed]
        some = next((row for row in rows if row is not None), None)
        if some is not None:
            filled = [torch.zeros_like(some) if row is None else row for row in rows]
            tables[recurrence.layer] = torch.stack(filled).to(recurrence.dtype)
    return tables


def _of_layer(blocks: Sequence[States], layer: int) -> Tensor | None:
    return next((b.states[b.layers.index(layer)] for b in blocks if layer in b.layers), None)
