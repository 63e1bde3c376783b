"""Scores of where the right answer stands among ranked ones."""

from collections.abc import Sequence

from softprompt.errors import DataError
from softprompt.metrics.scores import Scores, check_names


def score_ranks(names: Sequence[str], ranks: Sequence[int | None]) -> Scores:
    """Precision at 1 and at 10, and the mean reciprocal rank.

    Source: LAMA (1909.01066) and P-Tuning (2103.10385) report precision at 1 in percent.

    Args:
        names: Metrics of the task `probing`.
        ranks: Of each right answer, 1 for the best; None where it is unknown.

    Returns:
        Percent (0-100), `mrr` too.

    Raises:
        DataError: nothing to score, or a rank that is unknown or below 1.
    """
    check_names(names, "probing")
    if not ranks:
        raise DataError("metrics", "no ranks", "at least one rank")
    known: list[int] = []
    for i, rank in enumerate(ranks):
        if rank is None or rank < 1:
            raise DataError(f"outputs[{i}]", f"rank {rank}", "a rank from 1, of a record that has its answer")
        known.append(rank)
    found = {
        "p_at_1": sum(rank == 1 for rank in known) / len(known),
        "p_at_10": sum(rank <= 10 for rank in known) / len(known),
        "mrr": sum(1 / rank for rank in known) / len(known),
    }
    return Scores({name: 100 * found[name] for name in names})
