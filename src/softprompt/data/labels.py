"""Labels as texts, and one spelling for each number among them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from softprompt.data.parsing import words
from softprompt.data.records import LABELLED
from softprompt.errors import DataError, kind_of


def label_text(value: object, name: str, where: str) -> str:
    """A label as text: `true` and `false` for truth values, digits for numbers.

    Raises:
        DataError: neither a text nor a number, or a text that is empty or has white space around it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if not isinstance(value, str):
        got = value if isinstance(value, float) else kind_of(value)
        raise DataError(where, f"{got} in '{name}'", "a text, a number, true or false")
    if words(value, name, where) != value.strip():
        # Two spellings of one label would silently become two labels.
        got = f"the label {value!r} in '{name}'"
        raise DataError(where, got, "a label without white space around it", "remove the white space")
    return value


def one_spelling(train: Sequence[Any], others: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The records with labels that are whole numbers spelled in one way: `1` and `1.0` are one label.

    Where the training records spell one number in several ways (a column that pandas made `1.0` in part), all
    become whole numbers. Further records follow the spelling of the training records.

    Args:
        train: the training records.
        others: the other sets.
    """
    sets = [list(train), *map(list, others)]
    if not all(isinstance(record, LABELLED) for records in sets for record in records[:1]):
        return sets
    labels = list(dict.fromkeys(record.label for record in sets[0] if record.label is not None))
    numbers = {label: _whole(label) for label in labels}
    if not labels or any(number is None for number in numbers.values()):
        return sets
    whole = len(set(numbers.values())) < len(labels)
    spelling = {number: str(number) if whole else label for label, number in numbers.items()}

    def spelled(record: Any) -> Any:
        if record.label is None or (record.label in numbers and not whole):
            return record
        label = spelling.get(_whole(record.label), record.label)
        return record if label == record.label else replace(record, label=label)

    return [[spelled(record) for record in records] for records in sets]


def _whole(label: str) -> int | None:
    """The whole number that a label is; None where it is none."""
    try:
        number = float(label)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**53 else None
