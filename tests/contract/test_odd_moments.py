"""What is done to a model or a thread at an odd moment changes no answer in silence."""

import unittest.mock

import pytest
import torch

from softprompt import adapter, fine_tuning, load_backbone
from softprompt.errors import SoftpromptError
from support.interrupts import interrupted_at
from support.references import METHODS, make
from support.tiny import ids, one_layer, tiny_backbone


def learned(backbone, tune="all"):
    prompt = fine_tuning(backbone, tune=tune)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return prompt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["prefix", "fine_tuning"])
def test_an_interrupt_of_entering_or_leaving_leaves_no_session(method):
    backbone = load_backbone(one_layer())
    prompt = learned(backbone) if method == "fine_tuning" else make(backbone, method)
    x = ids(1, 2)
    files = ("session.py", "entries.py", "acting.py", "interface.py", "stray.py")

    def run():
        with backbone.prompted(prompt):
            pass

    with torch.no_grad():
        bare = backbone.model(x).logits
        step = 1
        while interrupted_at(step, files, run):
            assert not backbone.in_session
            assert torch.equal(backbone.model(x).logits, bare), step
            step += 1
    assert step > 10


@pytest.mark.parametrize("tune", ["all", "biases"])
def test_embeddings_and_output_called_by_hand_have_trained_tensors(tune):
    backbone = tiny_backbone("llama")
    model, prompt, x = backbone.model, learned(backbone, tune), ids(2, 5)
    with backbone.prompted(prompt):
        expected = model(x).logits
        embedded = model.get_input_embeddings()(x)
        torch.testing.assert_close(model(inputs_embeds=embedded).logits, expected)
        torch.testing.assert_close(model.lm_head(model.model(x).last_hidden_state), expected)


@pytest.mark.parametrize("tune", ["all", "biases"])
def test_words_added_inside_a_session_are_told_to_trained_tensors(tune):
    backbone = tiny_backbone("llama")
    with backbone.prompted(learned(backbone, tune)) as prompted:
        backbone.model.resize_token_embeddings(70, mean_resizing=False)
        with pytest.raises(
            SoftpromptError, match=r"got shape \[64(, 32)?\], expected shape \[70(, 32)?\]\.$"
        ):
            prompted(ids(2, 5))


@pytest.mark.parametrize("where", ["", "model"])
@pytest.mark.parametrize("method", METHODS)
def test_a_patch_of_before_that_is_taken_off_inside_leaves_the_prompt(method, where):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    module = backbone.model.get_submodule(where)
    with torch.no_grad():
        bare = backbone.model(x).logits
        with backbone.prompted(prompt):
            expected = backbone.model(x).logits
        patch = unittest.mock.patch.object(module, "forward", module.forward)
        patch.start()
        with backbone.prompted(prompt) as prompted:
            patch.stop()
            assert torch.equal(prompted(x).logits, expected)
            assert torch.equal(backbone.model(x).logits, expected)
        assert "forward" not in vars(module)
        assert torch.equal(backbone.model(x).logits, bare)


@pytest.mark.parametrize("cast", ["half", "double", "bfloat16"])
def test_an_adapter_may_be_cast(cast):
    backbone = tiny_backbone("llama")
    prompt, x = adapter(backbone, width=4), ids(2, 5)
    with torch.no_grad():
        expected = backbone.model(x).logits  # an adapter begins as the identity
        with backbone.prompted(getattr(prompt, cast)()) as prompted:
            torch.testing.assert_close(prompted(x).logits, expected)
