import pytest

from softprompt.config import GenerationSettings
from softprompt.errors import BackboneError, ConfigError
from softprompt.tasks.language.encoding import DecoderForm, EncoderDecoderForm
from support.tokenizer import byte_level

SOURCE, TARGET = "name : The Mill | area : riverside", "The Mill is by the riverside."


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_decoder_writes_source_bos_and_target_with_one_space_and_end():
    tokenizer = byte_level()
    form = DecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert form.context(SOURCE) == [*ids(tokenizer, SOURCE), 1]
    assert form.target(TARGET) == [*ids(tokenizer, " " + TARGET), 2]
    assert form.target(f"  {TARGET}\n") == form.target(TARGET)


@pytest.mark.parametrize(("separator", "lead"), [(" ->", " "), ("\n", ""), ("Answer: ", ""), ("", " ")])
def test_separator_text_decides_whether_the_target_needs_a_space(separator, lead):
    tokenizer = byte_level()
    form = DecoderForm(tokenizer, GenerationSettings(separator=separator), "tiny")
    assert form.context(SOURCE) == ids(tokenizer, SOURCE) + ids(tokenizer, separator)
    assert form.target(TARGET) == [*ids(tokenizer, lead + TARGET), 2]


def test_tokenizer_that_puts_the_space_itself_gets_no_second_one():
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer = byte_level()
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    form = DecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert tokenizer.decode(form.target("a b")[:-1]) == " a b"


def test_special_tokens_that_the_tokenizer_adds_stay_out_of_a_decoders_text():
    form = DecoderForm(byte_level(ends=True), GenerationSettings(), "tiny")
    assert 2 not in form.context(SOURCE)
    assert form.target(TARGET).count(2) == 1


def test_cut_texts_are_counted_and_a_cut_target_has_no_end():
    tokenizer = byte_level()
    form = DecoderForm(tokenizer, GenerationSettings(max_source_tokens=3, max_target_tokens=4), "tiny")
    assert form.context(SOURCE) == [*ids(tokenizer, SOURCE)[:3], 1]
    assert form.n_cut == 1
    assert form.target(TARGET) == ids(tokenizer, " " + TARGET)[:4]
    assert form.n_cut == 2
    form.target("a")
    assert form.n_cut == 2


@pytest.mark.parametrize("ends", [True, False])
def test_encoder_decoder_texts_end_with_one_end_token(ends):
    tokenizer = byte_level(ends=ends)
    form = EncoderDecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert form.context(SOURCE) == [*ids(tokenizer, SOURCE), 2]
    assert form.target(TARGET) == [*ids(tokenizer, TARGET), 2]


def test_encoder_decoder_cuts_the_text_and_keeps_the_sources_end():
    tokenizer = byte_level(ends=True)
    form = EncoderDecoderForm(tokenizer, GenerationSettings(max_source_tokens=3, max_target_tokens=4), "tiny")
    assert form.context(SOURCE) == [*ids(tokenizer, SOURCE)[:3], 2]
    assert form.target(TARGET) == ids(tokenizer, TARGET)[:4]
    assert form.n_cut == 2


def test_text_stops_at_the_end_token_and_drops_special_ones():
    tokenizer = byte_level()
    form = DecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert form.text([0, *ids(tokenizer, " " + TARGET), 2, *ids(tokenizer, "more"), 0]) == TARGET
    assert form.text(ids(tokenizer, " open end")) == "open end"


def test_decoder_without_bos_asks_for_a_separator():
    tokenizer = byte_level()
    tokenizer.bos_token = None
    with pytest.raises(
        ConfigError, match=r"task\.separator: got no separator for a tokenizer without a BOS token"
    ):
        DecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert DecoderForm(tokenizer, GenerationSettings(separator=" ->"), "tiny").context("a")


def test_encoder_decoder_refuses_a_separator():
    with pytest.raises(
        ConfigError, match=r"task\.separator: got ' ->', expected no separator, since tiny has"
    ):
        EncoderDecoderForm(byte_level(), GenerationSettings(separator=" ->"), "tiny")


def test_end_token_must_be_there():
    tokenizer = byte_level()
    tokenizer.eos_token = None
    with pytest.raises(BackboneError, match=r"backbone tiny: got a tokenizer without an end-of-sequence"):
        DecoderForm(tokenizer, GenerationSettings(), "tiny")
