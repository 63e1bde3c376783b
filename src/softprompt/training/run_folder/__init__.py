"""The folder of a run: its files, its checkpoints, and the lock that gives it one owner."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
