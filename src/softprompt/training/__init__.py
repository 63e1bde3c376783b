"""Training: from a run's settings to a folder with a trained prompt.

Names load lazily, so that what only reads run folders does not wait for what trains.
"""

from softprompt.extras import require
from softprompt.front_door import attach

require("train", "training", "accelerate", "rich")

__getattr__, __dir__, __all__ = attach(__name__, __file__)
