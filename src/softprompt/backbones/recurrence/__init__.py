"""Recurrent layers begun from a state of ours: what they are given in place of a cache, and how they run."""

from softprompt.backbones.recurrence.passes import (
    PACKING,
    Recurrence,
    begin,
    columns,
    first_tokens,
    go_on,
    held_state,
    holds_states,
    is_cache,
)
from softprompt.backbones.recurrence.stand_in import StandIn

__all__ = [
    "PACKING",
    "Recurrence",
    "StandIn",
    "begin",
    "columns",
    "first_tokens",
    "go_on",
    "held_state",
    "holds_states",
    "is_cache",
]
