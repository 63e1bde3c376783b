"""Soft prompts for frozen transformers: train, keep, mix and use them.

The public names load lazily, so that `import softprompt` costs little.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
