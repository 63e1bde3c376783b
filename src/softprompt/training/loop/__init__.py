"""The training loop: what a run minimises, in which batches, and by which optimizer."""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
