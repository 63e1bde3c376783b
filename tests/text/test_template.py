import itertools
import random

import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.text import Template, null_template

VALUES = [
    "The film was great, and nobody said 'it is terrible'.",
    "  Paris  is\tthe capital?  ",
    "A man in a café reads (quietly)…",
    "Yes\nno\n",
    "?.,",
    "",
    "ﬁlm 北京 👍🏽 1984",
    "a",
]
PAIRS = [(a, b) for a, b in itertools.product(VALUES, VALUES) if (a + b).strip()]


def shown(tokenizer, filled):
    """Tokens as text, slots as numbers."""
    return [tokenizer.convert_ids_to_tokens(i) if i >= 0 else i for i in filled.ids]


@pytest.mark.parametrize(
    "text",
    ["{a} [blank] {b}", "{a} ? [blank], {b}.", "[blank]. {b}{a}", "({a}) '{b}': [blank]", "{a}{b}[blank]!"],
)
def test_without_slots_it_is_the_plain_text_of_a_masked_model(masked, text):
    template = Template.parse(text)
    for a, b in PAIRS:
        plain = text.replace("[blank]", masked.mask_token).format(a=a, b=b)
        expected = masked(plain)["input_ids"]
        filled = template.encode(masked, {"a": a, "b": b}, 999, causal=False)
        assert list(filled.ids) == expected, plain
        assert filled.blanks == (expected.index(masked.mask_token_id),)
        assert filled.segments == (0,) * len(expected) and filled.n_cut == 0


@pytest.mark.parametrize(
    "text", ["{a} {b} [blank]", "{a} [[{b}]]. It was  [blank]\n", "'{a}{b}'[blank]", "{a}\n{b}\n[blank]"]
)
def test_without_slots_it_is_the_plain_text_of_a_causal_model(causal, text):
    template = Template.parse(text)
    for a, b in PAIRS:
        plain = (
            text.partition("[blank]")[0].replace("[[", "[").replace("]]", "]").format(a=a, b=b).rstrip(" ")
        )
        expected = causal(plain)["input_ids"]
        if expected[-1] == causal.eos_token_id:
            expected = expected[:-1]  # nothing may stand between the text and its answer
        filled = template.encode(causal, {"a": a, "b": b}, 999, causal=True)
        assert list(filled.ids) == expected, plain
        assert filled.blanks == (len(expected) - 1,)


def test_text_between_slots_is_tokenised_as_in_a_sentence(gpt, bert):
    template = Template.parse("[soft*2] {a} was [soft#s] great [soft#s][blank]")
    filled = template.encode(gpt, {"a": "The film"}, 99, causal=True)
    ids = [list(gpt(text)["input_ids"]) for text in (" The film was", " great")]
    assert list(filled.ids) == [-1, -2, *ids[0], -3, *ids[1], -3]
    assert filled.blanks == (len(filled.ids) - 1,) and filled.spaced
    filled = template.encode(bert, {"a": "The film"}, 99, causal=False)
    assert shown(bert, filled) == ["[CLS]", -1, -2, "the", "film", "was", -3, "great", -3, "[MASK]", "[SEP]"]
    assert filled.blanks == (9,)


def test_special_tokens_in_a_record_are_not_taken_for_slots_or_blank(masked, gpt):
    value = f"great {masked.mask_token}{masked.all_special_tokens[0]} film"
    filled = Template.parse("{a} [soft] [blank] {a}").encode(masked, {"a": value}, 99, causal=False)
    assert filled.ids.count(-1) == 1 and len(filled.blanks) == 1
    slot = filled.ids.index(-1)
    assert filled.blanks == (slot + 1,) and filled.ids[slot + 1] == masked.mask_token_id
    assert filled.ids.count(masked.mask_token_id) == 3
    filled = Template.parse("{a} [soft] [blank]").encode(gpt, {"a": "<begin><end>x"}, 99, causal=True)
    assert shown(gpt, filled) == ["<begin>", "<end>", "x", -1]


