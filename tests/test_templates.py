"""Copies of tiny backbones are what making them anew gives."""

import pytest
import torch

from support.modules import standing_on
from support.tiny import ids, tiny_backbone, tiny_model


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert_mlm"])
def test_a_copy_is_what_making_it_gives(family):
    made = tiny_backbone.__wrapped__(family)
    after = torch.get_rng_state()
    copies = tiny_backbone(family), tiny_backbone(family)
    assert torch.equal(torch.get_rng_state(), after)
    tied = made.model.get_input_embeddings().weight is made.model.get_output_embeddings().weight
    for copy in copies:
        assert copy.spec == made.spec
        assert standing_on(copy.model).keys() == standing_on(made.model).keys()
        assert [(a.site, a.layer, a.shape) for a in copy.sites] == [
            (a.site, a.layer, a.shape) for a in made.sites
        ]
        assert (copy.model.get_input_embeddings().weight is copy.model.get_output_embeddings().weight) is tied
        assert all(not p.requires_grad for p in copy.model.parameters())
        for name, tensor in made.model.state_dict().items():
            assert torch.equal(copy.model.state_dict()[name], tensor)
    modules = [set(map(id, copy.model.modules())) for copy in copies]
    assert not modules[0] & modules[1]


def test_a_change_to_one_copy_is_in_no_other():
    first = tiny_model("llama")
    with torch.no_grad():
        first.get_input_embeddings().weight.zero_()
    first.config.pad_token_id = 7
    first.register_forward_hook(lambda *args: None)
    second = tiny_model("llama")
    assert second.config.pad_token_id == 0 and not second._forward_hooks
    with torch.no_grad():
        made = tiny_model.__wrapped__("llama")
        assert torch.equal(second(ids(1, 3)).logits, made(ids(1, 3)).logits)
