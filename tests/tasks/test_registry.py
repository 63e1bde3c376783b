"""Tasks by name, and the labels that they work with."""

import pytest

from softprompt.config import (
    ClassificationSettings,
    ClozeSettings,
    GenerationSettings,
    ProbingSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
)
from softprompt.config.tasks import TASKS
from softprompt.data.records import LabelledText, TaggedWords
from softprompt.errors import ConfigError
from softprompt.tasks.cloze import ClozeTask
from softprompt.tasks.probing import ProbingTask
from softprompt.tasks.registry import build_task, labels_of, reading_tasks
from support.reading import bert, gpt2

TEXTS = [LabelledText("1", "a", "yes"), LabelledText("2", "b", "no"), LabelledText("3", "c", "yes")]
SENTENCES = [
    TaggedWords("1", ("a", "b"), ("B-y", "O")),
    TaggedWords("2", ("a", "b"), ("B-x", "I-x")),
]


def test_labels_are_the_settings_then_the_formats_then_the_datas():
    assert labels_of(ClassificationSettings(labels=["b", "a"]), ("c", "d"), TEXTS) == ("b", "a")
    assert labels_of(ClassificationSettings(), ("yes", "no", "maybe"), TEXTS) == ("yes", "no", "maybe")
    assert labels_of(ClassificationSettings(), None, TEXTS) == ("no", "yes")
    assert labels_of(TaggingSettings(), None, SENTENCES) == ("O", "B-x", "B-y", "I-x")
    assert labels_of(TaggingSettings(labels=["O", "B-z"]), None, SENTENCES) == ("O", "B-z")
    assert labels_of(RegressionSettings(), None, TEXTS) == labels_of(SpanSettings(), None, []) == ()
    assert labels_of(GenerationSettings(), None, []) == ()


def test_one_label_is_none():
    with pytest.raises(
        ConfigError, match=r"task\.labels: got \['yes'\] in the training data; expected at least two"
    ):
        labels_of(ClassificationSettings(), None, TEXTS[:1])


def test_records_of_another_kind_are_named_before_their_labels_are_looked_for():
    with pytest.raises(ConfigError, match=r"task\.name: got 'tagging' with LabelledText records"):
        labels_of(TaggingSettings(), None, TEXTS)
    with pytest.raises(ConfigError, match=r"task\.name: got 'classification' with TaggedWords records"):
        labels_of(ClassificationSettings(labels=["a", "b"]), None, SENTENCES)


def test_every_task_of_the_settings_can_be_built():
    assert {"generation", "cloze", "probing", *reading_tasks()} == set(TASKS)
    for name, kind in reading_tasks().items():
        task = build_task(bert(), TASKS[name](), labels=("a", "b"))
        assert type(task) is kind
    assert build_task(gpt2(), GenerationSettings(separator=" ")).head is None
    words = ClozeSettings(verbalizer={"a": "the", "b": "is"})
    assert type(build_task(gpt2(), words, labels=("a", "b"))) is ClozeTask
    assert type(build_task(gpt2(), ProbingSettings())) is ProbingTask
