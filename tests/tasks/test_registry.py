"""Tasks by name, and the labels that they work with."""

import pytest

from softprompt.config import (
    ClassificationSettings,
    ClozeSettings,
    GenerationSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
    parse_run,
)
from softprompt.data.records import LabelledText, TaggedWords
from softprompt.errors import ConfigError
from softprompt.tasks import TASKS, build_task, labels_of, template_of
from support.reading import bert, gpt2
from support.tiny_vision import tiny_vision

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
        ConfigError, match=r"task\.labels: got \['yes'\] in the training data, expected at least two"
    ):
        labels_of(ClassificationSettings(), None, TEXTS[:1])


def test_records_of_another_kind_are_named_before_their_labels_are_looked_for():
    with pytest.raises(ConfigError, match=r"task\.name: got 'tagging' with LabelledText records"):
        labels_of(TaggingSettings(), None, TEXTS)
    with pytest.raises(ConfigError, match=r"task\.name: got 'classification' with TaggedWords records"):
        labels_of(ClassificationSettings(labels=["a", "b"]), None, SENTENCES)


def test_every_task_of_the_settings_can_be_built():
    open_settings = {"generation": {"separator": " "}, "cloze": {"verbalizer": {"a": "the", "b": "is"}}}
    for name in TASKS:
        row = TASKS[name]
        backbone = (
            tiny_vision("vit") if row.reads_pictures else gpt2() if row.settings.takes_template else bert()
        )
        labels = ("a", "b") if {"labels", "verbalizer"} & row.settings.model_fields.keys() else ()
        task = build_task(backbone, row.settings(**open_settings.get(name, {})), labels=labels)
        assert type(task) is row.task
        with_head = bool(row.settings.head_kinds) and name != "cloze"
        assert (task.head is not None) == with_head


def run_of(task, method):
    raw = {"data": {"format": "trex"}, "training": {"steps": 1}, "task": task, "method": method}
    return parse_run(raw)


FACTS = [LabelledText("1", "France", "Paris", tags={"relation": "P36"})]
SOFT, MANUAL = "[soft] {subject} [blank]", "The capital of {subject} is [blank]"


@pytest.mark.parametrize(
    ("task", "method", "template"),
    [
        ({"template": MANUAL}, {"name": "fine_tuning"}, MANUAL),
        ({"template": "manual"}, {"name": "null_prompt"}, MANUAL),
        ({}, {"name": "p_tuning", "template": SOFT}, SOFT),
        ({"template": SOFT}, {"name": "p_tuning", "template": SOFT}, SOFT),
        ({}, {"name": "null_prompt", "template": ["subject"]}, "{subject} [blank]"),
        ({}, {"name": "fine_tuning"}, None),
    ],
)
def test_the_template_is_the_methods_or_the_tasks(task, method, template):
    assert template_of(run_of({"name": "probing", **task}, method), FACTS, causal=True) == template


@pytest.mark.parametrize(
    ("task", "method", "message"),
    [
        ({"template": MANUAL}, {"name": "p_tuning", "template": SOFT}, "Leave one out"),
        ({"template": "manual"}, {"name": "p_tuning", "template": SOFT}, "Leave one out"),
        ({}, {"name": "p_tuning", "template": 3}, "3, a count of slots, expected a template"),
    ],
)
def test_two_templates_or_none_are_refused(task, method, message):
    with pytest.raises(ConfigError, match=message):
        template_of(run_of({"name": "probing", **task}, method), FACTS, causal=True)


def test_one_manual_pattern_needs_one_relation():
    other = LabelledText("2", "Turing", "logic", tags={"relation": "P101"})
    with pytest.raises(ConfigError, match="'manual' for records of 2 relations"):
        template_of(
            run_of({"name": "probing", "template": "manual"}, {"name": "fine_tuning"}),
            [*FACTS, other],
            causal=True,
        )


def test_labels_of_words_follow_the_verbalizer():
    words = {"yes": "Yes", "no": "No"}
    assert labels_of(ClozeSettings(verbalizer=words), ("no", "yes"), TEXTS) == ("yes", "no")
    assert labels_of(ClozeSettings(verbalizer="null"), ("no", "yes"), TEXTS) == ("no", "yes")
    assert labels_of(ClozeSettings(verbalizer="null"), None, TEXTS) == ("no", "yes")
