"""Loops written by hand that decode behind a picture, with a mask of all tokens so far."""

import copy

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError
from zoo import outcomes, picture_text
from zoo.causal import METHODS
from zoo.pictures import Row, given, rows_with_pictures


@pytest.mark.parametrize("method", ["soft tokens", "prefix"])
@torch.no_grad()
def test_qwen_goes_on_from_a_cache_with_a_mask_of_all_tokens(method):
    # Qwen2-VL numbers all that the mask says of, and cannot read them so without a prompt.
    model = outcomes.built(picture_text.KIND, "qwen2_vl")
    plain, row, more = copy.deepcopy(model), rows_with_pictures(model)[0], torch.tensor([7])
    backbone = softprompt.load_backbone(model)
    prompt = METHODS[method](backbone)
    expected = picture_text.BY_HAND[method](plain, prompt, Row(torch.cat([row.ids, more]), row.pixels, 1))
    with backbone.prompted(prompt):
        cache = model(**given(model, [row]), use_cache=True).past_key_values
        mask = torch.ones(1, len(row.ids) + 1, dtype=torch.long)
        came = model(input_ids=more[None], attention_mask=mask, past_key_values=cache, use_cache=True).logits
    torch.testing.assert_close(came[0, -1], expected[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3), (3, 5)])
def test_positions_of_another_shape_than_the_tokens_are_refused(shape):
    backbone = softprompt.load_backbone(outcomes.built(picture_text.KIND, "llava"))
    with (
        backbone.prompted(softprompt.prompt_tuning(backbone, 2)),
        pytest.raises(BackboneError, match=r"position_ids: got .* for 2 rows of 5 tokens, expected \[2, 5\]"),
    ):
        backbone.model(input_ids=torch.full((2, 5), 7), position_ids=torch.zeros(shape, dtype=torch.long))
