"""Sessions: whose prompts a call of the model runs under, and which calls are refused."""

from softprompt.backbones.injection.calls.reading import (
    SoftTokenWay,
    refuse,
    refuse_lengths,
    refuse_none,
    refuse_prefix,
    refuse_slots_of,
    soft_token_way,
    why_no_prefix,
    why_no_slots,
)
from softprompt.backbones.injection.calls.session import Session

__all__ = [
    "Session",
    "SoftTokenWay",
    "refuse",
    "refuse_lengths",
    "refuse_none",
    "refuse_prefix",
    "refuse_slots_of",
    "soft_token_way",
    "why_no_prefix",
    "why_no_slots",
]
