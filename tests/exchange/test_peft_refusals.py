"""What an adapter folder does not say, cannot say, or says of another model: a sentence, and nothing run."""

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

import softprompt
from softprompt import peft as adapters
from support.adapters import backbone_of, saved
from support.prompts import random_prefix, soft_tokens

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path):
    return saved(backbone_of("llama"), "prefix", "CAUSAL_LM", tmp_path / "theirs")


def refused(folder, backbone=None, **options):
    with pytest.raises(softprompt.PromptError) as caught:
        adapters.load(folder, backbone or backbone_of("llama"), **options)
    return str(caught.value)


def change(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_another_kind_of_adapter(folder):
    change(folder, peft_type="LORA")
    assert "'LORA', which is no soft prompt" in refused(folder)


def test_no_adapter_folder(tmp_path):
    assert "no adapter_config.json in it" in refused(tmp_path)
    assert "no adapter_config.json in it" in refused(tmp_path / "nowhere")


def test_a_config_without_its_tensors(folder):
    (folder / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors: got no such file" in refused(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [("[1]", "no peft_type"), ("{", "invalid JSON"), ('{"peft_type": 3}', "no peft_type"),
     ('{"peft_type": "PREFIX_TUNING"}', "num_virtual_tokens: got nothing")],
)  # fmt: skip
def test_a_config_that_is_none(folder, content, said):
    (folder / "adapter_config.json").write_text(content)
    assert said in refused(folder)


def test_numbers_that_are_none(folder):
    change(folder, num_virtual_tokens="many")
    assert "num_virtual_tokens: got 'many'" in refused(folder)
    change(folder, num_virtual_tokens=10**9)
    assert "shape [2, 96], expected shape [1000000000, 96]" in refused(folder)


def test_a_backbone_of_other_sizes(folder):
    said = refused(folder, backbone_of("gpt2"))
    assert "3 layers with 2 heads" in said and "3 layers with 4 heads" in said
    tokens = saved(backbone_of("llama"), "prompt", "CAUSAL_LM", folder.parent / "tokens")
    change(tokens, token_dim=16)
    assert "shape [2, 32], expected shape [2, 16]" in refused(tokens)
    save_file({"prompt_embeddings": torch.zeros(2, 16)}, tokens / "adapter_model.safetensors")
    assert "soft tokens of 16 numbers" in refused(tokens)
    assert "an encoder-decoder" in refused(folder, backbone_of("t5"))


def test_a_backbone_of_another_name(folder):
    change(folder, base_model_name_or_path="somebody/Big-Model")
    backbone = backbone_of("llama")
    adapters.load(folder, backbone)  # a live model without a name: nothing to compare
    backbone.model.name_or_path = "somebody/small-model"
    assert "somebody/Big-Model" in refused(folder, backbone)
    adapters.load(folder, backbone, any_backbone=True)
    backbone.model.name_or_path = "/models/big-model/"
    adapters.load(folder, backbone)


def test_a_truncated_file(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert "no tensors" in refused(folder)


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_a_pickle_in_disguise(folder, tmp_path, how):
    path, ran = folder / "adapter_model.safetensors", tmp_path / "ran"
    with path.open("wb") as file:
        (pickle.dump if how == "pickle" else torch.save)({"prompt_embeddings": Runs(ran)}, file)
    assert "a pickle" in refused(folder)
    path.rename(folder / "adapter_model.bin")
    assert "adapter_model.bin: got a pickle that asks for" in refused(folder) or how == "pickle"
    assert "adapter_model.bin" in refused(folder)
    assert not ran.exists()


def test_an_older_file_of_torch_save(folder):
    backbone = backbone_of("llama")
    expected = adapters.load(folder, backbone)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    again = adapters.load(folder, backbone)
    assert all(torch.equal(t, again.tensors()[name]) for name, t in expected.tensors().items())


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(folder, precision):
    path, backbone = folder / "adapter_model.safetensors", backbone_of("llama")
    flat = load_file(path)["prompt_embeddings"].to(precision)
    save_file({"prompt_embeddings": flat}, path)
    (block,) = adapters.load(folder, backbone)()
    assert torch.equal(block.keys[1, 0, :, 0], flat.view(2, 6, 2, 8)[:, 2, 0, 0].float())


def test_whole_numbers_are_no_prompt(folder):
    save_file(
        {"prompt_embeddings": torch.zeros(2, 96, dtype=torch.int32)}, folder / "adapter_model.safetensors"
    )
    assert "numbers of I32" in refused(folder)


def test_a_header_whose_length_looks_like_a_pickle(folder):
    """A header of 640 bytes begins as a pickle does (0x80 0x02)."""
    path, backbone = folder / "adapter_model.safetensors", backbone_of("llama")
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + n].rstrip() + b" " * 640
    path.write_bytes(struct.pack("<Q", 640) + header[:640] + content[8 + n :])
    adapters.load(folder, backbone)


def test_numbers_that_are_not_finite(folder):
    path = folder / "adapter_model.safetensors"
    save_file({"prompt_embeddings": torch.full((2, 96), float("nan"))}, path)
    assert "not finite" in refused(folder)


def test_tensors_of_something_else(folder):
    path = folder / "adapter_model.safetensors"
    save_file({**load_file(path), "lora_A": torch.zeros(2)}, path)
    assert "'lora_A', which is neither the prompt nor of a saved module" in refused(folder)


def test_a_head_that_the_backbone_lacks(tmp_path):
    folder = saved(backbone_of("bert tokens"), "prefix", "TOKEN_CLS", tmp_path)
    assert "base_model.classifier" in refused(folder, backbone_of("bert"))


def test_the_head_of_an_encoder_that_pefts_soft_tokens_answer_for(tmp_path):
    folder = saved(backbone_of("bert sequence"), "prompt", "SEQ_CLS", tmp_path)
    assert "the state of the first soft token" in refused(folder, backbone_of("bert sequence"))


@pytest.mark.parametrize(
    ("task", "said"), [(None, "task: got none"), (3, "task: got 3"), (-1, "task: got -1")]
)
def test_the_task_of_several_has_to_be_named(tmp_path, task, said):
    folder = saved(backbone_of("llama"), "multitask", "CAUSAL_LM", tmp_path)
    assert said in refused(folder, task=task) and "0 to 2" in refused(folder, task=task)


def test_a_task_where_there_is_one(folder):
    assert "task: got 0" in refused(folder, task=0)


def _unshifted(backbone):
    return random_prefix(backbone, 2, positions="unshifted")


def _some_layers(backbone):
    return random_prefix(backbone, 2, layers="first:2")


def _in_place(backbone):
    from softprompt.prompts import PromptBuilder

    builder = PromptBuilder("p_tuning", backbone, template="[soft*2] {text} [blank]")
    return builder.with_vectors(builder.soft_tokens(), "random", 2, positions="shifted", in_place=True)


def _with_a_head(backbone):
    card = softprompt.head("sequence", labels=("a", "b"), pooling="last")
    return softprompt.prefix_tuning(backbone, 2, reparameterization=None, initialization="random", head=card)


WRITTEN = [
    (_unshifted, "positions start at 0"), (_some_layers, "before every layer"),
    (_in_place, "soft tokens at places of a template"), (_with_a_head, "a head of softprompt's own"),
    (lambda backbone: softprompt.lora(backbone), "a prompt without vectors"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), WRITTEN)
def test_what_pefts_files_cannot_say(tmp_path, make, said):
    with pytest.raises(softprompt.PromptError) as caught:
        adapters.save(make(backbone := backbone_of("llama")), tmp_path / "out", backbone)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_prompt_that_does_not_know_its_backbone(tmp_path):
    backbone = backbone_of("llama")
    prompt = pickle.loads(pickle.dumps(soft_tokens(backbone)))
    with pytest.raises(softprompt.PromptError, match=r"Pass backbone=\.\.\."):
        adapters.save(prompt, tmp_path)
    adapters.save(prompt, tmp_path, backbone)
    with pytest.raises(softprompt.PromptError, match="that the prompt was trained on"):
        adapters.save(prompt, tmp_path, backbone_of("gpt2"))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(softprompt.PromptError, match="while saving"):
        adapters.save(soft_tokens(backbone_of("llama")), tmp_path / "file" / "folder")
