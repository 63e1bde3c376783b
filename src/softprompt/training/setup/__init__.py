"""From a run's settings to its backbone, task, prompt and data."""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
