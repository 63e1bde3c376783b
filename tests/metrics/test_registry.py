"""The one call: names, shapes, notes and errors."""

import subprocess
import sys

import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError
from softprompt.metrics import METRICS, java, metrics_of
from softprompt.tasks import TASKS

HYPOTHESES = ["the cat sat on the mat", "a dog ran in the park today"]
REFERENCES = [["the cat sat on a mat", "a cat sat there"], ["the dog ran in the park"]]
QUICK = [name for name in metrics_of("generation") if name != "meteor"]


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)


def test_every_row_has_its_name_and_a_label_of_its_own() -> None:
    rows = {name: METRICS[name] for name in METRICS}
    assert [row.name for row in rows.values()] == list(rows)
    assert len({row.label for row in rows.values()}) == len(rows)
    assert [name for name in METRICS if not metrics.higher_is_better(name)] == ["ter", "rmse"]
    assert metrics.label_of("rouge_l") == "ROUGE-L"


def test_what_no_metric_has_stands_for_itself() -> None:
    assert metrics.label_of("loss") == "loss" and not metrics.higher_is_better("loss")
    assert metrics.find_metric("loss") is None


def test_every_task_has_metrics_and_its_default_comes_first() -> None:
    assert list(METRICS)[:9] == metrics_of("generation")
    assert {task: metrics_of(task) for task in TASKS} == {
        "generation": ["bleu", "nist", "meteor", "rouge_l", "cider", "ter", "rouge1", "rouge2", "rougeL"],
        "classification": ["accuracy", "f1", "macro_f1", "mcc", "question_em"],
        "multi_label_classification": ["micro_f1", "macro_f1", "subset_accuracy"],
        "tagging": ["entity_f1", "entity_precision", "entity_recall"],
        "choice": ["accuracy"],
        "spans": ["answer_f1", "exact_match"],
        "regression": ["pearson", "spearman", "rmse"],
        "cloze": ["accuracy", "f1", "macro_f1", "mcc"],
        "probing": ["p_at_1", "p_at_10", "mrr"],
        "image_classification": ["accuracy", "top5_accuracy", "class_accuracy", "macro_f1"],
    }
    assert {task for name in METRICS for task in METRICS[name].tasks} == set(TASKS)
    assert metrics_of("translation") == []


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
    heavy = {"sacrebleu", "nltk", "numpy", "scipy", "seqeval", "sklearn", "matplotlib"}
    code = f"import sys, softprompt.metrics; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
