"""Tokenizers by the names of the models that have such ones."""

import pytest

from support.text_tokenizers import made as _made

MASKED = ["wordpiece", "byte_level", "unigram", "unigram_first"]
CAUSAL = ["decoder", "decoder_begins", "decoder_ends"]


@pytest.fixture
def made():
    """A tokenizer by its name, the same one every time."""
    return _made


@pytest.fixture(params=MASKED)
def masked(request):
    return _made(request.param)


@pytest.fixture(params=CAUSAL)
def causal(request):
    return _made(request.param)


@pytest.fixture(params=MASKED + CAUSAL)
def any_kind(request):
    return _made(request.param)


@pytest.fixture
def bert():
    return _made("wordpiece")


@pytest.fixture
def roberta():
    return _made("byte_level")


@pytest.fixture
def albert():
    return _made("unigram")


@pytest.fixture
def gpt():
    return _made("decoder")
