"""What is frozen: a transformers model that prompts can work in.

Names load lazily: listing the bundled backbones costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
