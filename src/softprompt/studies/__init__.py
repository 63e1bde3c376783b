"""Studies: many runs whose results come as one table and one report."""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
