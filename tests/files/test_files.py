"""A prompt file is whole or refused, and an older one is never lost."""

import errno
import os

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from softprompt.files import prompt_folder
from support.cards import edit_card
from support.prompts import random_prefix
from support.tiny import ids, tiny_backbone


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone("llama")


@pytest.fixture
def saved(backbone, tmp_path):
    random_prefix(backbone, 3).describe(task={"separator": " ->"}).save(tmp_path / "prompt")
    return tmp_path / "prompt"


def test_the_folder_holds_tensors_and_card_and_nothing_else(saved, backbone):
    assert sorted(p.name for p in saved.iterdir()) == ["prompt.json", "prompt.safetensors"]
    card = prompt_folder.read_card(saved)
    assert card.task == {"separator": " ->"}
    assert card.backbone.fingerprint == backbone.spec.fingerprint
    assert {"torch", "transformers"} <= set(card.versions)
    assert [p.name for p in saved.parent.iterdir()] == ["prompt"]


def test_saving_again_replaces(saved, backbone):
    random_prefix(backbone, 5).save(saved)
    assert softprompt.load_prompt(saved, backbone).length == 5
    assert [p.name for p in saved.parent.iterdir()] == ["prompt"]


def test_a_truncated_file_is_refused(saved, backbone):
    path = saved / prompt_folder.TENSORS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PromptError, match=r"prompt\.safetensors: got no tensors \(.* in the header\)"):
        softprompt.load_prompt(saved, backbone)


def test_a_tampered_file_is_refused(saved, backbone):
    path = saved / prompt_folder.TENSORS
    payload = bytearray(path.read_bytes())
    payload[-1] ^= 1
    path.write_bytes(payload)
    with pytest.raises(PromptError, match="do not match the card"):
        softprompt.load_prompt(saved, backbone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format_version": 99},
            r"got format 99, expected format 4 or older\. Install a newer softprompt to read it\.",
        ),
        ({"format_version": None}, "no format_version"),
        ({"length": "many"}, r"prompt\.json: length: got 'many'"),
        ({"surprise": 1}, r"prompt\.json: surprise"),
        ({"length": 4}, r"decoder\.0-2\.keys: got shape \[3, 2, 3, 8\], expected shape \[3, 2, 4, 8\]\."),
        ({"sites": {"decoder": [0, 7]}}, "got layer 7, expected layers 0-2"),
        ({"sites": {"cross": [0]}}, "sites: got cross"),
        (
            {"sites": {"decoder": [0]}},
            r"decoder\.0\.keys: got no such tensor, expected a tensor of shape \[1, 2, 3, 8\]\.",
        ),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved, backbone, changes, message):
    edit_card(saved, lambda card: card.update(changes))
    with pytest.raises(PromptError, match=message):
        softprompt.load_prompt(saved, backbone)


def test_broken_json_and_missing_files_are_named(saved, backbone, tmp_path):
    with pytest.raises(PromptError, match=r"prompt\.json: got no such file"):
        softprompt.load_prompt(tmp_path / "nowhere", backbone)
    (saved / prompt_folder.CARD).write_text("{", encoding="utf-8")
    with pytest.raises(PromptError, match="invalid JSON"):
        softprompt.load_prompt(saved, backbone)
    (saved / prompt_folder.CARD).write_text("[]", encoding="utf-8")
    with pytest.raises(PromptError, match="no format_version"):
        softprompt.load_prompt(saved, backbone)


def test_a_prompt_for_another_backbone_is_refused(saved):
    other = tiny_backbone("llama", seed=1)
    with pytest.raises(
        PromptError, match=r"backbone: got LlamaForCausalLM .* which the prompt was trained on"
    ):
        softprompt.load_prompt(saved, other)
    forced = softprompt.load_prompt(saved, other, any_backbone=True)
    with other.prompted(forced):
        assert other.model(ids(1, 3)).logits.shape == (1, 3, 64)
    with pytest.raises(PromptError, match="a prompt for LlamaForCausalLM, which LlamaForCausalLM is not"):
        other.prompted(random_prefix(tiny_backbone("llama")))


def test_precision_does_not_change_the_fingerprint():
    half = tiny_backbone("llama").model.bfloat16()
    assert softprompt.load_backbone(half).spec.fingerprint == tiny_backbone("llama").spec.fingerprint


def test_numbers_that_are_not_finite_are_refused(backbone, tmp_path):
    prompt = random_prefix(backbone, 3)
    with torch.no_grad():
        next(prompt.parameters())[0, 0] = float("nan")
    prompt.save(tmp_path / "p")
    with pytest.raises(PromptError, match="keys: got numbers that are not finite, expected a trained prompt"):
        softprompt.load_prompt(tmp_path / "p", backbone)


def test_a_full_disk_keeps_the_older_prompt(saved, backbone, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        PromptError, match=r"no space left on device while saving, .* and save again \(an older"
    ):
        random_prefix(backbone, 5).save(saved)
    monkeypatch.undo()
    assert softprompt.load_prompt(saved, backbone).length == 3
    assert [p.name for p in saved.parent.iterdir()] == ["prompt"]


def test_a_file_in_the_way_is_told_as_that(backbone, tmp_path):
    (tmp_path / "notes").write_text("mine")
    for folder in (tmp_path / "notes", tmp_path / "notes" / "prompt"):
        with pytest.raises(PromptError, match=r"notes: got a file, expected a folder to save into\. Choose"):
            random_prefix(backbone, 3).save(folder)
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_link_to_nothing_is_told_as_that(backbone, tmp_path):
    (tmp_path / "latest").symlink_to(tmp_path / "gone")
    with pytest.raises(PromptError, match=r"latest: got a link to nothing, expected a folder to save into"):
        random_prefix(backbone, 3).save(tmp_path / "latest")
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
