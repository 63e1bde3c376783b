import math

import pytest
import torch

from softprompt.errors import ConfigError
from softprompt.text import Verbalizer, null_verbalizer, word_log_probs


def test_labels_and_words_keep_their_order():
    verbalizer = Verbalizer({"positive": ["great", "good"], "negative": "terrible"})
    assert verbalizer.labels == ("positive", "negative")
    assert verbalizer.words == (("great", "good"), ("terrible",)) and verbalizer.n_words == 3


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
        ({"a": ["x"]}, "verbalizer: got 1 labels"),
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
        with pytest.raises(ConfigError, match=r"verbalizer.b: got '北京', which holds the unknown token"):
            Verbalizer({"a": ["Yes"], "b": ["北京"]}).tokens(tokenizer, spaced=True)
    with pytest.raises(ConfigError, match=r"'\[MASK\]', which holds the special token \[MASK\]"):
        Verbalizer({"a": ["Yes"], "b": ["[MASK]"]}).tokens(bert, spaced=True)


def test_scores_are_means_or_log_sums():
    verbalizer = Verbalizer({"a": ["x", "y"], "b": ["z"]})
    probs = torch.tensor([[0.2, 0.4, 0.1], [0.5, 0.1, 0.3]])
    mean = verbalizer.score(probs.log())
    total = verbalizer.score(probs.log(), "sum")
    expected = [[(math.log(0.2) + math.log(0.4)) / 2, math.log(0.1)]]
    torch.testing.assert_close(mean[:1], torch.tensor(expected))
    torch.testing.assert_close(total.exp(), torch.tensor([[0.6, 0.1], [0.6, 0.3]]))
    torch.testing.assert_close(verbalizer.score(probs[0].log(), "sum"), total[0])
    with pytest.raises(ConfigError, match=r"verbalizer\.reduction: got 'max', expected 'mean' or 'sum'"):
        verbalizer.score(probs.log(), "max")


def test_one_word_per_label_scores_the_same_either_way():
    verbalizer = Verbalizer({"a": "x", "b": "z"})
    log_probs = torch.randn(3, 2).log_softmax(-1)
    torch.testing.assert_close(verbalizer.score(log_probs), verbalizer.score(log_probs, "sum"))


def test_words_of_several_tokens_are_products():
    log_probs = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    scores = word_log_probs(log_probs, [(1, 2, 3), (6, 6, 0)])
    by_hand = log_probs[:, 0, 6] + log_probs[:, 1, 6] + log_probs[:, 2, 0]
    assert scores.shape == (2, 2)
    torch.testing.assert_close(scores[:, 1], by_hand)
    torch.testing.assert_close(word_log_probs(log_probs[:, :1], [(4,), (5,)]), log_probs[:, 0, 4:6])
    with pytest.raises(ConfigError, match="a word of 2 tokens, expected 3, one per position"):
        word_log_probs(log_probs, [(1, 2, 3), (1, 2)])


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
