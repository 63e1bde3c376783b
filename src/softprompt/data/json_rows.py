"""The rows of one JSON value, in the forms in which people and pandas write a table."""

from collections.abc import Iterable, Sequence
from typing import Any

from softprompt.data.usual_names import ROLES, SOURCE_AND_TARGET, TWO_TEXTS
from softprompt.errors import DataError, kind_of, listed

_LISTS = ("data", "train", "rows", "examples", "records", "items", "instances", "dev", "validation", "test")
"""Names under which files keep their list of rows."""

_FIELDS = frozenset(name for names in (*ROLES.values(), *SOURCE_AND_TARGET, *TWO_TEXTS) for name in names)
"""Names of what a row holds."""

_TURNS = ({"role", "content"}, {"from", "value"})

_AS_LIST = "write one list of the objects"
_AS_LINES = f"{_AS_LIST}, or an object on each line of a file that ends in .jsonl"


def json_rows(value: Any, where: str) -> tuple[list[Any], str | None]:
    """The rows of a JSON value, and what its form was taken for where that had to be found out.

    A list is its rows. An object is one row, or holds rows in one of these forms where no other could be
    meant: one list of objects beside fields that no row has; columns, rows by key, or `columns` and `data`,
    as pandas writes them.

    Args:
        value: as the file has it.
        where: the file, for errors.

    Raises:
        DataError: neither a list nor an object, or an object that may be read in several ways.
    """
    if isinstance(value, list):
        return value, None
    if not isinstance(value, dict) or not value:
        got = "an empty object" if value == {} else kind_of(value)
        raise DataError(where, got, "a list of JSON objects", _AS_LINES)
    if set(value) <= {"columns", "index", "data"} and _is_split(value):
        return [dict(zip(value["columns"], cells, strict=True)) for cells in value["data"]], None
    if lists := [name for name, held in value.items() if _are_rows(held)]:
        return _of_lists(value, lists, where)
    if all(isinstance(held, dict) and held for held in value.values()):
        return _of_objects(value, where)
    if _are_columns(list(value.values())) and not _is_tagged(value):
        return [
            {name: value[name][n] for name in value} for n in range(len(next(iter(value.values()))))
        ], None
    return [value], "its one object is one row"


def _of_lists(value: dict[str, Any], lists: Sequence[str], where: str) -> tuple[list[Any], str | None]:
    """The rows of an object that has lists of objects: one of the lists, or the object as one row."""
    others = [name for name in value if name not in lists]
    usual = [name for name in lists if name.casefold() in _LISTS]
    is_row = _has_fields(others)
    if is_row and not usual:
        return [value], "its one object is one row"
    if len(lists) == 1 and not is_row and (usual or not others):
        return value[lists[0]], f"its rows are the list '{lists[0]}'"
    named = listed([f"'{name}'" for name in lists])
    if len(lists) > 1 and not is_row:
        do = "write each list to a file of its own"
        raise DataError(where, f"an object with several lists of objects, {named}", "one list of rows", do)
    beside = listed([f"'{name}'" for name in others])
    got = f"an object whose rows may be its list {named}, or which may be one row with {beside}"
    raise DataError(where, got, "one of the two", _AS_LINES)


def _of_objects(value: dict[str, Any], where: str) -> tuple[list[Any], str | None]:
    """The rows of an object of objects: each of them, or those whose columns they are."""
    keys = list(dict.fromkeys(key for held in value.values() for key in held))
    outer, inner = _has_fields(value), _has_fields(keys)
    numbered = all(key.isdigit() for key in keys)
    wraps = all(name.casefold() in _LISTS for name in value)
    even = all(set(held) == set(keys) for held in value.values())
    if numbered and even and not inner and not wraps and not all(name.isdigit() for name in value):
        return [{name: value[name][key] for name in value} for key in keys], None
    if inner and not outer and not wraps:
        return list(value.values()), "its rows are the objects by key"
    if outer and not inner and even and not wraps:
        return [{name: value[name][key] for name in value} for key in keys], "its columns hold rows by key"
    names = listed([f"'{name}'" for name in list(value)[:5]])
    raise DataError(where, f"an object of objects, {names}", "a list of JSON objects", _AS_LIST)


def _are_rows(held: Any) -> bool:
    """Whether a list has objects that are no turns of a conversation."""
    objects = [item for item in held if isinstance(item, dict)] if isinstance(held, list) else []
    return bool(objects) and not any(turn <= set(objects[0]) for turn in _TURNS)


def _are_columns(held: Sequence[Any]) -> bool:
    """Whether values are lists of as many cells, none of which is an object (a turn of one conversation)."""
    lists = [cells for cells in held if isinstance(cells, list)]
    objects = any(isinstance(cell, dict) for cells in lists for cell in cells)
    return len(lists) == len(held) and len({len(cells) for cells in lists}) == 1 and not objects


def _is_tagged(value: dict[str, Any]) -> bool:
    """Whether lists are the words and tags of one sentence, rather than columns of several."""
    plain = all(isinstance(cell, (str, int)) for cells in value.values() for cell in cells)
    return plain and all(name in (*ROLES["words"], *ROLES["tags"]) for name in value) and len(value) > 1


def _is_split(value: dict[str, Any]) -> bool:
    """Whether an object is what pandas calls the orient `split`."""
    columns, rows = value.get("columns"), value.get("data")
    return (
        isinstance(columns, list)
        and all(isinstance(name, str) for name in columns)
        and isinstance(rows, list)
        and all(isinstance(cells, list) and len(cells) == len(columns) for cells in rows)
    )


def _has_fields(names: Iterable[str]) -> bool:
    return any(name.casefold() in _FIELDS for name in names)
