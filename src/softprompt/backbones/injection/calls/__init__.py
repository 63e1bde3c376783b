"""Sessions: whose prompts a call of the model runs under, and which calls are refused."""

from softprompt.backbones.injection.calls.reading import refuse, why_not
from softprompt.backbones.injection.calls.session import Session

__all__ = ["Session", "refuse", "why_not"]
