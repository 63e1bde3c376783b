"""Tasks: what is asked of the model, how its answers are read and scored."""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
