"""Where weights come from and how they are stored: bundled models, checkpoints, quantised tensors.

Names load lazily: listing the bundled backbones costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
