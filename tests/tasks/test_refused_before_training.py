"""Bad data stops a run before anything is trained, and nothing is written but the lock beside its folder."""

import json

import pytest

from softprompt.config import parse_run
from softprompt.errors import ConfigError, DataError, PromptError
from softprompt.training import loop
from softprompt.training.run import train
from support.folders import assert_a_lock_alone
from support.reading import bert
from support.tasks import KINDS


def settings_of(kind, folder, **changes):
    """A run's settings with good files; `changes` are put over those of the same name."""
    data = dict(KINDS[kind]["data"])
    for split, n in (("train", 6), ("dev", 4), ("test", 4)):
        data[split] = str(folder / f"{split}.txt")
        (folder / f"{split}.txt").write_text(KINDS[kind]["make"](n), encoding="utf-8")
    raw = {
        "output": str(folder / "runs"), "backbone": {"device": "cpu"},
        "method": {"name": "p_tuning_v2", "length": 3}, "data": data, "task": KINDS[kind]["task"],
        "training": {"steps": 1},
    }  # fmt: skip
    for name, change in changes.items():
        raw[name] = {**raw[name], **change}
    return parse_run(raw)


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Runs what must be refused; gives the message."""

    def no_training(self):
        raise AssertionError("trained")

    monkeypatch.setattr(loop.Loop, "run", no_training)

    def attempt(settings, error):
        with pytest.raises(error) as caught:
            train(settings, backbone=bert())
        assert_a_lock_alone(tmp_path / "runs", settings.folder.name)
        return str(caught.value)

    return attempt


def add(path, text):
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_label_outside_the_declared_set(tmp_path, refused, split):
    settings = settings_of("single", tmp_path, task={"labels": ["no", "yes"]})
    add(tmp_path / f"{split}.txt", json.dumps({"text": "the mill", "label": "maybe"}) + "\n")
    line = {"train": 7}.get(split, 5)
    more = "" if split == "train" else ", or train on records that have them"
    assert refused(settings, DataError) == (
        f"data.{split}: got labels that the task does not have: 'maybe' (1), "
        f"first in record {split}.txt:{line}, expected some of 'no', 'yes'. "
        f"Correct them, or list them in task.labels{more}."
    )


def test_a_label_that_only_the_test_set_has(tmp_path, refused):
    settings = settings_of("single", tmp_path)
    add(tmp_path / "test.txt", json.dumps({"text": "the mill", "label": "maybe"}) + "\n")
    message = refused(settings, DataError)
    assert "'maybe' (1), first in record test.txt:5, expected some of 'no', 'yes'" in message


def test_labels_that_are_missing(tmp_path, refused):
    assert "got no label" in refused(
        settings_of("single", tmp_path, data={"label": None}, task={"labels": ["no", "yes"]}), DataError
    )
    message = refused(settings_of("single", tmp_path, data={"label": None}), ConfigError)
    assert message.startswith("task.labels: got [] in the training data")


def test_a_label_twice(tmp_path, refused):
    settings = settings_of("single", tmp_path, task={"labels": ["no", "yes", "no"]})
    assert "head.labels: got ['no', 'yes', 'no'], expected at least two labels, each once" in refused(
        settings, PromptError
    )


def test_records_of_another_kind(tmp_path, refused):
    for kind, task in (("single", {"name": "tagging"}), ("tagging", {"name": "classification"}),
                       ("single", {"name": "choice"}), ("choice", {"name": "spans"}),
                       ("spans", {"name": "regression"})):  # fmt: skip
        settings = settings_of(kind, tmp_path)
        other = parse_run({**settings.model_dump(mode="json"), "task": task, "metrics": None})
        assert f"task.name: got '{task['name']}' with " in refused(other, ConfigError)


def test_a_text_without_tokens(tmp_path, refused):
    settings = settings_of("single", tmp_path)
    add(tmp_path / "dev.txt", json.dumps({"text": "\u200b", "label": "no"}) + "\n")
    assert "record dev.txt:5: got a text without tokens ('\\u200b')" in refused(settings, DataError)


def test_a_tag_that_no_training_sentence_has(tmp_path, refused):
    settings = settings_of("tagging", tmp_path)
    add(tmp_path / "test.txt", "the\tO\nmill\tB-z\n")
    message = refused(settings, DataError)
    assert "'B-z' (1), first in record test.txt:19, expected some of 'O', 'B-x', 'B-y', 'I-x'" in message


def test_tags_that_break_bio(tmp_path, refused):
    settings = settings_of("tagging", tmp_path)
    add(tmp_path / "train.txt", "the\tB-y\nmill\tI-x\n")
    assert "the tag I-x after B-y" in refused(settings, DataError)


def test_a_word_that_vanishes(tmp_path, refused):
    settings = settings_of("tagging", tmp_path)
    add(tmp_path / "train.txt", "the\tO\n\u200b\tB-x\n")
    assert "got the word '\\u200b' (number 2), of which the tokenizer leaves nothing" in refused(
        settings, DataError
    )


def test_an_answer_that_is_not_in_its_context(tmp_path, refused):
    settings = settings_of("spans", tmp_path)
    path = tmp_path / "train.txt"
    squad = json.loads(path.read_text(encoding="utf-8"))
    squad["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
    path.write_text(json.dumps(squad), encoding="utf-8")
    assert "where the context has" in refused(settings, DataError)


def test_a_question_without_answer_where_all_have_one(tmp_path, refused):
    settings = settings_of("spans", tmp_path, task={"unanswerable": False})
    assert "got a question without an answer" in refused(settings, DataError)


def test_a_number_that_is_none(tmp_path, refused):
    settings = settings_of("regression", tmp_path)
    add(tmp_path / "train.txt", json.dumps({"text": "a", "label": "high"}) + "\n")
    assert "record train.txt:7: got the label 'high', expected a finite number" in refused(
        settings, DataError
    )


def test_texts_and_prompt_longer_than_the_backbone(tmp_path, refused):
    settings = settings_of("single", tmp_path)
    add(tmp_path / "train.txt", json.dumps({"text": "mill " * 200, "label": "no"}) + "\n")
    assert "got 3 prompt positions and 128 tokens, expected at most 128 positions" in refused(
        settings, ConfigError
    )


def test_no_layers(tmp_path, refused):
    assert "got 'last:0'" in refused(
        settings_of("single", tmp_path, method={"layers": "last:0"}), PromptError
    )