def test_several_masks(masked):
    template = Template.parse("{a} was [blank] [soft].")
    one = template.encode(masked, {"a": "Paris"}, 99, causal=False)
    three = template.encode(masked, {"a": "Paris"}, 99, causal=False, n_blanks=3)
    (at,) = one.blanks
    assert three.blanks == (at, at + 1, at + 2)
    assert three.ids == one.ids[:at] + (masked.mask_token_id,) * 3 + one.ids[at + 1 :]
    assert len(three.segments) == len(three.ids)


def test_a_separator_is_the_tokenizers_own_for_two_texts(bert):
    filled = Template.parse("{a} {b}[blank] [sep] {b}").encode(
        bert, {"a": "Paris", "b": "The film"}, 99, causal=False
    )
    plain = bert("Paris The film[MASK]", "The film")
    assert list(filled.ids) == plain["input_ids"]
    assert list(filled.segments) == plain["token_type_ids"] and 1 in filled.segments


def test_slots_and_masks_behind_a_separator_are_in_the_second_segment(bert):
    filled = Template.parse("{a} [sep] [soft*2] [blank]").encode(
        bert, {"a": "a"}, 99, causal=False, n_blanks=2
    )
    assert shown(bert, filled) == ["[CLS]", "a", "[SEP]", -1, -2, "[MASK]", "[MASK]", "[SEP]"]
    assert filled.segments == (0, 0, 0, 1, 1, 1, 1, 1)


def test_without_token_types_there_is_one_segment(roberta):
    filled = Template.parse("{a}[sep][sep]{b} [blank]").encode(
        roberta, {"a": "Paris", "b": "The film"}, 99, causal=False
    )
    assert list(filled.ids) == roberta("Paris", "The film<mask>")["input_ids"]
    assert set(filled.segments) == {0}


def test_the_longest_field_is_cut_at_its_end(bert):
    template = Template.parse("[soft] {a} great [blank] {b}.")
    values = {"a": "no yes maybe paris france", "b": "yes no france"}
    whole = template.encode(bert, values, 99, causal=False)
    assert shown(bert, whole) == [
        *["[CLS]", -1, "no", "yes", "maybe", "paris", "france", "great", "[MASK]", "yes", "no", "france"],
        *[".", "[SEP]"],
    ]
    cut = template.encode(bert, values, len(whole.ids) - 2, causal=False)
    assert shown(bert, cut)[2:11] == ["no", "yes", "maybe", "great", "[MASK]", "yes", "no", "france", "."]
    assert cut.n_cut == 2 and cut.blanks == (6,)
    # Of equals the later one goes first.
    cut = template.encode(bert, values, len(whole.ids) - 3, causal=False)
    assert shown(bert, cut)[2:10] == ["no", "yes", "maybe", "great", "[MASK]", "yes", "no", "."]
    cut = template.encode(bert, values, len(whole.ids) - 7, causal=False)
    assert shown(bert, cut) == ["[CLS]", -1, "no", "great", "[MASK]", ".", "[SEP]"] and cut.n_cut == 7


def test_a_marked_field_is_never_cut(bert):
    template = Template.parse("{a!} great [blank] {b}.")
    values = {"a": "no yes maybe paris france", "b": "yes no"}
    n = len(template.encode(bert, values, 99, causal=False).ids)
    cut = template.encode(bert, values, n - 2, causal=False)
    assert shown(bert, cut) == ["[CLS]", *values["a"].split(), "great", "[MASK]", ".", "[SEP]"]
    message = (
        r"record 7: got 5 tokens in a, never to be cut, expected at most 4 tokens beside "
        r"the template's 5\. Allow"
    )
    with pytest.raises(DataError, match=message):
        template.encode(bert, values, n - 3, causal=False, where="record 7")


def test_a_field_that_stands_twice_is_cut_at_both_places(bert):
    filled = Template.parse("{a} great {a} [blank]").encode(bert, {"a": "yes no maybe"}, 8, causal=False)
    assert shown(bert, filled) == ["[CLS]", "yes", "no", "great", "yes", "no", "[MASK]", "[SEP]"]


