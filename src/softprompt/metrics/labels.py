"""Scores of predicted labels: classification and multiple choice."""

import math
from collections import Counter
from collections.abc import Sequence

from softprompt.errors import ConfigError, DataError, nearest
from softprompt.metrics.scores import Scores, check_lengths, check_names


def score_labels(
    names: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Scores:
    """Score one predicted label per record against the right one.

    Source: as GLUE (1804.07461) and SuperGLUE (1905.00537) score their tasks; equal to scikit-learn's
    `accuracy_score`, `f1_score` and `matthews_corrcoef`. Where nothing is predicted or right, F1 is 0;
    where all outputs or all references are alike, `mcc` is 0.

    Args:
        names: Metrics of the task `classification`: `f1` is that of the second of exactly two labels,
            `macro_f1` the mean over the declared labels (those that neither side holds are left out,
            with a note), `question_em` the share of groups that are right throughout (MultiRC).
        outputs: The predicted labels.
        references: The right labels.
        labels: The declared labels, in the order of their indices.
        groups: Which question each record belongs to; needed by `question_em`.

    Returns:
        Percent: 0-100, and -100 to 100 for `mcc`.

    Raises:
        ConfigError: an unknown metric; `f1` for other than two labels; `question_em` without groups.
        DataError: nothing to score, lengths that differ, or a label that is not declared (with its row).
    """
    check_names(names, "classification")
    if "f1" in names and len(labels) != 2:
        do = "choose macro_f1"
        raise ConfigError(
            "metrics", f"'f1' for {len(labels)} labels", "two labels, of which the second is positive", do
        )
    if "question_em" in names and groups is None:
        got = "'question_em' for records that belong to no question"
        raise ConfigError(
            "metrics", got, "records with the tag 'question', as those of multirc", "leave it out"
        )
    check_lengths(outputs, references)
    if groups is not None and len(groups) != len(outputs):
        got = f"{len(outputs)} outputs and {len(groups)} groups"
        raise DataError("metrics", got, "as many outputs as groups")
    for side, row in (("outputs", outputs), ("references", references)):
        for i, label in enumerate(row):
            if label not in labels:
                hint = nearest(str(label), labels)
                raise DataError(f"{side}[{i}]", repr(label), f"one of {', '.join(labels)}", hint)

    pairs = list(zip(outputs, references, strict=True))
    found: dict[str, float] = {"accuracy": sum(out == gold for out, gold in pairs) / len(pairs)}
    notes: list[str] = []
    if "f1" in names:
        found["f1"] = _f1(pairs, labels[1])
    if "macro_f1" in names:
        held = [label for label in labels if label in outputs or label in references]
        found["macro_f1"] = sum(_f1(pairs, label) for label in held) / len(held)
        if len(held) < len(labels):
            notes.append(
                f"macro_f1: over {len(held)} of {len(labels)} labels, the others are on neither side"
            )
    if "mcc" in names:
        found["mcc"] = _mcc(pairs)
    if groups is not None and "question_em" in names:
        right: dict[str, bool] = {}
        for group, (out, gold) in zip(groups, pairs, strict=True):
            right[group] = right.get(group, True) and out == gold
        found["question_em"] = sum(right.values()) / len(right)
    return Scores({name: 100 * found[name] for name in names}, tuple(notes))


def _f1(pairs: list[tuple[str, str]], label: str) -> float:
    said = sum(out == label for out, _ in pairs)
    wanted = sum(gold == label for _, gold in pairs)
    both = sum(out == gold == label for out, gold in pairs)
    return 2 * both / (said + wanted) if said + wanted else 0.0


def _mcc(pairs: list[tuple[str, str]]) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004), 0 where it is undefined."""
    said, wanted = Counter(out for out, _ in pairs), Counter(gold for _, gold in pairs)
    n, hits = len(pairs), sum(out == gold for out, gold in pairs)
    shared = sum(count * wanted[label] for label, count in said.items())
    spread = [n * n - sum(count * count for count in side.values()) for side in (said, wanted)]
    return (hits * n - shared) / math.sqrt(spread[0] * spread[1]) if all(spread) else 0.0
