"""Cards with fields that only prompts of another placement have, and a checksum that fits."""

import pytest

import softprompt
from softprompt.errors import PromptError
from support.cards import edit_card
from support.prompts import random_prefix, soft_tokens
from support.tiny import tiny_backbone
from support.tiny_vision import tiny_vision

PROMPTS = {
    "key_values": lambda: (backbone := tiny_backbone("llama"), random_prefix(backbone)),
    "slot_embeddings": lambda: (backbone := tiny_backbone("llama"), soft_tokens(backbone)),
    "image": lambda: (
        backbone := tiny_vision("vit"),
        softprompt.visual_prompt_tuning(backbone, location="add"),
    ),
    "none": lambda: (backbone := tiny_backbone("bert"), softprompt.adapter(backbone, width=2)),
}
OF_PICTURES = {"location": "prepend", "depth": "deep", "layers": [0]}
ELSEWHERE = [
    *((placement, "sites", {"encoder": [0]}) for placement in ("slot_embeddings", "image", "none")),
    *((placement, *field) for placement in PROMPTS if placement != "image" for field in OF_PICTURES.items()),
]


@pytest.mark.parametrize(("placement", "name", "value"), ELSEWHERE)
def test_a_field_of_another_placement_is_refused(tmp_path, placement, name, value):
    backbone, prompt = PROMPTS[placement]()
    assert prompt.card.placement == placement
    folder = prompt.save(tmp_path / "p")
    softprompt.load_prompt(folder, backbone)
    edit_card(folder, lambda card: card.update({name: value}))
    with pytest.raises(PromptError, match=f"{name}: .* expected no {name}, which only"):
        softprompt.load_prompt(folder, backbone)


@pytest.mark.parametrize("change", [{"labels": ["yes"]}, {"kind": "picture"}, {"hidden_layers": 7}])
def test_a_head_that_cannot_be_is_refused_with_the_folder(tmp_path, change):
    backbone = tiny_backbone("bert")
    prompt = softprompt.head_only(backbone, head=softprompt.head("sequence", ["no", "yes"]))
    folder = prompt.save(tmp_path / "p")
    edit_card(folder, lambda card: card["head"].update(change))
    with pytest.raises(PromptError, match=r"/p: head\."):
        softprompt.load_prompt(folder, backbone)
