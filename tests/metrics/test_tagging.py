"""Entity scores, counted by hand."""

import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError

NAMES = ["entity_f1", "entity_precision", "entity_recall"]


def score_entities(names: list[str], outputs: list[list[str]], references: list[list[str]]) -> metrics.Scores:
    return metrics.score(names, outputs, references, task="tagging")


def score(outputs: list[str], references: list[str]) -> dict[str, float]:
    return score_entities(NAMES, [row.split() for row in outputs], [row.split() for row in references]).values


def test_entities_over_all_sentences_by_hand() -> None:
    # wanted: per 0-1, loc 3, per 0; said: per 0-1 (right), loc 3-4 (end wrong), org 0 (type wrong), per 2
    values = score(["B-per I-per O B-loc I-loc", "B-org O B-per"], ["B-per I-per O B-loc O", "B-per O O"])
    assert values["entity_precision"] == pytest.approx(100 * 1 / 4)
    assert values["entity_recall"] == pytest.approx(100 * 1 / 3)
    assert values["entity_f1"] == pytest.approx(100 * 2 * 1 / (4 + 3))
    assert list(values) == NAMES


@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ("O I-per I-per", "O B-per I-per"),  # an I- with nothing in front begins an entity
        ("B-loc I-per", "B-loc B-per"),  # and so does one behind another type
    ],
)
def test_predictions_may_break_bio(output: str, reference: str) -> None:
    assert score([output], [reference])["entity_f1"] == 100


def test_neighbours_are_two_entities() -> None:
    assert score(["B-per I-per"], ["B-per B-per"])["entity_f1"] == 0


def test_an_entity_ends_with_its_sentence() -> None:
    assert score(["B-per", "I-per"], ["B-per", "B-per"])["entity_f1"] == 100


def test_nothing_said_and_nothing_wanted() -> None:
    assert set(score(["O O"], ["B-per O"]).values()) == {0.0}
    scores = score_entities(["entity_f1"], [["B-per"]], [["O"]])
    assert (scores.values, scores.notes) == ({"entity_f1": 0}, ("entity_f1: the references hold no entity",))
    assert score_entities(["entity_recall"], [["O"]], [["O"]]).values == {"entity_recall": 0}


def test_bad_input() -> None:
    with pytest.raises(
        DataError, match=r"outputs\[1\]: got 2 output tags and 1 reference tags, expected one tag of each"
    ):
        score_entities(NAMES, [["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="got 1 outputs and 2 references"):
        score_entities(NAMES, [["O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="got no outputs"):
        score_entities(NAMES, [], [])
    with pytest.raises(
        DataError, match=r"references\[0\]: got the tag 'S-per', expected O, B-<type> or I-<type>"
    ):
        score_entities(NAMES, [["O"]], [["S-per"]])
    with pytest.raises(
        ConfigError, match=r"metrics: got 'f1', expected some of entity_f1, .*. Use it for classification"
    ):
        score_entities(["f1"], [["O"]], [["O"]])
