"""What is trained, and the methods that build it.

Names load lazily: reading a recipe asks for the methods and costs no torch.
"""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
