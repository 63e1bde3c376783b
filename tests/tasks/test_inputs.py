"""Rows: each tokenizer's own form, cutting, words and their tokens."""

import pytest

from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks.inputs import RowForm, collate
from support.reading import BACKBONES, bert, gpt2

A, B = "the mill is cheap", "Blue Spice serves food"


@pytest.mark.parametrize("family", list(BACKBONES))
def test_a_single_text_is_what_the_tokenizer_makes_of_it(family):
    backbone = BACKBONES[family]()
    row = RowForm(backbone, 50).row(A, None, "here")
    assert list(row.ids) == backbone.tokenizer(A)["input_ids"]
    assert set(row.segments) == ({0} if family == "bert" else set())


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_a_pair_has_the_tokenizers_own_form_and_its_token_types(family):
    backbone = BACKBONES[family]()
    form = RowForm(backbone, 90)
    row, expected = form.row(A, B, "here"), backbone.tokenizer(A, B)
    assert form.pairs_itself
    assert list(row.ids) == expected["input_ids"]
    assert list(row.segments) == expected.get("token_type_ids", [])
    assert family != "bert" or set(row.segments) == {0, 1}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_decoders_join_a_pair_by_the_separator(family):
    backbone = BACKBONES[family]()
    form = RowForm(backbone, 90, " => ")
    assert not form.pairs_itself
    assert list(form.row(A, B, "here").ids) == backbone.tokenizer(A)["input_ids"] + backbone.token_ids(
        " => " + B
    )
    assert form.pair.between == tuple(backbone.token_ids(" => "))


def test_what_stands_around_a_text():
    frames = {family: RowForm(build(), 9).single for family, build in BACKBONES.items()}
    around = {family: (frame.before, frame.after) for family, frame in frames.items()}
    assert around == {"bert": ((2,), (3,)), "gpt2": ((), ()), "llama": ((1,), ()), "t5": ((), (2,))}


