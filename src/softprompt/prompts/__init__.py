"""What is trained, and the methods that build it.

Names load lazily: reading a recipe asks for the methods and costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
