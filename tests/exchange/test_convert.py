"""softprompt convert: one prompt, or a folder of them with a table of what was refused."""

import json

import pytest
import torch

import softprompt
from softprompt import cartridges
from softprompt import peft as adapters
from softprompt.cli.app import main
from softprompt.exchange import read
from support.prompts import random_prefix, soft_tokens
from support.reading import llama


@pytest.fixture
def backbone(tmp_path):
    """A backbone as a folder, and loaded."""
    made = llama()
    made.model.save_pretrained(tmp_path / "backbone")
    made.tokenizer.save_pretrained(tmp_path / "backbone")
    return softprompt.load_backbone(str(tmp_path / "backbone"))


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in ("convert", *arguments)])
    shown = capsys.readouterr()
    return ended.value.code, " ".join(shown.out.split()), " ".join(shown.err.split())


def same(one, other):
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_round_all_forms(tmp_path, capsys, backbone):
    prompt = random_prefix(backbone, 3)
    prompt.save(tmp_path / "prompt")
    name = tmp_path / "backbone"
    for to, out in (("peft", "adapter"), ("cartridge", "c.pt"), ("softprompt", "again")):
        before = tmp_path / {"peft": "prompt", "cartridge": "adapter", "softprompt": "c.pt"}[to]
        code, said, _ = run(capsys, before, tmp_path / out, "--to", to, "--backbone", name)
        assert code == 0 and f"wrote {tmp_path / out}" in said
        assert same(read(tmp_path / out, backbone), prompt)


def test_no_folder_of_this_machine_is_written(tmp_path, capsys, backbone):
    random_prefix(backbone, 3).save(tmp_path / "prompt")
    arguments = ("--to", "peft", "--backbone", tmp_path / "backbone")
    assert run(capsys, tmp_path / "prompt", tmp_path / "out", *arguments)[0] == 0
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "backbone"
    adapters.load(tmp_path / "out", backbone)


@pytest.mark.parametrize("name", ["smollm2-135m", "gemma3-270m"])
def test_a_bundled_backbone_is_named_as_the_hub_does(tmp_path, backbone, name):
    from softprompt.backbones import BUNDLED

    bundled = softprompt.Backbone(backbone.model, backbone.tokenizer, name)
    adapters.save(random_prefix(bundled, 3), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == (BUNDLED[name].hub_id or "backbone")
    adapters.load(tmp_path, bundled)


def test_requests(tmp_path, capsys, backbone):
    prompt = soft_tokens(backbone)
    prompt.save(tmp_path / "prompt")
    out, name = tmp_path / "requests.jsonl", tmp_path / "backbone"
    code, _, said = run(capsys, tmp_path / "prompt", out, "--to", "vllm", "--backbone", name)
    assert code == 1 and "add --text" in said.lower()
    arguments = ("--to", "vllm", "--backbone", name, "--text", "the mill", "--text", "a river")
    assert run(capsys, tmp_path / "prompt", out, *arguments)[0] == 0
    bodies = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(bodies) == 2 and bodies[0]["prompt_embeds"] != bodies[1]["prompt_embeds"]
    code, _, said = run(capsys, tmp_path / "prompt", out, "--to", "peft", "--text", "the mill")
    assert code == 2 and "--text" in said


def test_a_folder_of_prompts_and_what_was_refused(tmp_path, capsys, backbone):
    prompts = tmp_path / "prompts"
    good, tokens = random_prefix(backbone, 3), soft_tokens(backbone)
    good.save(prompts / "good")
    random_prefix(backbone, 3, layers="first:1").save(prompts / "some-layers")
    adapters.save(tokens, prompts / "theirs")
    cartridges.save(good, prompts / "long.pt")
    (prompts / "notes.txt").write_text("nothing")
    code, out, err = run(
        capsys, prompts, tmp_path / "out", "--to", "peft", "--backbone", tmp_path / "backbone"
    )
    assert code == 1 and "refused" in out and "some-layers" in err and "before every layer" in err
    assert same(adapters.load(tmp_path / "out" / "good", backbone), good)
    assert same(adapters.load(tmp_path / "out" / "long", backbone), good)
    assert same(adapters.load(tmp_path / "out" / "theirs", backbone), tokens)
    assert not (tmp_path / "out" / "some-layers").exists()


def test_dots_in_the_names_of_prompts_stay(tmp_path, capsys, backbone):
    """Otherwise one of `tone.1` and `tone.2` would be written over the other."""
    prompts = tmp_path / "prompts"
    made = [random_prefix(backbone, 3, seed=seed) for seed in (1, 2)]
    for i, prompt in enumerate(made, 1):
        prompt.save(prompts / f"tone.{i}")
    arguments = ("--to", "cartridge", "--backbone", tmp_path / "backbone")
    assert run(capsys, prompts, tmp_path / "out", *arguments)[0] == 0
    for i, prompt in enumerate(made, 1):
        assert same(read(tmp_path / "out" / f"tone.{i}.pt", backbone), prompt)


def test_nothing_there(tmp_path, capsys):
    code, _, said = run(capsys, tmp_path, tmp_path / "out", "--to", "peft")
    assert code == 1 and "a folder of such" in said
    code, _, said = run(capsys, tmp_path / "nowhere", tmp_path / "out", "--to", "peft")
    assert code == 1 and "no such file or directory" in said


def test_a_backbone_has_to_be_named(tmp_path, capsys, backbone):
    adapters.save(random_prefix(backbone, 3), tmp_path / "adapter")
    code, _, said = run(capsys, tmp_path / "adapter", tmp_path / "out", "--to", "softprompt")
    assert code == 1 and "Add --backbone" in said
