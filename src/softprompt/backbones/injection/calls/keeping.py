"""Calls of a model that keeps something from one call to the next."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from softprompt.backbones.dispatch import Gate
from softprompt.backbones.injection.caches import cache_of, is_empty
from softprompt.backbones.inspection import KeptState

Check = Callable[[Any], None]
"""A check of a call's output."""


@contextmanager
def keeping(kept: KeptState, gate: Gate, kwargs: Mapping[str, Any]) -> Iterator[Callable[[Check], Check]]:
    """Within this context the model keeps what belongs to the cache of the call, and nothing of other calls.

    Such calls run one at a time, since the model has one place for it.

    Args:
        kept: the model's.
        gate: of the backbone.
        kwargs: of the call.

    Yields:
        A function that gives a check of the output which also notes with the output's cache what was kept.
    """
    if not kept.places:
        yield lambda check: check
        return
    cache = kwargs.get("past_key_values")

    def noting(check: Check) -> Check:
        def noted(output: Any) -> None:
            kept.end(cache_of(output) if cache is None else cache)
            check(output)

        return noted

    with gate.one_at_a_time:
        kept.begin(cache, cache is None or is_empty(cache))
        yield noting