@pytest.mark.parametrize("family", list(BACKBONES))
@pytest.mark.parametrize("longest", [8, 13, 20])
def test_the_longer_text_is_cut_first_and_at_its_end(family, longest):
    backbone = BACKBONES[family]()
    form = RowForm(backbone, longest, "\n")
    short, long = "is it", "the blue mill in the city is cheap and it serves food"
    first, second = backbone.token_ids(short), backbone.token_ids(long)
    whole, turned = form.row(short, long, ""), form.row(long, short, "")
    assert len(whole.ids) == len(turned.ids) == longest
    rest = list(second if form.pairs_itself else form.pair.between + tuple(second))
    kept = longest - len(form.pair.before + form.pair.after)
    if form.pairs_itself:
        kept -= len(form.pair.between)
    n_first = max(min(len(first), kept // 2), kept - len(rest))
    inside = list(whole.ids[len(form.pair.before) :])
    assert inside[:n_first] == first[:n_first]
    tail = whole.ids[len(whole.ids) - len(form.pair.after) - (kept - n_first) :]
    assert list(tail[: kept - n_first]) == rest[: kept - n_first]
    assert not whole.segments or len(whole.segments) == longest


def test_cut_texts_count_once_however_often_they_are_read():
    form = RowForm(bert(), 6)
    for _ in range(3):
        form.row(A + A, None, "")
        form.row(A, B, "")
        form.row("is", None, "")
        form.tokens(A, 2)
    assert form.n_cut == 3


def test_a_text_is_tokenised_once(monkeypatch):
    for backbone, calls in ((bert(), 2), (gpt2(), 2)):
        form = RowForm(backbone, 8)
        form.row("a", "a", "")
        counted = []
        kind = type(backbone.tokenizer)
        call = kind.__call__

        def counting(self, text, call=call, counted=counted, **options):
            counted.append(text)
            return call(self, text, **options)

        with monkeypatch.context() as patched:
            patched.setattr(kind, "__call__", counting)
            form.row(A, B, "")
        assert (len(counted), form.n_cut) == (calls, 1)


def test_texts_without_tokens_are_refused_by_name():
    form = RowForm(bert(), 20)
    for first, second, message in (
        ("", None, r"record 7: got a text without tokens \(''\), expected a text that leaves tokens"),
        ("\u200b", "a", r"got a text without tokens"),
        ("a", "\u200b", r"got a second text without tokens"),
    ):
        with pytest.raises(DataError, match=message):
            form.row(first, second, "record 7")
    with pytest.raises(DataError, match="a second text without tokens"):
        RowForm(gpt2(), 20).row("a", "", "record 7")


def test_too_little_room_is_refused():
    with pytest.raises(ConfigError, match=r"task\.max_tokens: got 4, of which 3 .* expected at least 5"):
        RowForm(bert(), 4).row("a", "a", "")
    with pytest.raises(ConfigError, match=r"expected at least 3\. Raise it"):
        RowForm(bert(), 2).row("a", None, "")
    assert len(RowForm(bert(), 5).row(A, B, "").ids) == 5


def test_batches_are_padded_on_the_right_with_token_types_where_there_are_any():
    form = RowForm(bert(), 50)
    inputs = collate(bert(), [form.row(A, B, ""), form.row("a", None, "")])
    assert inputs["attention_mask"].sum(1).tolist() == [inputs["input_ids"].shape[1], 3]
    assert inputs["token_type_ids"][0].max() == 1 and not inputs["token_type_ids"][1].any()
    assert "token_type_ids" not in collate(gpt2(), [RowForm(gpt2(), 50).row(A, B, "")])


def test_a_model_without_a_table_of_token_types_gets_none(monkeypatch):
    # GPT-2 would look them up among its words.
    monkeypatch.setattr(
        gpt2().tokenizer, "model_input_names", ["input_ids", "token_type_ids", "attention_mask"]
    )
    assert RowForm(gpt2(), 50).row(A, B, "").segments == ()


@pytest.mark.parametrize("family", list(BACKBONES))
def test_every_token_belongs_to_the_word_that_it_spells(family):
    backbone = BACKBONES[family]()
    words = ["Blue", "mills,", "2017", "zebra-like", "café", "x"]
    ids, owners = RowForm(backbone, 90).words(words, "here", unknown=True)
    assert ids == backbone.token_ids(" ".join(words))
    assert owners == sorted(owners) and set(owners) == set(range(len(words)))
    for i, word in enumerate(words):
        mine = [token for token, owner in zip(ids, owners, strict=True) if owner == i]
        text = str(backbone.tokenizer.decode(mine)).replace(" ", "")
        if backbone.tokenizer.unk_token_id not in mine:
            expected = word.lower().replace("é", "e") if family == "bert" else word
            assert text == expected
    # A word's first token shows something of it, and is no space alone.
    firsts = [owners.index(i) for i in range(len(words))]
    assert all(str(backbone.tokenizer.decode([ids[first]])).strip() for first in firsts)


def test_words_that_vanish_are_refused_or_stood_in_for():
    form, words = RowForm(bert(), 50), ["the", "\u200b", "mill", "\u200b\u200b"]
    with pytest.raises(DataError) as caught:
        form.words(words, "record 3")
    assert str(caught.value) == (
        "record 3: got the word '\\u200b' (number 2), of which the tokenizer leaves "
        "nothing, expected words that have tokens. Remove it with its tag, or let an "
        "unknown token stand for it with task.vanished=unknown."
    )
    ids, owners = form.words(words, "record 3", unknown=True)
    the, mill = bert().token_ids("the"), bert().token_ids("mill")
    assert ids == [*the, 1, *mill, 1]
    assert owners == [0] * len(the) + [1] + [2] * len(mill) + [3]


def test_words_need_a_tokenizer_with_offsets(monkeypatch):
    monkeypatch.setattr(type(bert().tokenizer), "is_fast", False)
    with pytest.raises(BackboneError, match="got a tokenizer without offsets, expected a fast tokenizer"):
        RowForm(bert(), 50).words(["a"], "")
