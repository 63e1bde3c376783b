"""The one call: names, shapes, notes and errors."""

import subprocess
import sys

import pytest

from softprompt import metrics
from softprompt.config.metrics import METRICS, METRICS_BY_TASK
from softprompt.errors import ConfigError, DataError
from softprompt.metrics import java

HYPOTHESES = ["the cat sat on the mat", "a dog ran in the park today"]
REFERENCES = [["the cat sat on a mat", "a cat sat there"], ["the dog ran in the park"]]
QUICK = [name for name in METRICS_BY_TASK["generation"] if name != "meteor"]


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)


def test_tables_cover_every_metric() -> None:
    assert set(metrics.LABELS) == set(metrics.HIGHER_IS_BETTER) == set(METRICS)
    assert [name for name in METRICS if not metrics.HIGHER_IS_BETTER[name]] == ["ter", "rmse"]
    assert len(set(metrics.LABELS.values())) == len(METRICS)


def test_every_task_has_metrics_and_shared_ones_come_once() -> None:
    assert METRICS[:9] == METRICS_BY_TASK["generation"]
    assert len(set(METRICS)) == len(METRICS)
    assert {name for names in METRICS_BY_TASK.values() for name in names} == set(METRICS)
    assert {task: names[0] for task, names in METRICS_BY_TASK.items()} == {
        "generation": "bleu",
        "classification": "accuracy",
        "tagging": "entity_f1",
        "spans": "answer_f1",
        "choice": "accuracy",
        "regression": "pearson",
        "cloze": "accuracy",
        "probing": "p_at_1",
        "image_classification": "accuracy",
    }


def test_values_come_in_the_order_asked_for() -> None:
    names = ["rougeL", "cider", "bleu", "ter"]
    assert list(metrics.score(names, HYPOTHESES, REFERENCES).values) == names


def test_same_texts_same_figures() -> None:
    assert metrics.score(QUICK, HYPOTHESES, REFERENCES) == metrics.score(QUICK, HYPOTHESES, REFERENCES)


def test_perfect_outputs() -> None:
    texts = ["the cat sat on the mat today", "a dog ran in the green park"]
    values = metrics.score(QUICK, texts, [[text] for text in texts]).values
    for name in ("bleu", "rouge_l", "rouge1", "rouge2", "rougeL"):
        assert values[name] == pytest.approx(100)
    assert values["cider"] == pytest.approx(10)
    assert values["ter"] == 0


def test_white_space_and_empty_references_do_not_count() -> None:
    spaced = [" the cat\n sat on\tthe mat ", HYPOTHESES[1]]
    padded = [[*REFERENCES[0], " \n"], ["", *REFERENCES[1]]]
    assert metrics.score(QUICK, spaced, padded) == metrics.score(QUICK, HYPOTHESES, REFERENCES)


@pytest.mark.parametrize("hypotheses", [["", ""], ["", "a dog ran in the park"], ["?!", "..."]])
def test_empty_outputs_score_as_misses(hypotheses: list[str]) -> None:
    values = metrics.score(QUICK, hypotheses, REFERENCES).values
    assert set(values) == set(QUICK)
    if hypotheses[1] == "":
        # all 4 words of the shorter first reference and all 6 of the second, over mean lengths of 5 and 6
        assert values.pop("ter") == pytest.approx(100 * 10 / 11)
        assert set(values.values()) == {0.0}


def test_references_of_punctuation_alone() -> None:
    assert metrics.score(QUICK, ["?", "a"], [["..."], ["!"]]).values["cider"] == 0


def test_unknown_metric() -> None:
    with pytest.raises(
        ConfigError, match=r"metrics: got 'blue', expected some of bleu, .*Did you mean 'bleu'\?"
    ):
        metrics.score(["blue"], HYPOTHESES, REFERENCES)


def test_metric_of_another_task() -> None:
    with pytest.raises(
        ConfigError, match=r"metrics: got 'accuracy', expected .*\. Use it for classification, choice"
    ):
        metrics.score(["accuracy"], HYPOTHESES, REFERENCES)


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="metrics: got no hypotheses, expected at least one text"):
        metrics.score(["bleu"], [], [])


def test_lengths_differ() -> None:
    with pytest.raises(DataError, match="got 2 hypotheses and 1 lists of references"):
        metrics.score(["bleu"], HYPOTHESES, REFERENCES[:1])


@pytest.mark.parametrize("group", [[], [""], [" ", "\n"]])
def test_example_without_reference(group: list[str]) -> None:
    with pytest.raises(DataError, match=r"references\[1\]: got no reference text, expected at least one"):
        metrics.score(["bleu"], HYPOTHESES, [REFERENCES[0], group])


def test_reference_that_is_no_list() -> None:
    with pytest.raises(DataError, match=r"references\[0\]: got a single text, expected a list of texts"):
        metrics.score(["bleu"], HYPOTHESES, ["one text", "another"])


def test_hypothesis_that_is_no_text() -> None:
    with pytest.raises(DataError, match=r"hypotheses\[1\]: got nothing, expected a text"):
        metrics.score(["bleu"], ["a", None], REFERENCES)  # type: ignore[list-item]


def test_import_is_light() -> None:
    heavy = {"sacrebleu", "nltk", "numpy", "seqeval", "sklearn"}
    code = f"import sys, softprompt.metrics; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
