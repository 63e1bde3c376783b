"""What the columns of a table hold, as far as their values show it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from softprompt.data import Table, is_list, joined_by, list_items, notations_of, number_within
from softprompt.errors import DataError

ColumnKind = Literal[
    "empty", "number", "label", "labels", "text", "words", "turns", "answers", "picture", "other"
]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2")

_MOST_LABELS = 200
_LONGEST_LABEL = 60
_FEWEST_ROWS = 2.5
"""Rows for each label below which values are names or texts rather than labels."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: in the header, or its number.
        kind: what its values are: `label` for few different short values, `labels` for several of them in a
            cell, `number` for many different numbers, `words` for lists of texts, `turns` for conversations,
            `answers` for SQuAD's answers, `picture` for names of picture files.
        filled: rows that have something in it.
        different: different values.
        longest: characters of its longest value, as text.
        median: characters of the middle one.
        common: its values and how often each stands, the most frequent first; of labels all.
        example: one value, as text.
        separator: what joins several labels in a cell; None where nothing does.
        serial: whether it numbers or names the rows: as many different values as rows, none of
            several words or with a decimal point.
    """

    name: str
    kind: ColumnKind
    filled: int
    different: int
    longest: int
    median: int
    common: tuple[tuple[str, int], ...]
    example: str
    serial: bool
    separator: str | None = None


def columns_of(table: Table) -> list[Column]:
    """What each column of a table holds, in their order."""
    return [_column(name, [row.values.get(name) for row in table.rows]) for name in table.columns]


def _column(name: str, values: Sequence[Any]) -> Column:
    filled = [value for value in values if _is_filled(value)]
    texts = [as_text(value) for value in filled]
    counts = Counter(texts)
    lengths = sorted(map(len, texts))
    kind = _kind(filled, texts, counts)
    separator = joined_by(filled) if kind in ("label", "text") else None
    kind = kind if separator is None else "labels"
    common = counts.most_common(None if kind in ("label", "labels") else 5)
    return Column(
        name,
        kind,
        filled=len(filled),
        different=len(counts),
        longest=lengths[-1] if lengths else 0,
        median=lengths[len(lengths) // 2] if lengths else 0,
        common=tuple(sorted(common, key=lambda pair: (-pair[1], pair[0]))),
        example=texts[0] if texts else "",
        serial=len(texts) > 3 and len(counts) == len(values) and not any(map(_says_something, texts)),
        separator=separator,
    )


def _is_filled(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value != [] and value != {}


def _says_something(text: str) -> bool:
    """Whether a value is more than a number or a name of its row: of several words, or measured."""
    measured = not text.strip().isdigit() and bool(notations_of([text.strip()]))
    # A sentence of a script without spaces is no name of a row either.
    return measured or any(sign.isspace() for sign in text) or len(text.encode()) > len(text) + 8


def as_text(value: Any) -> str:
    """A value as a person reads it: texts as they stand, truth values and numbers as in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _kind(values: Sequence[Any], texts: Sequence[str], counts: Mapping[str, int]) -> ColumnKind:
    if not values:
        return "empty"
    if all(isinstance(value, (list, dict)) for value in values):
        return _kind_of_lists(values)
    if any(isinstance(value, (list, dict)) for value in values):
        return "other"
    if all(text.lower().endswith(_PICTURES) for text in texts):
        return "picture"
    if all(map(is_list, values)):
        return _kind_of_written_lists(values)
    numbers = [text for text in texts if _NUMBER.fullmatch(text.strip())]
    few = len(counts) <= _MOST_LABELS and len(texts) >= _FEWEST_ROWS * len(counts)
    if len(numbers) == len(texts):
        whole = all(float(text) == int(float(text)) for text in counts)
        # Many different whole numbers are a measure too: years, prices, stars out of a hundred.
        return "label" if few and whole and len(counts) <= 20 else "number"
    if notations_of(texts):  # with a decimal comma, or signs between the thousands
        return "number"
    return "label" if few and max(map(len, texts)) <= _LONGEST_LABEL else "text"


def _kind_of_lists(values: Sequence[Any]) -> ColumnKind:
    if all(isinstance(value, dict) and {"text", "answer_start"} <= set(value) for value in values):
        return "answers"
    if not all(isinstance(value, list) for value in values):
        return "other"
    if all(isinstance(item, dict) and _is_turn(item) for value in values for item in value):
        return "turns"
    if all(isinstance(item, (str, int)) or item in (0.0, 1.0) for value in values for item in value):
        return "words"
    if all(isinstance(item, dict) and "text" in item for value in values for item in value):
        return "answers"
    return "other"


def _kind_of_written_lists(values: Sequence[Any]) -> ColumnKind:
    """The kind of lists that are texts, as pandas writes them: labels come again, texts do not."""
    lists = [list(map(str, list_items(value))) for value in values]
    counts = Counter(item for items in lists for item in set(items))
    truths = all(item.lower() in ("0", "1", "0.0", "1.0", "true", "false") for item in counts)
    repeated = sum(len(set(items)) < len(items) for items in lists)
    if repeated * 10 > len(lists) and not truths:
        return "other"  # such as the tags of the words of a sentence
    short = all(len(item) <= _LONGEST_LABEL for item in counts)
    again = sum(times > 1 for times in counts.values())
    return (
        "labels" if counts and len(counts) <= _MOST_LABELS and short and again * 2 >= len(counts) else "text"
    )


def _is_turn(item: Mapping[str, Any]) -> bool:
    return ("role" in item and "content" in item) or ("from" in item and "value" in item)


def odd_number(table: Table, columns: Sequence[Column]) -> DataError | None:
    """The error for a column of numbers but for units, other minus signs or odd cells; None without one."""
    found = (_odd_number(table, column.name) for column in columns if column.kind == "text")
    return next((error for error in found if error is not None), None)


def _odd_number(table: Table, name: str) -> DataError | None:
    cells = [(row.where, row.values.get(name)) for row in table.rows]
    filled = [(where, as_text(value)) for where, value in cells if _is_filled(value)]
    odd = [(where, text) for where, text in filled if not notations_of([text.strip()])]
    within = [(where, text, number) for where, text in odd if (number := number_within(text)) is not None]
    if not odd or (len(filled) - len(odd) + len(within)) * 10 < len(filled) * 9:
        return None
    (where, text), do = odd[0], "correct that cell, or remove its row"
    if within:
        where, text, number = within[0]
        do = f"write the number alone, as {number}"
    more = f" and {len(odd) - 1:,} more of its cells" if len(odd) > 1 else ""
    got = f"{text!r} in '{name}'{more}, which holds numbers otherwise"
    if len(odd) == len(filled):
        got = f"{text!r} in '{name}', and no plain number in its other cells"
    return DataError(where, got, "numbers alone, as --task regression takes them", do)
