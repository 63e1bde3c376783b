import pytest

from softprompt.errors import ConfigError
from softprompt.text import allowed_ids, word_ids


def test_a_spaced_word_is_the_word_inside_a_sentence(any_kind):
    ids = any_kind("film great", add_special_tokens=False)["input_ids"]
    first = any_kind("film", add_special_tokens=False)["input_ids"]
    assert word_ids(any_kind, "great", spaced=True) == tuple(ids[len(first) :])


def test_an_unspaced_word_is_the_word_behind_a_quote(any_kind):
    ids = any_kind('"great', add_special_tokens=False)["input_ids"]
    first = any_kind('"', add_special_tokens=False)["input_ids"]
    assert word_ids(any_kind, "great", spaced=False) == tuple(ids[len(first) :])


def test_a_space_makes_no_difference_to_wordpiece(bert, roberta, albert):
    assert word_ids(bert, "great", spaced=True) == word_ids(bert, "great", spaced=False)
    for tokenizer in (roberta, albert):
        assert word_ids(tokenizer, "great", spaced=True) != word_ids(tokenizer, "great", spaced=False)


@pytest.mark.parametrize("word", ["", " ", " great", "great\n"])
def test_white_space_around_a_word(gpt, word):
    with pytest.raises(
        ConfigError, match=r"task\.word: got .*, expected a word without white space around it"
    ):
        word_ids(gpt, word, spaced=True, where="task.word")


def test_allowed_words_and_those_dropped(gpt, bert):
    words = ["Paris", "France", "Ouagadougou", "Paris", "Yes", "Nuku'alofa", "Ouagadougou"]
    ids, dropped = allowed_ids(gpt, words, spaced=True)
    assert ids == tuple(sorted(word_ids(gpt, word, spaced=True)[0] for word in ("Paris", "France", "Yes")))
    assert dropped == ("Ouagadougou", "Nuku'alofa")
    allowed = allowed_ids(bert, ["Yes", "yes", "北", "[MASK]"], spaced=True)
    assert allowed.ids == word_ids(bert, "yes", spaced=True) and allowed.dropped == ("北", "[MASK]")


def test_allowed_words_agree_with_word_ids(any_kind):
    words = ["Paris", "great", "film", "Yes", "Maybe", "nobody", "riverside"]
    for spaced in (True, False):
        single = {ids[0] for word in words if len(ids := word_ids(any_kind, word, spaced)) == 1}
        if single:
            assert set(allowed_ids(any_kind, words, spaced).ids) == single
        else:
            with pytest.raises(ConfigError, match="got 7 words, none of them a single token"):
                allowed_ids(any_kind, words, spaced)


def test_no_allowed_words(gpt):
    with pytest.raises(
        ConfigError, match=r"data\.vocabulary: got 1 word, none of them a single token, expected at least"
    ):
        allowed_ids(gpt, ["Ouagadougou"], spaced=True, where="data.vocabulary")
    with pytest.raises(ConfigError, match="got 0 words, none of them a single token, expected at least one"):
        allowed_ids(gpt, [], spaced=True)
