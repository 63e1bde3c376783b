"""Tasks that a program registers: how they are made, scored and shown."""

from pathlib import Path
from typing import Any, Literal

import pytest

import softprompt
from softprompt.data import LabelledText
from softprompt.errors import ConfigError
from softprompt.metrics import Pairs, metrics_of, score
from softprompt.tasks import OUTPUT_FORMS, TASKS, Mixture, OutputForm, Task, answer_of, build_task
from softprompt.tasks.headed import ClassificationTask
from support.reading import bert


class OwnSettings(softprompt.TaskSettings):
    head_kinds = ("sequence",)

    name: Literal["own"] = "own"
    labels: list[str] | None = None
    max_tokens: int = 8
    head_dropout: float = 0.0


class LengthSettings(softprompt.TaskSettings):
    batch_group = "length"

    name: Literal["length"] = "length"


class LengthTask(Task):
    """The length of a text, without a model."""

    def encode(self, record: LabelledText) -> Any:
        return record

    def loss(self, examples: Any) -> Any:
        raise AssertionError

    def predict(self, records: Any, progress: Any = None, seed: int = 0) -> list[Any]:
        return [len(record.text) for record in records]

    def check_positions(self, records: Any, prompt_positions: int, training: bool) -> None:
        """Refuse nothing."""

    def reference(self, record: LabelledText) -> int:
        return int(record.label or 0)


def lengths(outputs: list[int], references: list[int]) -> Pairs:
    return Pairs(outputs, references)


FORM = OutputForm(lengths, lambda output, line: f"{output + 0} letters", compared="nothing")


def test_a_class_gets_what_its_init_names():
    @softprompt.task("own", OwnSettings, LabelledText, "label", metrics=["macro_f1"])
    class Own(ClassificationTask):
        def __init__(self, backbone: Any, settings: OwnSettings, labels: Any):
            super().__init__(backbone, settings, labels)

    task = build_task(bert(), OwnSettings(), labels=("no", "yes"), fields=("text",))
    assert type(task) is Own and task.labels == ("no", "yes")
    assert task.head is not None and (task.head.kind, task.head.labels) == ("sequence", ("no", "yes"))


def test_metrics_of_the_row_come_before_those_that_name_the_task():
    softprompt.task("own", OwnSettings, LabelledText, "label", metrics=["macro_f1", "accuracy"])(
        ClassificationTask
    )
    assert metrics_of("own") == ["macro_f1", "accuracy"]
    softprompt.metric("own_metric", "own")(lambda outputs, references: 1.0)
    assert metrics_of("own") == ["macro_f1", "accuracy", "own_metric"]
    scores = score(["own_metric", "accuracy"], ["a", "b"], ["a", "a"], task="own", labels=("a", "b"))
    assert scores.values == {"own_metric": 1.0, "accuracy": 50.0}
    with pytest.raises(ConfigError, match="'f1', expected some of macro_f1, accuracy, own_metric"):
        score(["f1"], ["a"], ["a"], task="own", labels=("a", "b"))


def test_a_form_of_outputs_of_its_own():
    softprompt.task("length", LengthSettings, LabelledText, FORM)(LengthTask)
    softprompt.metric("off", "length")(lambda outputs, references: abs(outputs[0] - references[0]))
    task = build_task(bert(), LengthSettings())
    records = [LabelledText("1", "four", "6")]
    outputs = task.predict(records)
    assert task.score(records, outputs, ["off"]) == [{"group": "all", "values": {"off": 2.0}, "notes": []}]
    assert answer_of("length", {"output": 4}) == "4 letters"
    with pytest.raises(ValueError, match="no output of task 'length'"):
        answer_of("length", {"output": "four"})
    with pytest.raises(ConfigError, match=r"'length' with int records, expected LabelledText records"):
        task.check([3])


def test_tasks_without_losses_by_example_share_no_batch():
    softprompt.task("length", LengthSettings, LabelledText, FORM)(LengthTask)
    with pytest.raises(ConfigError, match=r"parts\.a\.task: got a LengthTask without a loss for each"):
        Mixture(bert(), {"a": build_task(bert(), LengthSettings())})


def test_the_page_names_every_form_and_its_task():
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    table = page.partition("| form | an output | of the task |\n")[2].partition("\n\n")[0].splitlines()[1:]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]
    names = {id(form): name for name, form in OUTPUT_FORMS.items()}
    assert {task: form for form, _, task in rows} == {name: names[id(TASKS[name].outputs)] for name in TASKS}
