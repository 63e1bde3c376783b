"""Scores of predicted labels and of rankings of labels, and figures for each label."""

from collections.abc import Sequence
from typing import Any

from softprompt.errors import ConfigError, DataError, nearest
from softprompt.metrics.label_sets import figures_of, macro_f1_of_sets
from softprompt.metrics.scores import Pairs, Scores, check_lengths

_TOP = 5


def label_pairs(
    outputs: Sequence[str],
    references: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Pairs:
    """One predicted label per record and the right one, each of them declared.

    Raises:
        DataError: nothing to score, lengths that differ, or a label that is not declared (with its row).
    """
    check_lengths(outputs, references)
    if groups is not None and len(groups) != len(outputs):
        got = f"{len(outputs)} outputs and {len(groups)} groups"
        raise DataError("metrics", got, "as many outputs as groups")
    for side, row in (("outputs", outputs), ("references", references)):
        for i, label in enumerate(row):
            _check(label, labels, f"{side}[{i}]")
    return Pairs(
        list(outputs), list(references), tuple(labels), groups=None if groups is None else tuple(groups)
    )


def ranking_pairs(
    outputs: Sequence[Sequence[str]], references: Sequence[str], labels: Sequence[str]
) -> Pairs:
    """A ranking of labels per record, the likeliest first: at least five of them or all that there are.

    Returns:
        The first labels as outputs, beside the rankings.

    Raises:
        DataError: as `label_pairs`.
    """
    pairs = label_pairs([ranking[0] for ranking in outputs], references, labels)
    return Pairs(pairs.outputs, pairs.references, pairs.labels, rankings=tuple(map(tuple, outputs)))


def accuracy(outputs: list[str], references: list[str]) -> float:
    """Share of right labels in percent, as GLUE (1804.07461) and SuperGLUE (1905.00537) count it."""
    return 100 * _share([out == gold for out, gold in zip(outputs, references, strict=True)])


def top5_accuracy(outputs: list[str], references: list[str], rankings: Sequence[Sequence[str]]) -> float:
    """Share of records whose label is among the first five, in percent."""
    return 100 * _share([gold in row[:_TOP] for row, gold in zip(rankings, references, strict=True)])


def class_accuracy(outputs: list[str], references: list[str], labels: Sequence[str]) -> float:
    """Mean over the labels that the references hold of the accuracy on their records, in percent."""
    rows = by_class(outputs, references, labels).values()
    recalls = [row["recall"] for row in rows if row["records"]]
    return sum(recalls) / len(recalls)


def f1(outputs: list[str], references: list[str], labels: Sequence[str]) -> float:
    """F1 of the second of exactly two labels in percent; 0 where it is neither predicted nor right.

    Raises:
        ConfigError: other than two labels.
    """
    if len(labels) != 2:
        got, expected = f"'f1' for {len(labels)} labels", "two labels, of which the second is positive"
        raise ConfigError("metrics", got, expected, "choose macro_f1")
    return _f1(outputs, references, labels[1:])


def macro_f1(outputs: list[str], references: list[str], labels: Sequence[str]) -> Scores:
    """Mean F1 of the labels that either side holds in percent, with a note where some are left out; of sets
    of labels, as `macro_f1_of_sets`.
    """
    if outputs and not isinstance(outputs[0], str):
        return macro_f1_of_sets(outputs, references, labels)
    held = [label for label in labels if label in outputs or label in references]
    missing = f"macro_f1: over {len(held)} of {len(labels)} labels, the others are on neither side"
    notes = (missing,) if len(held) < len(labels) else ()
    return Scores({"macro_f1": _f1(outputs, references, held)}, notes)


def mcc(outputs: list[str], references: list[str]) -> float:
    """Matthews correlation for any number of labels (Gorodkin 2004), -100 to 100.

    It is 0 where all outputs or all references are alike, for which it is undefined.
    """
    from sklearn.metrics import matthews_corrcoef

    if len(set(outputs)) == 1 or len(set(references)) == 1:
        return 0.0
    return 100 * float(matthews_corrcoef(references, outputs))


def question_em(outputs: list[str], references: list[str], groups: Sequence[str] | None) -> float:
    """Share of groups that are right throughout, in percent (MultiRC).

    Raises:
        ConfigError: records that belong to no group.
    """
    if groups is None:
        got, expected = "'question_em' for records that belong to no question", "records with the tag"
        raise ConfigError("metrics", got, f"{expected} 'question', as those of multirc", "leave it out")
    right: dict[str, bool] = {}
    for group, out, gold in zip(groups, outputs, references, strict=True):
        right[group] = right.get(group, True) and out == gold
    return 100 * _share(list(right.values()))


def confusion(outputs: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """How often each label was predicted for each right one: rows are right labels, columns predicted ones.

    Raises:
        DataError: a label that is not declared.
    """
    from sklearn.metrics import confusion_matrix

    for label in (*outputs, *references):
        _check(label, labels, "metrics")
    if not outputs:
        return [[0] * len(labels) for _ in labels]
    return confusion_matrix(list(references), list(outputs), labels=list(labels)).tolist()


def by_class(
    outputs: Sequence[str], references: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """For each label precision, recall and F1 in percent, and how many records have it (`records`).

    Where nothing is said or nothing is right, the share is 0.

    Raises:
        DataError: a label that is not declared.
    """
    from sklearn.metrics import precision_recall_fscore_support

    for label in (*outputs, *references):
        _check(label, labels, "metrics")
    options: Any = {"labels": list(labels), "zero_division": 0}
    rows: Any = precision_recall_fscore_support(list(references), list(outputs), **options)
    return figures_of(labels, rows)


def _f1(outputs: list[str], references: list[str], labels: Sequence[str]) -> float:
    from sklearn.metrics import f1_score

    options: Any = {"labels": list(labels), "average": "macro", "zero_division": 0}
    return 100 * float(f1_score(references, outputs, **options))


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def _check(label: str, labels: Sequence[str], where: str) -> None:
    if label not in labels:
        raise DataError(where, repr(label), f"one of {', '.join(labels)}", nearest(str(label), labels))
