"""A tag for every word, whatever the tokenizer and the windows do."""

import pytest
import torch

from softprompt.data.records import TaggedWords
from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks.examples import IGNORED
from softprompt.tasks.headed.tagging import word_windows
from softprompt.tasks.inputs import RowForm
from support.prompts import close
from support.reading import BACKBONES, bert, gpt2, head_of, prompt_of, task_of

TAGS = ("O", "B-x", "I-x", "B-y", "I-y")
WORDS = ("the", "Blue", "Spice,", "restaurantrestaurantrestaurant", "2017", "is", "cheap", "food", "x", "in")


def sentence(n, name="s"):
    words = (WORDS * 3)[:n]
    return TaggedWords(name, words, tuple(TAGS[i % 5] for i in range(n)))


@pytest.mark.parametrize("family", list(BACKBONES))
@pytest.mark.parametrize("longest", [4, 7, 12, 128])
def test_every_word_has_one_label_on_its_own_first_token(family, longest):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "tagging", TAGS, max_tokens=longest)
    record = sentence(23)
    example = task.encode(record)
    form = RowForm(backbone, longest)
    ids, owners = form.words(record.words, "")
    assert example.n_targets == 23 == len(example.facts)
    assert all(len(row.ids) <= longest for row in example.rows)
    assert (example.n_rows > 1) == (longest < 128)
    labels = [label for row in example.labels for label in row if label != IGNORED]
    assert labels == [TAGS.index(tag) for tag in record.labels]
    for i, (row, place) in enumerate(example.facts):
        assert example.labels[row][place] == TAGS.index(record.labels[i])
        assert example.rows[row].ids[place] == ids[owners.index(i)]
    # Side by side, no word read twice.
    n_special = form.single.n_special
    n_read = sum(len(row.ids) - n_special for row in example.rows)
    assert n_read == len(ids) or (longest < 31 and n_read < len(ids))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_answers_have_the_sentences_own_lengths_and_order(family):
    backbone = BACKBONES[family]()
    records = [sentence(n, str(n)) for n in (1, 23, 4, 9, 2)]
    for longest in (6, 128):
        task = task_of(backbone, "tagging", TAGS, max_tokens=longest)
        with backbone.prompted(prompt_of(backbone, task)):
            answers = task.predict(records)
            assert answers == [task.predict([record])[0] for record in records]
        assert [len(answer) for answer in answers] == [1, 23, 4, 9, 2]
        assert {tag for answer in answers for tag in answer} <= set(TAGS)
        assert len({tag for answer in answers for tag in answer}) > 1


def test_loss_is_taken_on_first_tokens_of_words_by_hand():
    task = task_of(bert(), "tagging", TAGS, max_tokens=9)
    prompt = prompt_of(bert(), task)
    records = [sentence(6, "a"), sentence(3, "b")]
    examples = [task.encode(record) for record in records]
    total = torch.zeros(())
    with torch.no_grad(), bert().prompted(prompt):
        loss = task.loss(examples)
        for record, example in zip(records, examples, strict=True):
            logits = [
                head_of(prompt)(
                    bert().read({"input_ids": torch.tensor([row.ids])}), torch.ones(1, len(row.ids))
                )
                for row in example.rows
            ]
            for tag, (row, place) in zip(record.labels, example.facts, strict=True):
                total = total - logits[row][0, place].log_softmax(-1)[TAGS.index(tag)]
    close(loss, total)


def test_windows_hold_whole_words_and_the_start_of_words_that_are_longer():
    # Words of 1, 2, 5, 1, 1 tokens.
    owners = [0, 1, 1, 2, 2, 2, 2, 2, 3, 4]
    assert word_windows(owners, 10) == [(0, 10)]
    assert word_windows(owners, 3) == [(0, 3), (3, 6), (8, 10)]
    assert word_windows(owners, 5) == [(0, 3), (3, 8), (8, 10)]
    assert word_windows(owners, 1) == [(0, 1), (1, 2), (3, 4), (8, 9), (9, 10)]
    for room in range(1, 11):
        windows = word_windows(owners, room)
        starts = {owners.index(word) for word in range(5)}
        assert all(end - start <= room and start in starts for start, end in windows)
        assert starts == {i for start, end in windows for i in range(start, end) if i in starts}


