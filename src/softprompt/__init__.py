"""Soft prompts for frozen transformers: train, keep, mix and use them.

The public names load lazily, so that `import softprompt` costs little.
"""

from softprompt.front_door import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
