"""Encoders that differ from BERT in how a text enters them, family by family."""

from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError
from support.prompts import close, pad, random_prefix, soft_tokens
from support.tiny import ids
from zoo.kinds import KINDS
from zoo.outcomes import built


def backbone_of(family: str) -> softprompt.Backbone:
    return softprompt.load_backbone(built(KINDS["masked"], family))


@pytest.mark.parametrize("family", ["esmc", "clip_text_model", "bert"])
@torch.no_grad()
def test_a_prefix_moves_positions_however_the_model_is_called(family):
    backbone = backbone_of(family)
    x = ids(1, 7)
    with backbone.prompted(random_prefix(backbone)):
        states = backbone.read({"input_ids": x})
        out: Any = backbone.model(input_ids=x, output_hidden_states=True)
        inner: Any = backbone.model.base_model(input_ids=x)
    close(states, inner.last_hidden_state)
    if family != "clip_text_model":  # its last norm comes after the last of these
        close(states, out.hidden_states[-1])
    with backbone.prompted(random_prefix(backbone, positions="unshifted")):
        unmoved = backbone.read({"input_ids": x})
    assert not torch.allclose(states, unmoved, atol=1e-2)


@pytest.mark.parametrize("family", ["longformer", "ibert", "roberta"])
@torch.no_grad()
def test_a_text_with_slots_has_the_family_s_own_positions(family):
    """Words in place of the slots' vectors give what the words themselves give."""
    backbone = backbone_of(family)
    table: Any = backbone.model.get_input_embeddings()
    prompt = softprompt.p_tuning(backbone, 2, encoder=None)
    x = ids(1, 9)
    (vectors,) = prompt.parameters()
    vectors.copy_(table.weight[x[0, :2]])
    slots = x.clone()
    slots[0, :2] = torch.tensor([-1, -2])
    with backbone.prompted(prompt):
        filled = backbone.read({"input_ids": slots})
    close(filled, backbone.model.base_model(input_ids=x).last_hidden_state)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("esmc", "which takes tokens by their ids alone"),
        ("layoutlmv3", "which does not take input embeddings"),
    ],
)
def test_slots_are_refused_where_a_text_cannot_be_embeddings(family, message):
    backbone = backbone_of(family)
    prompt = softprompt.p_tuning(backbone, 2, encoder=None)
    with pytest.raises(BackboneError, match=f"slots in the text .* {message}"), backbone.prompted(prompt):
        pass


@torch.no_grad()
def test_inputs_of_each_token_are_empty_at_soft_tokens():
    backbone = backbone_of("markuplm")
    config: Any = backbone.model.config
    prompt, x = soft_tokens(backbone, 3), ids(1, 6)
    tags = torch.randint(0, config.max_xpath_tag_unit_embeddings, (1, 6, config.max_depth))
    subs = torch.randint(0, config.max_xpath_subs_unit_embeddings, (1, 6, config.max_depth))
    with backbone.prompted(prompt):
        ours = backbone.read({"input_ids": x, "xpath_tags_seq": tags, "xpath_subs_seq": subs})
    words = backbone.model.get_input_embeddings()(x)
    model: Any = backbone.model.base_model

    def wide(given: torch.Tensor, empty: int) -> torch.Tensor:
        return torch.cat([given.new_full((1, 3, config.max_depth), empty), given], 1)

    by_hand = model(
        inputs_embeds=torch.cat([prompt().vectors[None], words], 1),
        xpath_tags_seq=wide(tags, config.tag_pad_id),
        xpath_subs_seq=wide(subs, config.subs_pad_id),
    )
    close(ours, by_hand.last_hidden_state[:, 3:])


@pytest.mark.parametrize(
    ("family", "name", "value"),
    [
        ("luke", "entity_ids", torch.ones(1, 1, dtype=torch.long)),
        ("roc_bert", "input_shape_ids", torch.ones(1, 6, dtype=torch.long)),
    ],
)
def test_inputs_that_soft_tokens_would_displace_are_refused(family, name, value):
    backbone = backbone_of(family)
    with backbone.prompted(soft_tokens(backbone)), pytest.raises(BackboneError, match=f"{name}=... for"):
        backbone.read({"input_ids": ids(1, 6), name: value})


def test_a_mask_for_each_pair_of_tokens_is_refused_before_soft_tokens():
    backbone = backbone_of("bert")
    refused = pytest.raises(BackboneError, match=r"attention_mask: got \(1, 1, 6, 6\) for 1 rows of 6 tokens")
    with backbone.prompted(soft_tokens(backbone)), refused:
        backbone.read({"input_ids": ids(1, 6), "attention_mask": torch.ones(1, 1, 6, 6)})


@torch.no_grad()
def test_ids_that_are_read_otherwise_than_their_embeddings():
    backbone = backbone_of("esm")
    long, short = soft_tokens(backbone, 4), soft_tokens(backbone, 2, seed=6)
    rows = [ids(1, n, n)[0] for n in (5, 7)]
    with backbone.prompted([long, short]):
        mixed = backbone.read(pad(rows, "right"))
    for states, row, prompt in zip(mixed, rows, (long, short), strict=True):
        with backbone.prompted(prompt):
            close(states[: len(row)], backbone.read({"input_ids": row[None]})[0])
    with pytest.raises(BackboneError, match="reads a text's ids otherwise"), backbone.prompted([long, None]):
        pass


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("canine", "whose tokens have no table of input embeddings"),
        ("funnel", "which does not read two tokens"),
        ("bros", "it says 'You have to specify bbox'"),
    ],
)
def test_models_without_a_way_in_are_refused_when_they_are_loaded(family, message):
    with pytest.raises(BackboneError, match=message):
        backbone_of(family)
