"""The folder of a run: its files, its checkpoints, and the lock that gives it one owner."""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
