"""Functions of other packages that do not fit: a sentence when they are registered, nothing wrong later."""

from typing import Literal

import pytest
import torch

import softprompt
from softprompt.config import ClassificationSettings, parse_run
from softprompt.data import FORMATS, Choices, LabelledText, Record, read
from softprompt.errors import ConfigError, DataError, PromptError
from softprompt.metrics import higher_is_better
from softprompt.prompts import METHODS, build_prompt, n_examples
from softprompt.tasks import TASKS, ReadingTask, Task
from softprompt.tasks.headed import ClassificationTask, ImageClassificationTask
from softprompt.training.setup.before_loading import check_before_loading
from support.processes import running
from support.tiny import tiny_backbone


def test_no_metric_takes_the_name_of_the_loss():
    for name in ("loss", "development"):
        with pytest.raises(ConfigError, match="a name that means the loss"):
            softprompt.metric(name, ["classification"])(lambda outputs, references: 1.0)
        assert not higher_is_better(name)


@pytest.mark.parametrize("argument", ["name", "self", "model_config", "model_dump", "copy", "json", "_x"])
def test_no_argument_takes_a_name_of_the_settings(argument):
    there: dict[str, object] = {}
    exec(f"def own(backbone, {argument}: int = 1): pass", there)
    with pytest.raises(ConfigError, match=rf"the argument '{argument}'.*Rename {argument}"):
        softprompt.method("own_of_a_test")(there["own"])  # type: ignore[arg-type]
    assert "own_of_a_test" not in METHODS


def test_a_default_that_is_no_value_is_met_before_training():
    @softprompt.method("wrong_default_of_a_test")
    def own(backbone, k: Literal["a", "b"] = "c") -> softprompt.Prompt:  # type: ignore[assignment]
        raise AssertionError

    recipe = {
        "data": {"format": "e2e"}, "training": {"steps": 1}, "method": {"name": "wrong_default_of_a_test"},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"method\.k: got 'c', expected one of 'a' or 'b'"):
        parse_run(recipe)
    assert parse_run({**recipe, "method": {"name": "wrong_default_of_a_test", "k": "b"}}).method.k == "b"


def made(backbone, head=None, dtype=torch.float32) -> softprompt.Prompt:
    builder = softprompt.PromptBuilder("own_of_a_test", backbone, head)
    return builder.with_vectors(builder.key_values(), "random", 2, positions="shifted").to(dtype)


def test_a_setting_of_another_type_than_softprompts_own():
    @softprompt.method("starts_of_a_test")
    def own(backbone, *, initialization: list[str] = ["zero"]) -> softprompt.Prompt:  # noqa: B006
        return made(backbone)

    settings = METHODS["starts_of_a_test"].settings.model_validate({"initialization": ["zero", "random"]})
    assert n_examples(settings) == 0
    assert build_prompt(tiny_backbone("llama"), settings, seed=0).length == 2


def test_a_method_that_forgets_the_head():
    @softprompt.method("headless_of_a_test")
    def own(backbone, head=None) -> softprompt.Prompt:
        return made(backbone)

    settings, head = METHODS["headless_of_a_test"].settings(), softprompt.head("sequence", ["a", "b"])
    with pytest.raises(PromptError, match="method 'headless_of_a_test': got a prompt without the head"):
        build_prompt(tiny_backbone("llama"), settings, seed=0, head=head)


def test_a_method_whose_prompt_is_in_half_precision():
    @softprompt.method("half_of_a_test")
    def own(backbone) -> softprompt.Prompt:
        return made(backbone, dtype=torch.float16)

    with pytest.raises(
        PromptError, match=r"method 'half_of_a_test': got \S+ in float16, expected .* float32"
    ):
        own(tiny_backbone("llama"))


def test_examples_for_a_method_that_takes_none():
    @softprompt.method("without_examples_of_a_test")
    def own(backbone, *, initialization: str = "zero") -> softprompt.Prompt:
        return made(backbone)

    recipe = {
        "data": {"format": "restaurants"}, "training": {"steps": 1},
        "method": {"name": "without_examples_of_a_test", "initialization": "examples:2"},
    }  # fmt: skip
    with pytest.raises(
        ConfigError, match="got 'examples:2' for 'without_examples_of_a_test', expected a met"
    ):
        check_before_loading(parse_run(recipe))


@pytest.mark.parametrize("argument", ["(", 3])
def test_an_argument_is_a_regular_expression(argument):
    with pytest.raises(
        ConfigError, match=r"initialization 'own_of_a_test': argument: got .*expected a regul"
    ):
        softprompt.initialization("own_of_a_test", argument)


@pytest.mark.parametrize("source", ["def own(request): pass", "def own(request, *, text): pass"])
def test_an_initialization_takes_a_request_and_a_text(source):
    there: dict[str, object] = {}
    exec(source, there)
    with pytest.raises(ConfigError, match="a StartRequest, the text behind the colon"):
        softprompt.initialization("flat_of_a_test")(there["own"])  # type: ignore[arg-type]


