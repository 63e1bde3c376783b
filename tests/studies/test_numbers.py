"""How numbers are cut, and what measures are called."""

import pytest

from softprompt.studies.definition.measures import (
    FACTS,
    fact_of,
    groups_of,
    higher_is_better,
    label,
    result_of,
    scores_of,
)
from softprompt.studies.results.numbers import cut, mean_and_std


@pytest.mark.parametrize(
    ("value", "measure", "shown"),
    [
        (69.699, "bleu", "69.69"),  # rounding would make 69.70 of it
        (69.69999, "bleu@unseen", "69.69"),
        (52.301, "ter", "52.31"),  # where less is better, the other way
        (52.30, "ter", "52.30"),
        (71.23, "bleu", "71.23"),  # 71.23 * 100 is 7122.999... in binary
        (0.1 + 0.2, "bleu", "0.30"),
        (0.3, "ter", "0.30"),
        (100.0, "accuracy", "100.00"),
        (-3.001, "pearson", "-3.01"),
        (0.0, "mcc", "0.00"),
        (-0.0, "mcc", "0.00"),
        (-0.001, "ter", "0.00"),
    ],
)
def test_never_in_our_favour(value, measure, shown):
    assert cut(value, measure) == shown


def test_a_cut_mean_is_never_better_than_the_mean():
    for i in range(2000):
        value = i * 0.0371
        assert float(cut(value, "bleu")) <= value + 1e-9 < float(cut(value, "bleu")) + 0.01 + 2e-9
        assert float(cut(value, "rmse")) >= value - 1e-9 > float(cut(value, "rmse")) - 0.01 - 2e-9


def test_mean_and_std():
    assert mean_and_std([], "bleu") == "-"
    assert mean_and_std([1.239], "bleu") == "1.23"
    assert mean_and_std([1.0, 2.0, 2.0], "bleu") == "1.66 ± 0.58"
    assert mean_and_std([1.0, 2.0, 2.0], "ter") == "1.67 ± 0.58"


def test_measures():
    assert label("bleu@unseen") == "BLEU, unseen" and label("ter@seen") == "TER, seen (lower is better)"
    assert label("ter", direction=False) == "TER" and label("loss") == "loss (lower is better)"
    assert not higher_is_better("ter@seen") and higher_is_better("bleu@seen")
    rows = [
        {"group": "seen", "values": {"bleu": 3.0}, "notes": []},
        {"group": "all", "values": {"bleu": 2.0, "ter": 1.0}, "notes": []},
    ]
    assert list(scores_of({"scores": rows}).items()) == [("bleu", 2.0), ("ter", 1.0), ("bleu@seen", 3.0)]
    assert scores_of({}) == {}


def test_facts_are_found_where_they_are_put():
    scores = {"bleu": 1.5, "ter": 2.0, "bleu@seen": 3.0}
    facts = {
        "scores": groups_of(scores), "best": {"step": 3}, "steps": 10, "seconds": 61.5,
        "trained_parameters": 5, "stored_parameters": 2, "versions": {"torch": "2"}, "hardware": "x",
    }  # fmt: skip
    result = result_of(facts)
    assert result["seconds"] == {"training": 61.5} and scores_of(result) == scores
    assert result["counts"] == {"trained_parameters": 5, "stored_parameters": 2}
    assert {name: fact_of(result, name) for name in FACTS} == facts
    assert fact_of({"seconds": 3}, "seconds") is None and fact_of({"steps": "ten"}, "steps") is None
