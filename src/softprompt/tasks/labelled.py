"""What every task with labels leaves beside its scores: figures by class, confusion, calibration, errors.

Texts, pairs, blanks, tags and pictures come through here, so that a run of any of them leaves the same files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.extras import missing
from softprompt.files import json_line, json_text
from softprompt.tasks.examples import Outcome, ScoreRow

_MOST_ERRORS = 200
"""Wrong answers that are kept, the surest ones."""


@dataclass(frozen=True)
class Answer:
    """One answer beside what is right.

    Args:
        id: of the record.
        source: what was asked.
        said: the answer.
        right: the right one.
        confidence: the probability of the answer; None where it is unknown.
    """

    id: str
    source: str
    said: str
    right: str
    confidence: float | None = None


def class_rows(
    said: Sequence[str],
    right: Sequence[str],
    labels: Sequence[str],
    metrics: Sequence[str],
    more: Mapping[str, Mapping[str, float]] | None = None,
) -> list[ScoreRow]:
    """A row for the records of each class: the recall as accuracy, and F1, as far as they are asked for.

    Without scikit-learn there are no rows.

    Args:
        said: a label for each record.
        right: the right ones.
        labels: the declared ones, in the order of rows.
        metrics: that the run asks for.
        more: further figures by class and metric.
    """
    from softprompt.metrics import by_class

    if missing("metrics", "sklearn"):
        return []
    rows: list[ScoreRow] = []
    for label, row in by_class(said, right, labels).items():
        if not row["records"]:
            continue
        figures = {"accuracy": row["recall"], "f1": row["f1"], "macro_f1": row["f1"]}
        figures |= (more or {}).get(label, {})
        values = {name: figures[name] for name in metrics if name in figures}
        if values:
            rows.append({"group": f"class {label}", "values": values, "notes": []})
    return rows


def label_files(said: Sequence[str], right: Sequence[str], labels: Sequence[str]) -> dict[str, str | bytes]:
    """The confusion matrix and the figures of each class; with matplotlib, a picture of the matrix.

    Empty without scikit-learn, and for answers that are no labels (of another package's task).
    """
    from softprompt.metrics import by_class, confusion

    if missing("metrics", "sklearn") or not {*said, *right} <= {*labels}:
        return {}
    counts = confusion(said, right, labels)
    return confusion_files(labels, counts, by_class(said, right, labels))


def confusion_files(
    labels: Sequence[str], counts: Sequence[Sequence[int]], classes: Mapping[str, Any]
) -> dict[str, str | bytes]:
    """`confusion.json`, and `confusion.png` where matplotlib is installed.

    Args:
        labels: of rows and columns.
        counts: a row for each right label, a column for each said one.
        classes: precision, recall, F1 and the number of records by class.
    """
    facts = {
        "labels": list(labels),
        "rows": "right labels",
        "columns": "said labels",
        "counts": [list(row) for row in counts],
        "classes": dict(classes),
    }
    files: dict[str, str | bytes] = {
        "confusion.json": json_text(facts),
    }
    return {**files, **_drawn("confusion", counts, labels)}


def answers_of(records: Sequence[Any], outcomes: Sequence[Outcome]) -> list[Answer]:
    """Labels, or the indices of choices, beside those of the records."""
    return [
        Answer(r.id, r.source, str(o.output), str(r.label), o.confidence)
        for r, o in zip(records, outcomes, strict=True)
    ]


def error_files(
    answers: Sequence[Answer], judged: Sequence[tuple[bool, float]] = ()
) -> dict[str, str | bytes]:
    """The wrong answers, the surest first, and how far the probabilities can be believed.

    Args:
        answers: of all records.
        judged: whether an answer is right and its probability, where that is counted over parts of records
            (the words of a sentence); by default over `answers`.
    """
    from softprompt.metrics import calibration_of

    wrong = [answer for answer in answers if answer.said != answer.right]
    wrong.sort(key=lambda answer: -(answer.confidence or 0))
    lines = [
        json_line(
            {
                "id": answer.id,
                "source": answer.source,
                "right": answer.right,
                "said": answer.said,
                "confidence": None if answer.confidence is None else round(answer.confidence, 4),
            }
        )
        for answer in wrong[:_MOST_ERRORS]
    ]
    files: dict[str, str | bytes] = {"errors.jsonl": "".join(lines)}
    pairs = [*judged] or [(a.said == a.right, a.confidence) for a in answers if a.confidence is not None]
    if len(pairs) < len(answers) or not pairs:
        return files
    measured = calibration_of([right for right, _ in pairs], [share for _, share in pairs])
    files["calibration.json"] = json_text(measured)
    return {**files, **_drawn("reliability", measured)}


def _drawn(name: str, *figures: Any) -> dict[str, bytes]:
    """The picture of some figures; none without matplotlib."""
    if missing("plots"):
        return {}
    from softprompt import plotting

    draw: Callable[..., bytes] = getattr(plotting, f"draw_{name}")
    return {f"{name}.png": draw(*figures)}
