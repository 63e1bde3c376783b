"""Where weights come from and how they are stored: bundled models, checkpoints, quantised tensors.

Names load lazily: listing the bundled backbones costs no torch.
"""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
