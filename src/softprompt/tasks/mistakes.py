"""Mistakes of several records, named together."""

from collections.abc import Callable, Iterable
from typing import Any

from softprompt.errors import DataError

MOST = 20
"""Mistakes that are named; the records behind the last of them are not read."""


def check_each(records: Iterable[Any], check: Callable[[Any], object]) -> None:
    """Check every record.

    Args:
        records: of a data set.
        check: raises DataError for a record that cannot be used.

    Raises:
        DataError: the first mistakes.
    """
    mistakes: list[DataError] = []
    for record in records:
        try:
            check(record)
        except DataError as error:
            mistakes.append(error)
            if len(mistakes) == MOST:
                break
    if mistakes:
        raise DataError.several(mistakes)