@pytest.mark.parametrize("is_causal", [False, True])
def test_shortening_keeps_every_slot_and_the_blank(is_causal, made):
    rng = random.Random(1)
    names = ["decoder", "decoder_ends"] if is_causal else ["wordpiece", "byte_level", "unigram"]
    text = "[soft#a] ({a}) Yes[soft*2]{b}? [soft#a] {a} [blank]" + ("" if is_causal else ". [soft] No {b}")
    template = Template.parse(text)
    for name in names:
        tokenizer = made(name)
        for a, b in PAIRS:
            whole = template.encode(tokenizer, {"a": a, "b": b}, 999, causal=is_causal)
            bare = template.encode(tokenizer, {"a": "x", "b": ""}, 999, causal=is_causal)
            longest = rng.randint(len(bare.ids) + 4, len(bare.ids) + 12)
            cut = template.encode(tokenizer, {"a": a, "b": b}, longest, causal=is_causal)
            assert len(cut.ids) == len(cut.segments) == min(longest, len(whole.ids))
            assert cut.n_cut == len(whole.ids) - len(cut.ids)
            assert [i for i in cut.ids if i < 0] == [-(slot + 1) for slot in template.slots]
            rest = iter(whole.ids)
            assert all(token in rest for token in cut.ids), "a part of the whole, in its order"
            assert len(cut.blanks) == 1
            if is_causal:
                assert cut.blanks == (len(cut.ids) - 1,)
            else:
                assert cut.ids[cut.blanks[0]] == tokenizer.mask_token_id


@pytest.mark.parametrize("n_cut", [1, 2, 3])
def test_what_is_left_of_a_field_are_its_own_first_tokens(any_kind, n_cut):
    is_causal = any_kind.mask_token is None
    template = Template.parse("great ({a}) [blank]")
    words = "The film was great and nobody said Paris"
    whole = template.encode(any_kind, {"a": words}, 999, causal=is_causal)
    cut = template.encode(any_kind, {"a": words}, len(whole.ids) - n_cut, causal=is_causal)
    behind = len(whole.ids) - max(i for i, token in enumerate(whole.ids) if ")" in any_kind.decode([token]))
    assert cut.ids == whole.ids[: -behind - n_cut] + whole.ids[-behind:]


def test_start_words_are_one_token_per_slot(gpt, bert):
    template = Template.parse("[soft*2: great film] {x} [soft] [soft#a: great] [soft#a] [blank]")
    great, film = gpt(" great film")["input_ids"]
    assert template.start_ids(gpt) == {0: great, 1: film, 3: great}
    with pytest.raises(
        ConfigError, match="2 slots initialised from 'great', expected one slot per token: great"
    ):
        Template.parse("[soft*2: great] [blank]").start_ids(bert)


def test_a_missing_field(bert):
    with pytest.raises(
        DataError, match=r"row 3: got no field 'premise', expected .* premises, b\. Did you mean 'premises'"
    ):
        Template.parse("{premise} [blank]").encode(
            bert, {"premises": "x", "b": "y"}, 9, causal=False, where="row 3"
        )


@pytest.mark.parametrize("value", [None, 3, ["a"]])
def test_a_field_that_is_no_text(bert, value):
    with pytest.raises(DataError, match="in 'x', expected a text"):
        Template.parse("{x} [blank]").encode(bert, {"x": value}, 9, causal=False)


def test_a_record_without_text(any_kind):
    with pytest.raises(DataError, match="got no text in a, b, expected text in at least one"):
        Template.parse("[soft] {a} and {b} [blank]").encode(
            any_kind, {"a": " ", "b": ""}, 99, causal=any_kind.mask_token is None
        )


