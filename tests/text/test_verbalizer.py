import pytest

from softprompt.errors import ConfigError
from softprompt.text import Verbalizer, null_verbalizer


def test_labels_and_words_keep_their_order():
    verbalizer = Verbalizer({"positive": ["great", "good"], "negative": "terrible"})
    assert verbalizer.labels == ("positive", "negative")
    assert verbalizer.words == (("great", "good"), ("terrible",))


def test_tokens_with_and_without_a_space(gpt):
    verbalizer = Verbalizer({"positive": ["great", "Paris"], "negative": ["not great"]})
    ids = {text: tuple(gpt(text)["input_ids"]) for text in ("great", "Paris", "not great")}
    assert verbalizer.tokens(gpt, spaced=False) == ((ids["great"], ids["Paris"]), (ids["not great"],))
    spaced = {text: tuple(gpt(" " + text)["input_ids"]) for text in ids}
    assert verbalizer.tokens(gpt, spaced=True) == ((spaced["great"], spaced["Paris"]), (spaced["not great"],))
    assert ids["great"] != spaced["great"] and len(spaced["great"]) == 1


def test_single_words_name_their_pieces(gpt):
    verbalizer = Verbalizer({"positive": ["great"], "negative": ["terrible", "notable"]}, where="task.words")
    message = r"task\.words\.negative: got 'notable', which is \d tokens \(Ġno t a.*, expected a single token"
    with pytest.raises(ConfigError, match=message):
        verbalizer.tokens(gpt, spaced=True, single=True)
    tokens = Verbalizer({"yes": "Yes", "no": ["No"]}).tokens(gpt, spaced=True, single=True)
    assert [[len(word) for word in label] for label in tokens] == [[1], [1]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "verbalizer: got 0 labels, expected words for at least two labels"),
        ({"a": ["x"]}, "verbalizer: got 1 label,"),
        ({"a": ["x"], "b": []}, "verbalizer.b: got no words, expected at least one word"),
        ({"a": ["x"], "b": [" x"]}, "verbalizer.b: got ' x', expected a word without white space around it"),
        ({"a": ["x"], "b": ""}, "verbalizer.b: got '', expected a word"),
        ({"a": ["x"], "b": [True]}, "verbalizer.b: got True, expected a word"),
        (
            {"a": ["x", "y"], "b": ["y"]},
            "verbalizer.b: got 'y', which 'a' has too, expected words that differ",
        ),
        ({"a": ["x", "x"], "b": ["y"]}, "verbalizer.a: got 'x' twice, expected words that differ, each once"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(ConfigError) as error:
        Verbalizer(words)
    assert message in str(error.value)


def test_words_that_only_look_different(bert, gpt):
    verbalizer = Verbalizer({"a": ["Yes"], "b": ["yes"]})
    assert len({word for label in verbalizer.tokens(gpt, spaced=True) for word in label}) == 2
    with pytest.raises(
        ConfigError, match=r"verbalizer.b: got 'yes', to this tokenizer yes, which 'a' has too"
    ):
        verbalizer.tokens(bert, spaced=True)


def test_unknown_words(bert, albert):
    for tokenizer in (bert, albert):
        with pytest.raises(ConfigError, match=r"verbalizer.b: got '北京', which has the unknown token"):
            Verbalizer({"a": ["Yes"], "b": ["北京"]}).tokens(tokenizer, spaced=True)
    with pytest.raises(ConfigError, match=r"'\[MASK\]', which has the special token \[MASK\]"):
        Verbalizer({"a": ["Yes"], "b": ["[MASK]"]}).tokens(bert, spaced=True)


@pytest.mark.parametrize("spaced", [True, False])
def test_null_verbalizers_are_single_tokens_and_differ(any_kind, spaced):
    labels = ["a", "b", "c"]
    drawn = [null_verbalizer(labels, any_kind, seed, spaced=spaced) for seed in range(5)]
    for verbalizer in drawn:
        assert verbalizer.labels == ("a", "b", "c")
        tokens = verbalizer.tokens(any_kind, spaced, single=True)
        assert len({word for label in tokens for word in label}) == 3
        assert all(word.isalpha() for several in verbalizer.words for word in several)
    assert len({verbalizer.words for verbalizer in drawn}) > 1
    assert null_verbalizer(labels, any_kind, 3, spaced=spaced).words == drawn[3].words


def test_more_labels_than_words(albert):
    with pytest.raises(
        ConfigError, match=r"null_verbalizer: got 500 labels for \d+ words of the vocabulary, expected"
    ):
        null_verbalizer([str(i) for i in range(500)], albert, 0)
