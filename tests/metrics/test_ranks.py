"""Scores of ranks, by hand."""

import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError


def score_ranks(names, ranks):
    return metrics.score(names, ranks, ["word"] * len(ranks), task="probing")


def test_precision_and_reciprocal_rank_by_hand():
    values = score_ranks(["p_at_1", "p_at_10", "mrr"], [1, 10, 11, 2]).values
    assert values == pytest.approx({"p_at_1": 25, "p_at_10": 75, "mrr": 25 * (1 + 1 / 10 + 1 / 11 + 1 / 2)})
    assert list(score_ranks(["mrr"], [1]).values) == ["mrr"]


@pytest.mark.parametrize(
    ("ranks", "message"),
    [([], "no ranks"), ([1, None], r"outputs\[1\]: got rank None"), ([0], r"outputs\[0\]: got rank 0")],
)
def test_what_cannot_be_scored_is_refused(ranks, message):
    with pytest.raises(DataError, match=message):
        score_ranks(["mrr"], ranks)


def test_metrics_of_other_tasks_are_refused():
    with pytest.raises(ConfigError, match="got 'accuracy', expected some of p_at_1, p_at_10, mrr"):
        score_ranks(["accuracy"], [1])
