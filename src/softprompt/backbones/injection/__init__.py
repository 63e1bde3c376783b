"""Prompts at work in a model: sessions, and the ways in."""

from softprompt.backbones.injection.compatibility import (
    as_several,
    check_prompt,
    prompt_of_row,
    stands_in_text,
)
from softprompt.backbones.injection.gate import Gate
from softprompt.backbones.injection.injector import PassContext, active_rows
from softprompt.backbones.injection.lowering import observe
from softprompt.backbones.injection.positions import PositionInjector
from softprompt.backbones.injection.session import Session
from softprompt.backbones.injection.slots import refuse_slots
from softprompt.backbones.injection.weights import Weights

__all__ = [
    "Gate",
    "PassContext",
    "PositionInjector",
    "Session",
    "Weights",
    "active_rows",
    "as_several",
    "check_prompt",
    "observe",
    "prompt_of_row",
    "refuse_slots",
    "stands_in_text",
]
