"""What is said of a checkpoint that is there and cannot be read, and of memory that is short."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from softprompt.backbones import load_backbone
from softprompt.errors import BackboneError
from support.tiny import tiny_model
from support.tokenizer import byte_level


@pytest.fixture
def folder(tmp_path):
    """A whole checkpoint of a tiny Llama."""
    tiny_model("llama").save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    return tmp_path


def test_tensors_that_do_not_fit_the_config_are_no_unknown_name(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] + 8}))
    with pytest.raises(BackboneError, match=r"which is there and cannot be read .* fit the config\.json"):
        load_backbone(folder)


def test_a_damaged_file_is_no_unknown_name(folder):
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(BackboneError, match="which is there and cannot be read"):
        load_backbone(folder)


def test_memory_that_is_short_is_told_as_that(folder, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 2 GiB"):
        load_backbone(folder)


def test_an_unknown_name_is_one(tmp_path):
    with pytest.raises(BackboneError, match=r"a bundled name .*, a checkpoint folder, or a hub id"):
        load_backbone(tmp_path / "nowhere")
