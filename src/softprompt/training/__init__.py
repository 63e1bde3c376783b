"""Training: from a run's settings to a folder with a trained prompt.

Names load lazily, so that what only reads run folders does not wait for what trains.
"""

import lazy_loader

from softprompt.extras import require

require("train", "training", "accelerate", "rich")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
