"""Equal copies of what is slow to make: a random model, a backbone that was looked through."""

import copy
import io
import pickle
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from softprompt.backbones.inspection import BackboneSpec

P = ParamSpec("P")
T = TypeVar("T")


class _Template:
    """One object, pickled once; a copy has tensors, configurations and hooks of its own.

    `copy.deepcopy` gives the same, five times slower: a module has eight empty dictionaries of hooks.
    """

    def __init__(self, thing: Any):
        self._kept: list[Any] = []
        file = io.BytesIO()
        pickler = pickle.Pickler(file, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.persistent_id = self._keep  # type: ignore[method-assign]
        pickler.dump(thing)
        self._bytes = file.getvalue()
        self._random_state = torch.get_rng_state()

    def _keep(self, thing: Any) -> int | None:
        if not isinstance(thing, Tensor | BackboneSpec):  # facts are frozen and may be shared
            return None
        self._kept.append(thing)
        return len(self._kept) - 1

    def copy(self) -> Any:
        memo: dict[int, Any] = {}
        unpickler = pickle.Unpickler(io.BytesIO(self._bytes))

        def load(index: int) -> Any:
            kept = self._kept[index]
            return copy.deepcopy(kept, memo) if isinstance(kept, Tensor) else kept

        unpickler.persistent_load = load  # type: ignore[method-assign]
        thing = unpickler.load()
        torch.set_rng_state(self._random_state)
        return thing


def copies(make: Callable[P, T]) -> Callable[P, T]:
    """The function, run once for all equal arguments; every call gives a copy that nobody else has.

    Args:
        make: seeds torch's generator, which a call leaves as `make` left it.
    """
    templates: dict[Any, _Template] = {}

    @wraps(make)
    def give(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (args, tuple(sorted(kwargs.items())))
        if key not in templates:
            # a template outlives the test that asks for it first
            with torch.inference_mode(False), torch.enable_grad():
                templates[key] = _Template(make(*args, **kwargs))
        return templates[key].copy()

    return give