def test_a_template_that_leaves_no_room(bert):
    template = Template.parse("[soft*3] {x} great [blank]")  # with [CLS] and [SEP] 7 tokens of its own
    assert len(template.encode(bert, {"x": "yes no"}, 8, causal=False).ids) == 8
    with pytest.raises(
        ConfigError, match=r"got room for 7 tokens, expected 8 or more, which leaves room for the"
    ):
        template.encode(bert, {"x": "yes no"}, 7, causal=False)
    assert len(Template.parse("[soft*3] [blank]").encode(bert, {}, 6, causal=False).ids) == 6
    with pytest.raises(
        ConfigError, match=r"got room for 5 tokens, expected 6 or more\. Shorten the template,"
    ):
        Template.parse("[soft*3] [blank]").encode(bert, {}, 5, causal=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{x} [blank] .",
            "got '.' after [blank], expected nothing, since a causal model reads from left to",
        ),
        ("[blank] {x}", "got {x} after [blank]"),
        ("{x} [blank] [soft]", "got [soft] after [blank]"),
        ("{x} [blank][sep]", "got [sep] after [blank]"),
        (" [blank]", "got nothing before [blank]"),
        ("{x} [sep] [blank]", "got [sep] for a tokenizer without a separator token"),
    ],
)
def test_what_a_causal_model_cannot_take(gpt, text, message):
    template = Template.parse(text)
    with pytest.raises(ConfigError) as error:
        template.check(gpt, causal=True, where="task.template")
    assert f"task.template: {message}" in str(error.value)
    with pytest.raises(ConfigError):
        template.encode(gpt, {"x": "Paris"}, 99, causal=True)


def test_a_masked_model_needs_a_mask_token(gpt):
    with pytest.raises(ConfigError, match="a tokenizer without a mask token"):
        Template.parse("{x} [blank]").check(gpt, causal=False)


def test_counts_of_blanks(gpt, bert):
    template = Template.parse("{x} [blank]")
    with pytest.raises(
        ConfigError, match="n_blanks=2, expected 1, since a causal model's blank takes no token"
    ):
        template.encode(gpt, {"x": "a"}, 99, causal=True, n_blanks=2)
    with pytest.raises(ConfigError, match="n_blanks=0, expected at least 1"):
        template.encode(bert, {"x": "a"}, 99, causal=False, n_blanks=0)


def test_null_templates():
    assert str(null_template(["sentence"])) == "{sentence} [blank]"
    assert str(null_template(["premise", "hypothesis"])) == "{premise} [blank] {hypothesis}"
    assert str(null_template(["premise", "hypothesis"], causal=True)) == "{premise} {hypothesis} [blank]"


def test_bad_null_templates():
    with pytest.raises(
        ConfigError, match=r"null_template.fields: got \[\], expected a list with at least one"
    ):
        null_template([])
    with pytest.raises(ConfigError, match=r"null_template\.fields: got 'sentence'"):
        null_template("sentence")


def test_a_token_that_template_text_shares_with_a_field_is_never_cut(gpt):
    template = Template.parse("{x}; {a}at [blank]")
    values = {"x": "Paris Paris", "a": "Paris Paris gre"}
    whole = template.encode(gpt, values, 99, causal=True)
    assert shown(gpt, whole)[-4:] == [";", "ĠParis", "ĠParis", "Ġgreat"]
    cut = template.encode(gpt, values, 3, causal=True)
    assert shown(gpt, cut) == ["Paris", ";", "Ġgreat"] and cut.n_cut == len(whole.ids) - 3


def test_spaces_that_a_slot_swallows_belong_to_no_field(any_kind):
    causal = any_kind.mask_token is None
    template = Template.parse("{a} [soft] great [blank]")
    whole = template.encode(any_kind, {"a": "yes no" + " " * 40}, 99, causal=causal)
    plain = template.encode(any_kind, {"a": "yes no"}, 99, causal=causal)
    assert whole == plain
    cut = template.encode(any_kind, {"a": "yes no" + " " * 40}, len(plain.ids) - 1, causal=causal)
    slot = plain.ids.index(-1)
    assert cut.ids == plain.ids[: slot - 1] + plain.ids[slot:]
