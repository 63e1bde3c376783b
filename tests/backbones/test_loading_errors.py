"""The errors for checkpoints that exist but cannot be read, and for too little memory."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from softprompt.backbones import load_backbone
from softprompt.errors import BackboneError
from support.tiny import tiny_model
from support.tokenizer import byte_level


@pytest.fixture
def folder(tmp_path):
    """A complete checkpoint of a tiny Llama."""
    tiny_model("llama").save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    return tmp_path


def test_tensors_that_do_not_fit_the_config_are_not_an_unknown_name(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] + 8}))
    with pytest.raises(BackboneError, match=r"which exists but cannot be read .* fit the config\.json"):
        load_backbone(folder)


def test_a_damaged_file_is_not_an_unknown_name(folder):
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(BackboneError, match="which exists but cannot be read"):
        load_backbone(folder)


def test_too_little_memory_keeps_torchs_error(folder, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 2 GiB"):
        load_backbone(folder)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(BackboneError, match=r"a bundled name .*, a checkpoint folder, or a hub id"):
        load_backbone(tmp_path / "nowhere")


def without(folder, name):
    """Remove one tensor from the checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"])
def test_a_tensor_that_is_missing_does_not_become_random(folder, name):
    without(folder, name)
    with pytest.raises(BackboneError, match=rf"whose files lack 1 of its tensors \(the first is {name}\)"):
        load_backbone(folder)


def test_a_pooler_may_be_missing(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    held = load_backbone(tmp_path, dtype="float32").model.state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
def test_an_encoder_may_lack_the_vocabulary_head_that_it_names(tmp_path, family):
    """As sentence encoders are published: `BertForMaskedLM` in config.json, and the encoder in the files."""
    made = tiny_model(f"{family}_mlm")
    made.save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{family}.")}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    held = load_backbone(tmp_path, dtype="float32").model
    assert held.get_output_embeddings() is None
    own = {f"{family}.{name}": tensor for name, tensor in held.state_dict().items()}
    assert all(torch.equal(own[name], tensor) for name, tensor in kept.items() if "pooler" not in name)


@pytest.mark.parametrize("lost", [1, 2])
def test_half_a_vocabulary_head_is_refused(tmp_path, lost):
    tiny_model("bert_mlm").save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in [name for name in tensors if ".transform." in name][:lost]:
        del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=rf"whose files lack {lost} of its tensors \(the first is cls"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors", "aqlm", "hqq", "eetq", "spqr"])
def test_quantised_weights_that_nothing_here_reads_are_named(folder, method):
    """Libraries that are absent, or that need another machine, in a sentence and not as their own error."""
    path = folder / "config.json"
    settings = {"quant_method": method, "bits": 4, "group_size": 32, "format": "pack-quantized"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": settings}))
    with pytest.raises(BackboneError) as caught:
        load_backbone(folder)
    message = str(caught.value)
    assert f"whose weights are quantised ({method}) and cannot be read here (" in message
    assert message.endswith(
        "expected weights in a form that this environment reads. Install the library that reads them, or "
        "take the checkpoint without quantisation."
    )


def test_a_library_that_is_absent_is_named(folder, monkeypatch):
    def absent(*args, **kwargs):
        raise ImportError("MambaModel requires the causal-conv1d library but it was not found")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", absent)
    with pytest.raises(
        BackboneError, match=r"needs a library that is not installed here \(MambaModel requires"
    ):
        load_backbone(folder)


@pytest.mark.parametrize("value", ["yes", 3, [1], {"bits": 4}])
def test_quantisation_settings_that_mean_nothing_are_refused(folder, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": value}))
    with pytest.raises(BackboneError, match=r"backbone\.name: got"):
        load_backbone(folder)


def test_a_missing_tokenizer_is_named(folder):
    for path in folder.glob("token*"):
        path.unlink()
    with pytest.raises(BackboneError, match=r"without a tokenizer that can be read .* pass tokenizer="):
        load_backbone(folder)
    given = byte_level()
    assert load_backbone(folder, given).tokenizer is given
