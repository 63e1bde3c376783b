"""What is written to disk: prompt folders, whole files in one step, lines of JSON.

Names load lazily: reading lines of JSON costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
