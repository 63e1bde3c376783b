"""Scores of predicted sets of labels, and figures for each label."""

from collections.abc import Sequence
from typing import Any

from softprompt.errors import DataError, kind_of, nearest
from softprompt.metrics.scores import Pairs, Scores, check_lengths

Sets = Sequence[Sequence[str]]


def label_set_pairs(outputs: Sets, references: Sets, labels: Sequence[str]) -> Pairs:
    """Any number of predicted labels per record and the right ones, each of them declared.

    Returns:
        Tuples of labels, each label once, in the declared order.

    Raises:
        DataError: nothing to score, lengths that differ, or a label that is not declared (with its row).
    """
    check_lengths(outputs, references)
    sides = [
        [_in_order(row, labels, f"{side}[{i}]") for i, row in enumerate(rows)]
        for side, rows in (("outputs", outputs), ("references", references))
    ]
    return Pairs(sides[0], sides[1], tuple(labels))


def subset_accuracy(outputs: Sets, references: Sets) -> float:
    """Share of records whose labels are exactly the right ones, in percent: scikit-learn's
    `accuracy_score` of several labels.
    """
    return 100 * sum(out == gold for out, gold in zip(outputs, references, strict=True)) / len(outputs)


def micro_f1(outputs: Sets, references: Sets, labels: Sequence[str]) -> float:
    """F1 over all labels of all records together, in percent; 0 where no label is right or predicted."""
    return _f1(outputs, references, labels, "micro")


def macro_f1_of_sets(outputs: Sets, references: Sets, labels: Sequence[str]) -> Scores:
    """Mean of the labels' F1 in percent; that of a label which is neither right nor predicted is 0, as
    scikit-learn has it, and a note says of how many labels it is.
    """
    held = {label for row in (*outputs, *references) for label in row}
    absent = len(labels) - len(held)
    note = f"macro_f1: {absent} of {len(labels)} labels are on neither side, and count as 0"
    return Scores({"macro_f1": _f1(outputs, references, labels, "macro")}, (note,) if absent else ())


def by_label(outputs: Sets, references: Sets, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each label precision, recall and F1 in percent, and how many records have it (`records`).

    Where nothing is said or nothing is right, the share is 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    options: Any = {"average": None, "zero_division": 0}
    rows: Any = precision_recall_fscore_support(
        _indicators(references, labels), _indicators(outputs, labels), **options
    )
    return figures_of(labels, rows)


def figures_of(labels: Sequence[str], rows: Any) -> dict[str, dict[str, float]]:
    """By label what scikit-learn's four arrays say of it: precision, recall and F1 in percent, records."""
    return {
        label: {
            "precision": 100 * float(precision),
            "recall": 100 * float(recall),
            "f1": 100 * float(f1),
            "records": int(n),
        }
        for label, precision, recall, f1, n in zip(labels, *rows, strict=True)
    }


def _f1(outputs: Sets, references: Sets, labels: Sequence[str], average: str) -> float:
    from sklearn.metrics import f1_score

    options: Any = {"average": average, "zero_division": 0}
    return 100 * float(f1_score(_indicators(references, labels), _indicators(outputs, labels), **options))


def _indicators(rows: Sets, labels: Sequence[str]) -> Any:
    """`[record, label]`, 1 where the record has the label."""
    import numpy as np

    return np.array([[int(label in row) for label in labels] for row in rows])


def _in_order(row: Any, labels: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(row, str) or not isinstance(row, Sequence):
        raise DataError(where, kind_of(row), "a list of labels")
    for label in row:
        if label not in labels:
            raise DataError(where, repr(label), f"some of {', '.join(labels)}", nearest(str(label), labels))
    return tuple(label for label in labels if label in row)
