"""What `prompted` and `load_backbone` refuse, and what they leave alone."""

import pytest
import torch
from transformers import XLNetConfig, XLNetModel

import softprompt
from softprompt.errors import BackboneError, PromptError
from support.prompts import random_prefix
from support.tiny import ids, tiny_backbone, tiny_model


def test_attention_out_of_reach_is_refused():
    config = XLNetConfig(vocab_size=64, d_model=32, d_inner=48, n_layer=2, n_head=4)
    backbone = softprompt.load_backbone(XLNetModel(config))
    message = r"xlnet\), whose attention never calls the registered function"
    with pytest.raises(BackboneError, match=message):
        softprompt.prefix_tuning(backbone)


def test_active_rows():
    backbone = tiny_backbone("llama")
    a, b = random_prefix(backbone), random_prefix(backbone, seed=2)
    with pytest.raises(BackboneError, match=r"active_rows: got a call outside"):
        backbone.active_rows(2)
    for nothing in (None, [None, None]):
        with backbone.prompted(nothing):
            assert backbone.active_rows(2) == [(None, None)]
    with backbone.prompted(a):
        assert backbone.active_rows(2) == [(a, None)]
    with backbone.prompted([a, b, None], rows=[1, 1]):
        assert backbone.active_rows(2) == [(b, None)]
    with backbone.prompted([a, b, None], rows=[2, 0, 2, 0]):
        first, second = backbone.active_rows(4)
        with pytest.raises(PromptError, match="4 rows for a batch of 3"):
            backbone.active_rows(3)
    assert first[0] is a and first[1].tolist() == [1, 3]
    assert second[0] is None and second[1].tolist() == [0, 2]


def test_prompt_and_text_beyond_the_positions_are_refused():
    backbone = tiny_backbone("gpt2")
    with (
        backbone.prompted(random_prefix(backbone, 10)),
        pytest.raises(
            BackboneError,
            match=r"120 tokens of text and a prompt of 10, expected at most 128 tokens together,",
        ),
    ):
        backbone.model(input_ids=ids(1, 120))
    with backbone.prompted(random_prefix(backbone, 10, positions="unshifted")):
        backbone.model(input_ids=ids(1, 120))
    with pytest.raises(BackboneError, match=r"method\.initialization: got 130 tokens, expected at most 128"):
        softprompt.prefix_tuning(backbone, initialization="examples:1", examples=[[2] * 130])


@pytest.mark.parametrize(
    ("prompts", "rows", "message"),
    [
        (2, [0, 2], r"prompted\.rows: got 2, expected indices from 0 to 1"),
        (2, [-1, 0], r"prompted\.rows: got -1"),
        (2, [], r"prompted\.rows: got no rows"),
        (2, [[0, 1]], r"prompted\.rows: got \[\[0, 1\]\], expected a whole number for each batch row"),
        (2, [0, 0.5], r"prompted\.rows: got \[0, 0\.5\], expected a whole number"),
        (2, torch.tensor([0.0, 1.0]), r"prompted\.rows: got \[0\.0, 1\.0\], expected a whole number"),
        (2, torch.tensor(1), r"prompted\.rows: got 1, expected a whole number"),
    ],
)
def test_rows_that_name_no_prompt(prompts, rows, message):
    backbone = tiny_backbone("llama")
    with pytest.raises(PromptError, match=message):
        backbone.prompted([random_prefix(backbone)] * prompts, rows=rows)


def test_what_is_no_prompt_is_refused():
    with pytest.raises(PromptError, match="prompted: got an int, expected a prompt, None, or a list of them"):
        tiny_backbone("llama").prompted(3)


def test_a_batch_of_another_size_is_refused_outside_generation():
    backbone = tiny_backbone("llama")
    prefix = random_prefix(backbone)
    with backbone.prompted([prefix, None]), pytest.raises(PromptError, match=r"2 rows for a batch of 4"):
        backbone.model(input_ids=ids(4, 5))


def test_a_second_prompted_inside_is_refused():
    backbone = tiny_backbone("llama")
    prefix = random_prefix(backbone)
    refused = pytest.raises(BackboneError, match="a second session of this thread inside the first")
    with backbone.prompted(prefix), refused, backbone.prompted(prefix):
        pass
    with backbone.prompted(prefix), refused, backbone.prompted(None):
        pass
    with backbone.prompted(prefix):  # and the refusal left nothing behind
        pass


def test_kernels_that_cannot_take_a_prompt_are_refused():
    backbone = tiny_backbone("llama")
    backbone.model.config._attn_implementation_internal = "flash_attention_2"
    prefix = random_prefix(tiny_backbone("llama"))
    refused = pytest.raises(BackboneError, match=r"backbone\.attention: got 'flash_attention_2'")
    with refused, backbone.prompted(prefix):
        pass


def test_reentrant_checkpointing_is_refused():
    backbone = tiny_backbone("llama")
    backbone.model.activation_checkpointing_enable({"use_reentrant": True})
    backbone.model.train()
    with backbone.prompted(random_prefix(backbone)), pytest.raises(BackboneError, match="the reentrant kind"):
        backbone.model(input_ids=ids(1, 4), use_cache=False)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(BackboneError, match=r"Did you mean 'smollm2-135m'"):
        softprompt.load_backbone("smollm2-135")


def test_a_live_model_is_frozen_in_place_and_keeps_its_class():
    model = tiny_model("llama")
    backbone = softprompt.load_backbone(model)
    assert backbone.model is model
    assert not any(p.requires_grad for p in model.parameters())


def test_learning_prompts_are_computed_once_per_pass():
    backbone = tiny_backbone("llama")
    prefix = random_prefix(backbone)
    calls = []
    prefix.register_forward_hook(lambda *_: calls.append(1))
    with backbone.prompted(prefix):
        for _ in range(2):
            backbone.model(input_ids=ids(2, 4))
        assert len(calls) == 2
        calls.clear()
        with torch.no_grad():
            backbone.model.generate(input_ids=ids(2, 4), max_new_tokens=5, do_sample=False, eos_token_id=None)
        assert len(calls) == 1


def test_a_step_of_the_optimizer_is_seen_at_once():
    backbone = tiny_backbone("llama")
    prefix = random_prefix(backbone)
    with backbone.prompted(prefix), torch.no_grad():
        before = backbone.model(input_ids=ids(2, 4)).logits
        for parameter in prefix.parameters():
            parameter.add_(0.5)
        after = backbone.model(input_ids=ids(2, 4)).logits
    with backbone.prompted(prefix), torch.no_grad():
        fresh = backbone.model(input_ids=ids(2, 4)).logits
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)


def test_backbone_dropout_is_off_unless_asked_for():
    backbone = tiny_backbone("gpt2")
    prefix, x = random_prefix(backbone), ids(2, 6)
    with backbone.training_mode(dropout=False), backbone.prompted(prefix):
        assert torch.equal(backbone.model(input_ids=x).logits, backbone.model(input_ids=x).logits)
    with backbone.training_mode(dropout=True), backbone.prompted(prefix):
        assert not torch.equal(backbone.model(input_ids=x).logits, backbone.model(input_ids=x).logits)
    assert not backbone.model.training
