"""Scores of ranked labels: top-1 and top-5 accuracy, and what is said of each class."""

from collections.abc import Sequence

from softprompt.errors import DataError, nearest
from softprompt.metrics.labels import score_labels
from softprompt.metrics.scores import Scores, check_lengths, check_names

_TOP = 5


def score_ranked(
    names: Sequence[str], rankings: Sequence[Sequence[str]], references: Sequence[str], labels: Sequence[str]
) -> Scores:
    """Score a ranking of labels per record against the right label.

    Args:
        names: Metrics of the task `image_classification`: `accuracy` is top-1, `top5_accuracy` counts a
            record whose label is among the first five, `class_accuracy` is the mean over the classes that
            the references hold of the accuracy on their records, `macro_f1` as in `score_labels`.
        rankings: Labels, the likeliest first, at least five of them or all that there are.
        references: The right labels.
        labels: The declared labels.

    Returns:
        Percent, 0-100.

    Raises:
        ConfigError: an unknown metric.
        DataError: nothing to score, lengths that differ, or a label that is not declared.
    """
    check_names(names, "image_classification")
    check_lengths(rankings, references)
    first = [ranking[0] for ranking in rankings]
    plain = [name for name in names if name in ("accuracy", "macro_f1")]
    found = score_labels(plain or ["accuracy"], first, references, labels)
    values = dict(found.values)
    if "top5_accuracy" in names:
        hits = [gold in ranking[:_TOP] for ranking, gold in zip(rankings, references, strict=True)]
        values["top5_accuracy"] = 100 * sum(hits) / len(hits)
    if "class_accuracy" in names:
        recalls = [row["recall"] for row in by_class(first, references, labels).values() if row["records"]]
        values["class_accuracy"] = sum(recalls) / len(recalls)
    return Scores({name: values[name] for name in names}, found.notes)


def confusion(outputs: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """How often each label was said for each right one: a row for each right label, a column for each said.

    Raises:
        DataError: a label that is not declared.
    """
    places = {label: i for i, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for said, gold in zip(outputs, references, strict=True):
        for label in (said, gold):
            if label not in places:
                raise DataError("metrics", repr(label), f"one of {', '.join(labels)}", nearest(label, labels))
        counts[places[gold]][places[said]] += 1
    return counts


def by_class(
    outputs: Sequence[str], references: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """For each label precision, recall and F1 in percent, and how many records have it (`records`).

    Where nothing is said or nothing is right, the share is 0.
    """
    counts, found = confusion(outputs, references, labels), {}
    for i, label in enumerate(labels):
        right, wanted, said = counts[i][i], sum(counts[i]), sum(row[i] for row in counts)
        found[label] = {
            "precision": 100 * right / said if said else 0.0,
            "recall": 100 * right / wanted if wanted else 0.0,
            "f1": 200 * right / (said + wanted) if said + wanted else 0.0,
            "records": wanted,
        }
    return found
