"""What models keep between calls: how far a picture has moved the positions of the text behind it, or the
states of recurrent layers.

transformers has such models write it onto themselves, and read it again in later calls. It belongs to the
cache of the call, though, and not to the model: a pass over other tokens would take it for its own. Position
0 begins RecurrentGemma's states anew, but a text behind a prefix has no such position.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from softprompt.backbones.dispatch import undone
from softprompt.backbones.inspection.families import KEPT_BETWEEN_CALLS

_MARK = "_softprompt_kept"
"""Name of the attribute by which a cache holds what its model kept when the cache was filled."""


class KeptState:
    """The places in which a model keeps something between calls.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module):
        self.places = [
            (module, name)
            for module in model.modules()
            for name in KEPT_BETWEEN_CALLS
            if name in vars(module)
        ]

    def begin(self, cache: Any, is_empty: bool) -> None:
        """Let a call begin with what belongs to its cache, and with nothing where the text begins.

        Args:
            cache: of the call, or None.
            is_empty: whether it holds no token.
        """
        if is_empty:
            self._write([None] * len(self.places))
        elif hasattr(cache, _MARK):
            self._write(getattr(cache, _MARK))

    def end(self, cache: Any) -> None:
        """Note with a cache what the model kept when it was filled."""
        if self.places and cache is not None:
            setattr(cache, _MARK, self._read())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Within this context the model has kept nothing; what it had kept is there again afterwards."""
        kept = self._read()
        with undone(lambda: self._write(kept)):
            self._write([None] * len(self.places))
            yield

    def _read(self) -> list[Any]:
        return [getattr(module, name) for module, name in self.places]

    def _write(self, values: list[Any]) -> None:
        for (module, name), value in zip(self.places, values, strict=True):
            setattr(module, name, value)
