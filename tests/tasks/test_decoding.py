import pytest
import torch

from softprompt.config import DecodingSettings
from softprompt.errors import ConfigError
from softprompt.tasks.language.decoding import check_decoding, generate_arguments, newline_tokens, seeded
from support.tokenizer import byte_level


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "greedy", "beams": 6}, r"decoding\.beams: got 6 with strategy 'greedy'"),
        ({"strategy": "greedy", "length_penalty": 0.8}, r"decoding\.length_penalty: got 0\.8"),
        ({"strategy": "beam", "temperature": 0.7}, r"decoding\.temperature: got 0\.7 with strategy 'beam'"),
        ({"strategy": "greedy", "top_p": 0.9}, r"decoding\.top_p.*set decoding\.strategy=sample"),
        (
            {"strategy": "beam", "beams": 1},
            r"decoding\.beams: got 1.*2 beams or more\. Set decoding\.strategy=greedy\.",
        ),
        (
            {"min_new_tokens": 9, "max_new_tokens": 8},
            r"decoding\.min_new_tokens: got 9.*max_new_tokens \(8\)",
        ),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_decoding(DecodingSettings(**settings))


def test_every_contradiction_is_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        check_decoding(DecodingSettings(strategy="greedy", temperature=0.5, length_penalty=2.0))
    assert len(str(caught.value).splitlines()) == 2


def test_settings_that_fit_pass():
    check_decoding(DecodingSettings(strategy="beam", beams=6, length_penalty=0.8))
    check_decoding(DecodingSettings(strategy="sample", temperature=0.5, top_p=0.9, beams=1))
    check_decoding(DecodingSettings(strategy="greedy"))


def test_strategies_set_beams_and_sampling():
    def made(**settings):
        return generate_arguments(DecodingSettings(**settings), 100, [2], 0, [7])

    assert (made()["num_beams"], made()["do_sample"]) == (5, False)
    assert (made(strategy="greedy")["num_beams"], made(strategy="greedy")["do_sample"]) == (1, False)
    sample = made(strategy="sample", top_p=0.9)
    assert (sample["num_beams"], sample["do_sample"], sample["top_p"], sample["top_k"]) == (1, True, 0.9, 0)
    assert (sample["eos_token_id"], sample["pad_token_id"], sample["suppress_tokens"]) == (2, 0, [7])


def test_newline_tokens_are_exactly_those_whose_text_breaks_a_line():
    tokenizer = byte_level()
    tokenizer.add_tokens([" x\ny"])
    banned = newline_tokens(tokenizer, len(tokenizer), keep=[2])
    expected = {i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])}
    assert set(banned) == expected
    assert len(tokenizer) - 1 in banned
    assert tokenizer("\n", add_special_tokens=False)["input_ids"][0] in banned
    # A model whose head is smaller than the tokenizer cannot be told to avoid what it cannot write.
    assert max(newline_tokens(tokenizer, len(tokenizer) - 1, keep=[2])) < len(tokenizer) - 1
    assert len(tokenizer) - 1 not in newline_tokens(tokenizer, len(tokenizer), keep=[len(tokenizer) - 1])


def test_seeded_repeats_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    untouched = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1, torch.device("cpu")):
        first = torch.rand(3)
    assert torch.equal(torch.rand(2), untouched)
    with seeded(1, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
