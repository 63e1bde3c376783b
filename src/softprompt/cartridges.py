"""Files of the Cartridges project: `load` makes a prompt of one, `save` one of a prompt."""

from softprompt.exchange import load_cartridge as load
from softprompt.exchange import save_cartridge as save

__all__ = ["load", "save"]
