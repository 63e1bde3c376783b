"""What is written to disk: prompt folders, whole files in one step, lines of JSON.

Names load lazily: reading lines of JSON costs no torch.
"""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
