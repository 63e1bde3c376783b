"""The same promises, kept to the tokenizers of the bundled backbones, where they are in the cache."""

import pytest
from transformers import AutoTokenizer

from softprompt.backbones.loading import bundled_folder
from softprompt.text import Template, Verbalizer, allowed_ids, null_verbalizer

VALUES = {
    "premise": "It's  a “film” — in New York\u00a0City, 1984: naïve 北京 👍🏽\n\nThe end.",
    "hypothesis": "Nobody (really) cared ... did they?  ",
}


def _tokenizer(name):
    folder = bundled_folder(name)
    if folder is None:
        pytest.skip(f"{name} is not in the cache: softprompt backbones pull {name}")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def minilm():
    return _tokenizer("minilm-l6")


@pytest.fixture(scope="module")
def smollm():
    return _tokenizer("smollm2-135m")


def test_plain_text(minilm, smollm):
    text = "{premise}? It was {hypothesis} so [blank]"
    plain = text.format(**VALUES)
    masked = Template.parse(text).encode(minilm, VALUES, 999, causal=False)
    assert list(masked.ids) == minilm(plain.replace("[blank]", "[MASK]"))["input_ids"]
    assert list(masked.segments) == [0] * len(masked.ids)
    causal = Template.parse(text).encode(smollm, VALUES, 999, causal=True)
    assert list(causal.ids) == smollm(plain.replace(" [blank]", ""))["input_ids"]


def test_two_segments(minilm):
    filled = Template.parse("{premise} [sep] [blank] {hypothesis}").encode(minilm, VALUES, 999, causal=False)
    pair = minilm(VALUES["premise"], "[MASK] " + VALUES["hypothesis"])
    assert list(filled.ids) == pair["input_ids"] and list(filled.segments) == pair["token_type_ids"]


def test_slots_and_a_cut(minilm, smollm):
    template = Template.parse("[soft*2: Question is] {premise!} [soft#a] {hypothesis}? [soft#a] [blank]")
    for tokenizer, causal in ((minilm, False), (smollm, True)):
        whole = template.encode(tokenizer, VALUES, 999, causal=causal)
        cut = template.encode(tokenizer, VALUES, len(whole.ids) - 4, causal=causal)
        assert [i for i in cut.ids if i < 0] == [-1, -2, -3, -3] and cut.n_cut == 4
        second = whole.ids.index(-3)
        assert cut.ids[: second + 1] == whole.ids[: second + 1], "the first field is whole"
        assert len(template.start_ids(tokenizer)) == 2


def test_words(minilm, smollm):
    verbalizer = Verbalizer({"positive": ["great"], "negative": ["terrible"]})
    for tokenizer in (minilm, smollm):
        (((great,),), ((terrible,),)) = verbalizer.tokens(tokenizer, spaced=True, single=True)
        assert tokenizer.decode([great, terrible]).strip() == "great terrible"
        null = null_verbalizer(["a", "b"], tokenizer, seed=0)
        assert null.tokens(tokenizer, spaced=True, single=True)
        ids, dropped = allowed_ids(tokenizer, ["Paris", "London", "Ouagadougou"], spaced=True)
        assert len(ids) == 2 and dropped == ("Ouagadougou",)
