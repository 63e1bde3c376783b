"""Mistakes in another package's task: each is named where it is made, with the task."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

import softprompt
from softprompt.config import parse_run
from softprompt.data import LabelledText
from softprompt.errors import ConfigError, DataError, SoftpromptError
from softprompt.metrics import score
from softprompt.tasks import OutputForm, ReadingExample, ReadingTask, build_task
from support.reading import bert

NAME = "own_of_a_test"
RECORDS = [LabelledText("1", "the mill", "no"), LabelledText("2", "blue food", "yes")]


class OwnSettings(softprompt.TaskSettings):
    head_kinds = ("sequence",)

    name: Literal["own_of_a_test"] = NAME
    labels: list[str] | None = None
    max_tokens: int = 8


class OwnTask(ReadingTask):
    def example(self, record, form, labelled):
        row = form.row(record.text, record.second, record.id)
        return ReadingExample(record.id, (row,), (self.index_of(record.label, record.id),))

    def head_loss(self, outputs, examples):
        right = torch.tensor([example.labels[0] for example in examples])
        return torch.nn.functional.cross_entropy(outputs, right, reduction="sum")

    def answers(self, outputs, examples):
        return [self.labels[i] for i in outputs.argmax(-1).tolist()]


def registered(**methods: Any) -> type[ReadingTask]:
    kind = type("Mistaken", (OwnTask,), {"__module__": __name__, **methods})
    return softprompt.task(NAME, OwnSettings, LabelledText, "label", metrics="accuracy")(kind)


def used(**methods: Any) -> tuple[Tensor, list[str]]:
    """The loss and the answers of a task with other methods."""
    registered(**methods)
    backbone = bert()
    task = build_task(backbone, OwnSettings(), labels=("no", "yes"))
    prompt = softprompt.p_tuning_v2(backbone, length=2, head=task.head)
    with backbone.prompted(prompt):
        loss = task.loss([task.encode(record) for record in RECORDS])
        answers = task.predict(RECORDS)
        task.score(RECORDS, answers, ["accuracy"])
        task.artefacts(RECORDS, answers)
    return loss, answers


def broken(self: Any, *args: Any, **options: Any) -> Any:
    return {}["column"]


def test_a_task_without_a_mistake() -> None:
    loss, answers = used(
        score=lambda self, *args: OwnTask.score(self, *args), artefacts=lambda *_: {"a": "b"}
    )
    assert loss.requires_grad and len(answers) == 2


@pytest.mark.parametrize(
    "method", ["example", "head_loss", "answers", "encode", "loss", "predict", "reference", "score"]
)
def test_an_exception_names_the_task_and_the_line(method: str) -> None:
    message = rf"task '{NAME}': got KeyError in test_own_task_mistakes\.py, line \d+ .*Mend {__name__}:Mis"
    with pytest.raises(ConfigError, match=message) as caught:
        used(**{method: broken})
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_exception_in_a_class_method() -> None:
    kind = registered(labels_for=classmethod(broken))
    with pytest.raises(ConfigError, match=f"task '{NAME}': got KeyError"):
        kind.labels_for(OwnSettings(), None, RECORDS)


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("head_loss", lambda outputs, examples: 1.0, "got a number, expected a tensor of one number"),
        ("head_loss", lambda outputs, examples: None, "got nothing, expected a tensor of one number"),
        ("head_loss", lambda outputs, examples: outputs.sum(-1), r"got shape \[2\], .* Return the sum"),
        ("head_loss", lambda outputs, examples: outputs.detach().sum(), "got a loss without a gradient"),
        ("answers", lambda outputs, examples: None, "got nothing, expected a list of answers"),
        ("answers", lambda outputs, examples: outputs.argmax(-1), "got a Tensor, expected a list of answers"),
        ("answers", lambda outputs, examples: ["no"], "got 1 answer, expected 2, one for each record"),
        ("predict", lambda records, **_: ["no"], "got 1 answer, expected 2, one for each record"),
        ("example", lambda record, form, labelled: None, "got nothing, expected a .*ReadingExample"),
        ("example", lambda record, form, labelled: ReadingExample("1", ()), "rows: got no rows, expected"),
        (
            "example",
            lambda record, form, labelled: ReadingExample("1", form.row("a", None, "1")),
            r"rows: got a Row, expected a tuple .* Write \(row,\)",
        ),
        ("encode", lambda record: record, "got a LabelledText, expected an object with id, and with length"),
        ("encode", lambda record: ReadingExample("1", (), (), n_targets=0), "got length 0, expected"),
        ("score", lambda records, outputs, metrics: 1.0, "got a number, expected a list of rows of scores"),
        ("score", lambda records, outputs, metrics: [{"accuracy": 1.0}], "expected a list of rows of scores"),
        ("artefacts", lambda records, outputs: {"a.json": {}}, "expected a mapping of names of files"),
        ("__init__", lambda backbone, settings: None, "no settings, expected .* super"),
    ],
)  # fmt: skip
def test_what_a_method_returns(method: str, returned: Any, message: str) -> None:
    of_class = {
        "__init__": lambda self, backbone, settings: returned(backbone, settings),
    }.get(method, lambda self, *args, **options: returned(*args, **options))
    with pytest.raises(ConfigError, match=f"task '{NAME}': {method}: .*{message}|{method}: {message}"):
        used(**{method: of_class})


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (lambda outputs, references: {}["column"], rf"task '{NAME}': got KeyError in test_own_task_mis"),
        (
            lambda outputs, references: None,
            rf"task '{NAME}': pairs of its OutputForm: got nothing, expected a",
        ),
    ],
)
def test_a_form_of_outputs_names_the_task(pairs: Any, message: str) -> None:
    softprompt.task(NAME, OwnSettings, LabelledText, OutputForm(pairs, lambda output, line: output))(OwnTask)
    softprompt.metric("own_of_a_test", NAME)(lambda outputs, references: 1.0)
    with pytest.raises(ConfigError, match=message):
        score(["own_of_a_test"], ["no"], ["no"], task=NAME)


def test_a_metric_where_the_task_has_none() -> None:
    softprompt.task(NAME, OwnSettings, LabelledText, "text")(OwnTask)
    recipe = {"data": {"format": "rte"}, "training": {"steps": 1}, "task": {"name": NAME}}
    recipe |= {"method": {"name": "p_tuning_v2"}, "metrics": ["accuracy"]}
    with pytest.raises(SoftpromptError, match=r"'accuracy' for task '.*', expected none, since no metric"):
        parse_run(recipe)


def test_labels_that_do_not_reach_the_class() -> None:
    def without_labels(self: Any, backbone: Any, settings: Any) -> None:
        OwnTask.__init__(self, backbone, settings)

    task = registered(__init__=without_labels)(bert(), OwnSettings())
    do = r"Give OwnSettings a setting labels, and let Mistaken\.__init__ take labels"
    with pytest.raises(DataError, match=do):
        task.index_of("no", "record 1")  # type: ignore[attr-defined]


def test_a_wrong_default_is_met_with_the_recipe() -> None:
    class WrongDefault(OwnSettings):
        max_tokens: int = "many"  # type: ignore[assignment]

    softprompt.task(NAME, WrongDefault, LabelledText, "label")(OwnTask)
    recipe = {"data": {"format": "rte"}, "training": {"steps": 1}, "task": {"name": NAME}}
    recipe |= {"method": {"name": "p_tuning_v2"}, "metrics": ["accuracy"]}
    with pytest.raises(SoftpromptError, match=r"task\.max_tokens: got 'many', expected a whole number"):
        parse_run(recipe)


def test_kinds_of_heads_are_no_text() -> None:
    class OneText(OwnSettings):
        head_kinds = "sequence"  # type: ignore[assignment]

    with pytest.raises(ConfigError, match=r"head_kinds: got a text, .* Write head_kinds = \('sequence',\)"):
        softprompt.task(NAME, OneText, LabelledText, "label")(OwnTask)
