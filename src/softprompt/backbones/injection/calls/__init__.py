"""Sessions: whose prompts a call of the model runs under, and which calls are refused."""

from softprompt.backbones.injection.calls.session import Session
from softprompt.backbones.injection.calls.text_reach import TextReach

__all__ = [
    "Session",
    "TextReach",
]
