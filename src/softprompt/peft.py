"""PEFT's adapter folders: `load` makes a prompt of one, `save` one of a prompt."""

from softprompt.exchange import load_peft as load
from softprompt.exchange import save_peft as save

__all__ = ["load", "save"]