def test_vanished_words_are_refused_or_tagged_too():
    record = TaggedWords("5", ("the", "\u200b", "mill"), ("O", "B-x", "O"))
    task = task_of(bert(), "tagging", TAGS)
    with pytest.raises(
        DataError, match=r"record 5: got the word .* \(number 2\), of which the tokenizer leaves"
    ):
        task.check([record])
    unknown = task_of(bert(), "tagging", TAGS, vanished="unknown")
    unknown.check([record])
    example = unknown.encode(record)
    row, place = example.facts[1]
    assert example.rows[row].ids[place] == bert().tokenizer.unk_token_id
    with bert().prompted(prompt_of(bert(), unknown)):
        (answer,) = unknown.predict([record])
    assert len(answer) == 3


def test_without_an_unknown_token_nothing_stands_in(monkeypatch):
    task = task_of(gpt2(), "tagging", TAGS, vanished="unknown")
    monkeypatch.setattr(RowForm, "characters", lambda self, text: ([5, 6], [(0, 3), (6, 10)]))
    with pytest.raises(DataError, match=r"Remove it with its tag \(the tokenizer has no unknown token\)"):
        task.encode(TaggedWords("5", ("the", "x", "mill"), ("O", "O", "O")))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            TaggedWords("6", ("a", "b"), ("O", "B-z")),
            r"record 6, word 2: got the label 'B-z', expected one of",
        ),
        (TaggedWords("6", ("a", "b"), ("O",)), r"record 6: got 1 tag for 2 words, expected one tag for"),
        (TaggedWords("6", ("a", "b")), r"record 6: got 0 tags for 2 words"),
        (TaggedWords("6", ()), r"record 6: got a sentence without words"),
    ],
)
def test_tags_that_do_not_fit_are_refused(record, message):
    with pytest.raises(DataError, match=message):
        task_of(bert(), "tagging", TAGS).check([sentence(3), record])


def test_too_little_room_and_slow_tokenizers_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"task\.max_tokens: got 2, of which 2 are special tokens"):
        task_of(bert(), "tagging", TAGS, max_tokens=2).check([sentence(3)])
    monkeypatch.setattr(type(bert().tokenizer), "is_fast", False)
    with pytest.raises(BackboneError, match="a fast tokenizer"):
        task_of(bert(), "tagging", TAGS).check([sentence(3)])


def test_scores_are_of_whole_entities():
    task = task_of(bert(), "tagging", TAGS)
    records = [TaggedWords("1", ("a", "b", "c"), ("B-x", "I-x", "O")), TaggedWords("2", ("a",), ("B-y",))]
    row, *types = task.score(records, [["B-x", "I-x", "O"], ["O"]], ["entity_f1", "entity_recall"])
    assert row["group"] == "all"
    assert [(row["group"], row["values"]["entity_recall"]) for row in types] == [
        ("type x", 100.0),
        ("type y", 0.0),
    ]
    assert row["values"] == pytest.approx({"entity_f1": 200 / 3, "entity_recall": 50.0})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["马", "云", "在", "CBD", "。"], "scripts"),
        (["马", "云", "在", "C", "B", "D", "。"], "letters"),
        (["马", "云", "在", "。"], "characters"),
        (["阿里巴巴", "在", "杭州"], "spaces"),
        (["the", "mill"], None),
    ],
)
def test_a_run_keeps_what_words_without_spaces_were(words, expected):
    task = task_of(bert(), "tagging", TAGS)
    task.settle([TaggedWords("1", tuple(words), ("O",) * len(words))])
    assert task.resolved.get("words") == expected
    asked = task_of(bert(), "tagging", TAGS, words="spaces")
    asked.settle([TaggedWords("1", tuple(words), ("O",) * len(words))])
    assert asked.resolved == {}
