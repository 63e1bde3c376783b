"""Soft tokens before an encoder's text are embeddings put in front by hand, and cut off after."""

import pytest
import torch
from torch import Tensor

from support.prompts import close, random_prefix, read_rows, soft_tokens, text_for
from support.tiny import ENCODER_DECODERS, ENCODERS, ids, tiny_backbone


def by_hand(backbone, vectors: Tensor, row: Tensor, **options) -> Tensor:
    """States of a text behind soft tokens: embeddings put in front, run, and cut."""
    model = backbone.model.get_encoder() if backbone.spec.is_encoder_decoder else backbone.model
    embeds = torch.cat([vectors[None], model.get_input_embeddings()(row[None])], dim=1)
    # The family's own counting of positions is that of a text of this length.
    return model(inputs_embeds=embeds, **options).last_hidden_state[:, len(vectors) :]


@pytest.mark.parametrize("family", ENCODERS + ENCODER_DECODERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_soft_tokens_are_embeddings_put_in_front_and_cut(family, side):
    backbone = tiny_backbone(family)
    prompts = [soft_tokens(backbone, 4), soft_tokens(backbone, 2, seed=6), None]
    rows = [ids(1, n, n)[0] for n in (5, 3, 8, 6)]
    which = [0, 1, 2, 1]
    with backbone.prompted(prompts, rows=which):
        mixed = read_rows(backbone, rows, side)
    for i, row in enumerate(rows):
        prompt = prompts[which[i]]
        vectors = torch.zeros(0, backbone.hidden) if prompt is None else prompt().vectors
        close(mixed[i], by_hand(backbone, vectors, row)[0])


@pytest.mark.parametrize("family", ["bert", "electra", "albert", "deberta"])
def test_soft_tokens_are_of_the_first_type(family):
    backbone = tiny_backbone(family)
    prompt, x = soft_tokens(backbone, 2), ids(1, 5)
    types = torch.tensor([[0, 0, 1, 1, 1]])
    with backbone.prompted(prompt):
        ours = backbone.read({"input_ids": x, "token_type_ids": types})
        without = backbone.read({"input_ids": x})
    wide = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    close(ours, by_hand(backbone, prompt().vectors, x[0], token_type_ids=wide))
    assert not torch.allclose(ours, without, atol=1e-2)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_positions_from_the_caller_are_the_text_s(family):
    backbone = tiny_backbone(family)
    prefix, prompt, x = random_prefix(backbone, 3), soft_tokens(backbone, 3), ids(2, 5)
    own = torch.arange(5).expand(2, -1) + backbone.spec.first_position
    for active in (prefix, prompt):
        with backbone.prompted(active):
            counted = backbone.read({"input_ids": x})
            close(backbone.read({"input_ids": x, "position_ids": own}), counted)
            later = backbone.read({"input_ids": x, "position_ids": own * 2})
        assert not torch.allclose(later, counted, atol=1e-2)


@pytest.mark.parametrize("family", ENCODERS)
def test_every_output_of_the_model_has_the_text_s_length(family):
    backbone = tiny_backbone(family, attention="eager")
    prompt, inputs = soft_tokens(backbone, 3), text_for(backbone)
    with backbone.prompted(prompt):
        out = backbone.model(**inputs, output_hidden_states=True, output_attentions=True)
        as_tuple = backbone.model(**inputs, return_dict=False)
    assert out.last_hidden_state.shape[1] == 7
    assert torch.equal(as_tuple[0], out.last_hidden_state)
    assert {states.shape[1] for states in out.hidden_states} == {7}
    assert {weights.shape[2] for weights in out.attentions} == {7}
    pooler = getattr(backbone.model, "pooler", None)
    assert (pooler is None) == (out.get("pooler_output") is None)
    if pooler is not None:
        first = out.last_hidden_state if "albert" not in family else out.last_hidden_state[:, 0]
        pooled = pooler(first) if "albert" not in family else pooler(first).tanh()
        assert torch.equal(out.pooler_output, pooled)
