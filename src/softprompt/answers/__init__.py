"""Answers of prompts: from a text, a row or a picture to a typed answer, in Python and in bulk.

Names load lazily: reading the settings of a stored prompt costs no torch.
"""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
