"""The record of a backbone in a card whose author wrote what no model has."""

import time

import pytest

import softprompt
from softprompt.errors import PromptError
from softprompt.files import BackboneCard, BackboneRecord, difference
from support.cards import edit_card
from support.prompts import random_prefix
from support.tiny import tiny_backbone

EMBEDDINGS = "embed_tokens.weight [64, 32]"


@pytest.mark.parametrize(
    "kind",
    ["embed_tokens.weight [x, y]", "embed_tokens.weight", f"a [{'9' * 5000}]", "a [1, 2", " [3]", "a [-1]"],
    ids=lambda kind: kind[:26],
)
def test_a_kind_of_tensors_without_a_shape_is_refused_when_the_card_is_read(tmp_path, kind):
    backbone = tiny_backbone("llama")
    folder = random_prefix(backbone).save(tmp_path / "p")

    def change(card):
        base = card["backbone"]["record"]["base"]
        card["backbone"]["record"]["base"] = {kind if k == EMBEDDINGS else k: v for k, v in base.items()}

    edit_card(folder, change)
    with pytest.raises(PromptError, match=r"backbone\.record\.base"):
        softprompt.load_prompt(folder, backbone, any_backbone=True)


@pytest.mark.parametrize("shape", ["", "64", "64, 32, 1"])
def test_embeddings_of_another_rank_are_another_backbone(tmp_path, shape):
    backbone = tiny_backbone("llama")
    folder = random_prefix(backbone).save(tmp_path / "p")

    def change(card):
        base = card["backbone"]["record"]["base"]
        other = f"embed_tokens.weight [{shape}]"
        card["backbone"]["record"]["base"] = {other if k == EMBEDDINGS else k: v for k, v in base.items()}

    edit_card(folder, change)
    prompt = softprompt.load_prompt(folder, backbone, any_backbone=True)
    with (
        pytest.raises(PromptError, match="another size"),
        tiny_backbone("llama", seed=1).prompted(prompt),
    ):
        pass


def test_records_of_many_kinds_are_compared_in_linear_time():
    def card(size: int) -> BackboneCard:
        kinds = {f"layer{i}.weight [{size}]": "" for i in range(20_000)}
        record = BackboneRecord(per_tensor=1, base=kinds, head={})
        return BackboneCard(name="x", family="llama", fingerprint="", n_parameters=1, record=record)

    cards, began = (card(3), card(4)), time.perf_counter()
    assert "another size" in str(difference(*cards, own_head=False))
    cards = (card(3), cards[1].model_copy(update={"record": renamed(cards[1].record)}))
    assert "another architecture" in str(difference(*cards, own_head=False))
    assert time.perf_counter() - began < 10


def renamed(record: BackboneRecord | None) -> BackboneRecord:
    assert record is not None
    return record.model_copy(update={"base": {f"other.{kind}": at for kind, at in record.base.items()}})
