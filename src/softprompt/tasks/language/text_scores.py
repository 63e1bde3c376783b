"""Scores of generated texts, by groups of records."""

from collections.abc import Sequence

from softprompt.data import Record
from softprompt.tasks.examples import ScoreRow, score_row


def score_texts(
    records: Sequence[Record], outputs: Sequence[str], metrics: Sequence[str], language: str = "auto"
) -> list[ScoreRow]:
    """Score generated texts: rows `seen`, `unseen`, `all` where records say which they are, else `all`.

    Args:
        records: with the references.
        outputs: one for each.
        metrics: of the task 'generation'.
        language: as in `task.language`; found from all references together.
    """
    from softprompt.metrics import reading_of, score

    reading = reading_of([text for record in records for text in record.targets], language)

    groups: dict[str, list[int]] = {"seen": [], "unseen": []}
    for i, record in enumerate(records):
        if "seen" in record.tags:
            groups.setdefault(record.tags["seen"], []).append(i)
    groups["all"] = list(range(len(records)))
    rows: list[ScoreRow] = []
    for group, members in groups.items():
        if members:
            references = [list(records[i].targets) for i in members]
            result = score(list(metrics), [outputs[i] for i in members], references, language=reading)
            rows.append(score_row(group, result))
    return rows
