"""The states below the first prompted layer, computed once for each input."""

from softprompt.backbones.activation_cache.cache import ActivationCache
from softprompt.backbones.activation_cache.store import ActivationStore

__all__ = ["ActivationCache", "ActivationStore"]
