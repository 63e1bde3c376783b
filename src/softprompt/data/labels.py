"""Labels as texts, and one spelling for each number among them."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from softprompt.data.parsing import words
from softprompt.data.records import LABELLED, MultiLabelledText, TaggedWords
from softprompt.errors import ConfigError, DataError, Problem, kind_of

_SEVERAL = (TaggedWords, MultiLabelledText)
"""The kinds of records with several labels each."""


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
        do = ""
        if isinstance(value, list):
            do = "give one label for each; for texts with several labels set "
            do += "task.name=multi_label_classification"
        raise DataError(where, f"{got} in '{name}'", "a text, a number, true or false", do)
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
    kinds = (*LABELLED, MultiLabelledText)
    if not all(isinstance(record, kinds) for records in sets for record in records[:1]):
        return sets
    labels = list(dict.fromkeys(label for record in sets[0] for label in _labels(record)))
    numbers = {label: _whole(label) for label in labels}
    if not labels or any(number is None for number in numbers.values()):
        return sets
    whole = len(set(numbers.values())) < len(labels)
    spelling = {number: str(number) if whole else label for label, number in numbers.items()}

    def spelled(record: Any) -> Any:
        old = _labels(record)
        new = tuple(
            label if label in numbers and not whole else spelling.get(_whole(label), label) for label in old
        )
        if new == old:
            return record
        if isinstance(record, MultiLabelledText):
            return replace(record, labels=tuple(dict.fromkeys(new)))
        return replace(record, label=new[0])

    return [[spelled(record) for record in records] for records in sets]


def _labels(record: Any) -> tuple[str, ...]:
    """The labels of a record with one or several; none where they are unknown."""
    if isinstance(record, MultiLabelledText):
        return record.labels or ()
    return () if record.label is None else (record.label,)


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their numbers where all are numbers, else in alphabetical order."""
    found = sorted(labels)
    try:
        numbers = {label: float(label) for label in found}
    except ValueError:
        return found
    if not all(map(math.isfinite, numbers.values())):
        return found
    return sorted(found, key=lambda label: (numbers[label], label))


def check_spellings(labels: Iterable[str]) -> None:
    """Refuse labels that differ in nothing that a reader of them would mean: in case or invisible characters.

    Raises:
        ConfigError: such labels.
    """
    alike: dict[str, list[str]] = {}
    for label in sorted(labels):
        seen = "".join(sign for sign in label if unicodedata.category(sign) != "Cf")
        alike.setdefault(unicodedata.normalize("NFKC", seen).casefold(), []).append(label)
    if several := [spellings for spellings in alike.values() if len(spellings) > 1]:
        pairs = "; ".join(" and ".join(map(_quoted, some)) for some in several[:10])
        got = f"labels that look alike: {pairs}"
        do = "write them in one way, or list all labels in task.labels if they are meant to differ"
        raise ConfigError("data.label", got, "one spelling for each label", do)


def _quoted(label: str) -> str:
    """A label in quotes, with invisible characters written out."""
    shown = [
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) == "Cf" else sign
        for sign in label
    ]
    return f"'{''.join(shown)}'"


def check_known(labels: Sequence[str], **sets: Sequence[Any]) -> None:
    """Refuse records of other sets with labels that no answer can be, all of them at once.

    Args:
        labels: what can be answered.
        sets: the records of each set, by its name.

    Raises:
        DataError: such labels, with how many records have them and where the first one is.
    """
    known, problems = set(labels), []
    for name, records in sets.items():
        unknown: dict[str, list[Any]] = {}
        for record in records:
            own = (record.labels or ()) if isinstance(record, _SEVERAL) else (record.label,)
            for label in own:
                if label is not None and label not in known:
                    unknown.setdefault(label, []).append(record)
        if unknown:
            some = ", ".join(f"{label!r} ({len(found):,})" for label, found in list(unknown.items())[:10])
            more = f" and {len(unknown) - 10:,} others" if len(unknown) > 10 else ""
            first = next(iter(unknown.values()))[0].id
            shown = ", ".join(map(repr, list(labels)[:20])) + (", ..." if len(labels) > 20 else "")
            got = f"labels that the task does not have: {some}{more}, first in record {first}"
            do = "correct them, or list them in task.labels"
            do += "" if name == "train" else ", or train on records that have them"
            problems.append(Problem(f"data.{name}", got, f"some of {shown}", do))
    if problems:
        raise DataError.several(problems)


def _whole(label: str) -> int | None:
    """The whole number that a label is; None where it is none."""
    try:
        number = float(label)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**53 else None