def test_vectors_are_no_initialization():
    backbone = tiny_backbone("llama")
    with pytest.raises(PromptError, match="got a Tensor, expected a text or a Prompt"):
        softprompt.prefix_tuning(backbone, length=2, initialization=torch.zeros(2, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("1", "a", "b"), r"x: Record '1': targets: got a text, expected .* Write \(targets,\)"),  # type: ignore[arg-type]
        (Record("1", "a", None), "targets: got nothing, expected a tuple of texts"),  # type: ignore[arg-type]
        (Record("1", "a", ("b",), {"seen": True}), "tags: got {'seen': True}, expected a mapping of texts"),  # type: ignore[dict-item]
        (LabelledText("1", "a", 1), "label: got a number, expected a text, or None"),  # type: ignore[arg-type]
        (LabelledText("1", None), "text: got nothing, expected a text"),  # type: ignore[arg-type]
        (Choices("1", "a", ("b", "c"), "b"), "label: got a text, expected an index, or None"),  # type: ignore[arg-type]
        (Choices("1", "a", ("b", 1)), r"choices: got \('b', 1\), expected a tuple of texts"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_reader_whose_records_hold_other_types(tmp_path, record, message):
    softprompt.data_format("types_of_a_test", type(record), "a file")(lambda path: [record])
    (tmp_path / "x").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read("types_of_a_test", tmp_path / "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "good"}, "data_format 'texts_of_a_test': labels: got 'good', expected a list of texts"),
        ({"labels": [0, 1]}, r"labels: got \[0, 1\], expected a list of texts"),
        ({"fields": "review"}, "fields: got 'review', expected a list of texts"),
        ({"content": None}, "content: got nothing, expected a text"),
    ],
)
def test_a_data_format_of_other_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        softprompt.data_format("texts_of_a_test", LabelledText, **{"content": "a file", **arguments})(
            lambda path: []
        )
    assert "texts_of_a_test" not in FORMATS


def test_a_reader_that_returns_nothing(tmp_path):
    @softprompt.data_format("nothing_of_a_test", LabelledText, "a file")
    def own(path):
        return None

    (tmp_path / "x").write_text("x", encoding="utf-8")
    assert "nothing_of_a_test" in FORMATS
    with pytest.raises(DataError, match="nothing from the reader of nothing_of_a_test"):
        read("nothing_of_a_test", tmp_path / "x")


class HeadlessSettings(softprompt.TaskSettings):
    name: Literal["own_of_a_test"] = "own_of_a_test"


class OtherHeadSettings(HeadlessSettings):
    head_kinds = ("sequnce",)


class WithoutLengthSettings(HeadlessSettings):
    head_kinds = ("sequence",)


class OwnSettings(WithoutLengthSettings):
    max_tokens: int = 8


class OwnTask(ClassificationTask):
    """A task that is made from a backbone and its settings."""


def of_a_test(
    kind=OwnTask, name="own_of_a_test", settings=OwnSettings, record=LabelledText, outputs="label", **more
):
    return softprompt.task(name, settings, record, outputs, **more)(kind)


class WithoutLoss(ReadingTask):
    example = ClassificationTask.example
    answers = ClassificationTask.answers


class OtherArguments(OwnTask):
    def __init__(self, backbone, settings, size):
        super().__init__(backbone, settings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": lambda backbone, settings: None}, "got a function, which is no class"),
        ({"kind": dict}, "got the class dict, expected a class derived from softprompt.tasks.Task"),
        ({"kind": WithoutLoss}, "got the class WithoutLoss without head_loss, expected a class"),
        ({"kind": Task}, "without check_positions, encode, loss and predict"),
        ({"kind": OtherArguments}, r"got a class of \(backbone, settings, size\), expected one"),
        ({"settings": dict}, "got the settings dict, expected a class derived from softprompt.TaskSettings"),
        ({"settings": HeadlessSettings}, "got no kind of head, expected some of sequence, token"),
        ({"settings": OtherHeadSettings}, "got the kind of head 'sequnce', expected some of sequence"),
        ({"settings": WithoutLengthSettings}, "got settings without max_tokens"),
        ({"kind": ImageClassificationTask}, "got the group 'tasks with heads', whose examples are"),
        ({"settings": ClassificationSettings}, "got settings whose name is 'classification'"),
        ({"record": str}, "got records of str, expected some of Record, PicturedText, LabelledText, "),
        ({"record": ()}, "got records of None"),
        ({"outputs": "labell"}, "got outputs 'labell', expected one of 'text', .* Did you mean 'label'"),
        ({"metrics": ["rmse"]}, "got the metric 'rmse', expected some of accuracy, f1, "),
        ({"metrics": ["acuracy"]}, "Did you mean 'accuracy'"),
        ({"name": "other"}, "got settings whose name is 'own_of_a_test', expected 'other'"),
        ({"name": "classification", "settings": ClassificationSettings}, "got a second task of this name"),
    ],
)  # fmt: skip
def test_a_class_that_is_no_task(changed, message):
    with pytest.raises(ConfigError, match=message):
        of_a_test(**changed)
    assert "own_of_a_test" not in TASKS


def test_a_task_is_registered_twice_by_one_class_alone():
    assert of_a_test() is of_a_test() is OwnTask

    class OwnTask2(OwnTask):
        pass

    with pytest.raises(ConfigError, match="got a second task of this name"):
        of_a_test(OwnTask2)


@pytest.mark.parametrize(
    "module",
    ["prompts.methods.builder", "prompts.initializations", "prompts.loading", "prompts.methods.registry"],
)
def test_rooms_of_methods_can_be_imported_in_any_order(module):
    with running(f"import softprompt.{module}") as process:
        assert process.ended() == 0, process.errors[-500:]
