"""Scores of tagged words: whole entities, as the CoNLL shared tasks count them."""

import re
from collections.abc import Sequence
from typing import Any

from softprompt.errors import DataError
from softprompt.metrics.scores import Pairs, Scores, check_lengths

_TAG = re.compile(r"O|[BI]-\S+")


def tag_pairs(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Pairs:
    """Predicted tags (`O`, `B-<type>`, `I-<type>`) for every sentence, and the right ones.

    Raises:
        DataError: nothing to score, lengths that differ, or a tag of another form (with its row).
    """
    check_lengths(outputs, references)
    for i, (out, gold) in enumerate(zip(outputs, references, strict=True)):
        if len(out) != len(gold):
            got = f"{len(out)} output tags and {len(gold)} reference tags"
            raise DataError(f"outputs[{i}]", got, "one tag of each kind for every word")
        for side, tags in (("outputs", out), ("references", gold)):
            if bad := next((tag for tag in tags if not _TAG.fullmatch(tag)), None):
                raise DataError(f"{side}[{i}]", f"the tag {bad!r}", "O, B-<type> or I-<type>")
    return Pairs([list(row) for row in outputs], [list(row) for row in references])


def entities(outputs: list[list[str]], references: list[list[str]], names: Sequence[str]) -> Scores:
    """Precision, recall and F1 over all entities in percent; one is right if its type and both its ends are.

    Source: seqeval, micro-averaged, in its default mode, which counts as conlleval does: an I- tag
    that follows no entity of its type begins one. 0 where there is nothing to divide by, with a note
    where no entity is wanted.
    """
    from seqeval.metrics import f1_score, precision_score, recall_score

    scorers: dict[str, Any] = {
        "entity_f1": f1_score,
        "entity_precision": precision_score,
        "entity_recall": recall_score,
    }
    # without zero_division, seqeval warns of a division by zero
    values = {name: 100 * float(scorers[name](references, outputs, zero_division=0)) for name in names}
    empty = all(tag == "O" for row in references for tag in row)
    return Scores(values, (f"{', '.join(names)}: the references hold no entity",) if empty else ())


def by_type(
    outputs: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, dict[str, float]]:
    """For each type of entities precision, recall and F1 in percent, and how many are right (`records`).

    Source: seqeval, as `entities`. A share with nothing to divide by is 0.
    """
    from seqeval.metrics import classification_report

    sides = [list(map(list, references)), list(map(list, outputs))]
    if all(tag == "O" for side in sides for row in side for tag in row):
        return {}
    options: Any = {"output_dict": True, "zero_division": 0}
    report: Any = classification_report(sides[0], sides[1], **options)
    return {
        kind: {
            "precision": 100 * float(row["precision"]),
            "recall": 100 * float(row["recall"]),
            "f1": 100 * float(row["f1-score"]),
            "records": int(row["support"]),
        }
        for kind, row in report.items()
        if not kind.endswith(" avg")
    }
