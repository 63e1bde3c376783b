"""An attribute put on somebody's object and taken off again, whoever else changes it meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MISSING = object()
_LOCK = threading.RLock()
_COUNTS: dict[tuple[int, str], int] = {}


@contextmanager
def replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Within this context the object's own attribute is another; what stood there stands there afterwards.

    Several threads may replace one attribute by equal values at once: the last to leave restores it. What
    somebody else has put over it meanwhile stays.

    Args:
        target: an object with a `__dict__`.
        name: of the attribute.
        value: what stands there meanwhile.
    """
    own = vars(target)
    key = id(target), name
    with _LOCK:
        _COUNTS[key] = _COUNTS.get(key, 0) + 1
        if _COUNTS[key] == 1:
            _BEFORE[key] = own.get(name, _MISSING)
            own[name] = value
    try:
        yield
    finally:
        with _LOCK:
            _COUNTS[key] -= 1
            if _COUNTS[key] == 0:
                del _COUNTS[key]
                restore(own, name, value, _BEFORE.pop(key))


_BEFORE: dict[tuple[int, str], Any] = {}


def restore(own: dict[str, Any], name: str, value: object, before: object) -> bool:
    """Put back what stood in a `__dict__` before; False where somebody else's now stands over ours."""
    if own.get(name, _MISSING) is not value:
        return False
    if before is _MISSING:
        del own[name]
    else:
        own[name] = before
    return True


def before(own: dict[str, Any], name: str) -> object:
    """What stands in a `__dict__` now, to be restored later."""
    return own.get(name, _MISSING)


def is_missing(value: object) -> bool:
    """Whether nothing stood there."""
    return value is _MISSING
