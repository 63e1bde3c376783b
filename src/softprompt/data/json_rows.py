"""The rows of one JSON value."""

from collections.abc import Callable
from typing import Any

_LISTS = ("data", "train", "rows", "examples", "records", "items", "instances")
"""Names under which files keep their list of rows."""


def json_items(value: Any) -> list[Any] | None:
    """The rows of a JSON value: a list, a list under a usual name, or columns of equal length (pandas')."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value:
        return None
    lists = [name for name in _LISTS if isinstance(value.get(name), list)]
    if len(lists) == 1 and all(isinstance(item, dict) for item in value[lists[0]]):
        return value[lists[0]]
    for kind, keys in ((dict, dict.keys), (list, lambda cells: range(len(cells)))):
        columns = list(value.values())
        if all(isinstance(cells, kind) for cells in columns):
            places: Callable[[Any], Any] = keys
            if all(set(places(cells)) == set(places(columns[0])) for cells in columns):
                return [{name: value[name][at] for name in value} for at in places(columns[0])]
    return None
