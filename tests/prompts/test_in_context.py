"""Examples in the context, and what is refused."""

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from softprompt.prompts.methods.baselines import fitting
from support.tiny import tiny_backbone


def test_examples_that_do_not_fit_are_passed_over():
    assert fitting([[1, 2, 3], [4, 5, 6, 7], [8]], 4) == [[1, 2, 3], [8]]
    with pytest.raises(PromptError, match="got no examples, expected at least one of at most 4 tokens"):
        fitting([], 4)
    with pytest.raises(PromptError, match="got examples of 3 tokens and more"):
        fitting([[1, 2, 3], [1, 2, 3, 4]], 2)


def test_nothing_is_trained_and_the_file_holds_the_keys_and_values(tmp_path):
    backbone = tiny_backbone("llama")
    prompt = softprompt.in_context(backbone, [[5, 6, 7], [8, 9]])
    assert prompt.n_trained_parameters == 0 and prompt.length == 5 and prompt.n_stored_parameters > 0
    prompt.save(tmp_path / "p")
    loaded = softprompt.load_prompt(tmp_path / "p", backbone)
    assert loaded.card.method == "in_context"
    ids = torch.tensor([[3, 4]])
    with torch.no_grad():
        whole = backbone.model(input_ids=torch.tensor([[5, 6, 7, 8, 9, 3, 4]])).logits[:, -2:]
        for one in (prompt, loaded):
            with backbone.prompted(one):
                torch.testing.assert_close(backbone.model(input_ids=ids).logits, whole, atol=1e-5, rtol=0)


def test_what_reads_both_ways_needs_a_template():
    with pytest.raises(PromptError, match=r"which reads both ways, without a template,"):
        softprompt.in_context(tiny_backbone("bert"), [[5, 6]])
    prompt = softprompt.in_context(tiny_backbone("bert"), template="a b\n{text} [blank]")
    assert prompt.card.template == "a b\n{text} [blank]" and not prompt.shapes
    with pytest.raises(PromptError, match="an encoder-decoder"):
        softprompt.in_context(tiny_backbone("t5"), [[5, 6]])
