"""Prompts in the calls of a model: sessions, and the injectors that bring prompts into it."""

from softprompt.backbones.injection.calls import Session, TextReach
from softprompt.backbones.injection.compatibility import (
    as_several,
    check_prompt,
    prompt_of_row,
    stands_in_front,
    stands_in_text,
)
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.injection.lowering import LoweredPrompts, input_weight, observe
from softprompt.backbones.injection.pictures import PictureReach
from softprompt.backbones.injection.refusals import naked_call
from softprompt.backbones.injection.text_inputs import PositionInjector, refuse_slots
from softprompt.backbones.injection.weights import Weights

__all__ = [
    "LoweredPrompts",
    "PassContext",
    "PictureReach",
    "PositionInjector",
    "Session",
    "TextReach",
    "Weights",
    "as_several",
    "check_prompt",
    "input_weight",
    "naked_call",
    "observe",
    "prompt_of_row",
    "refuse_slots",
    "stands_in_front",
    "stands_in_text",
]
