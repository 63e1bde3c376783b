import pytest
import torch

from softprompt.backbones.load import load_backbone
from softprompt.cli.commands.inspect import nearest_tokens
from softprompt.prompts.methods import prompt_tuning


def test_a_prefix_shows_its_card_and_size_and_why_it_has_no_tokens(softprompt, trained):
    prompt = trained / "runs" / "small" / "prompt"
    n_bytes = (prompt / "prompt.safetensors").stat().st_size
    result = softprompt("inspect", prompt)
    assert result.code == 0
    assert "prefix_tuning" in result.out and "key_values" in result.out and "decoder 0-1" in result.out
    assert f"{n_bytes:,} bytes" in result.out
    assert "Nearest tokens: none; keys and values enter attention" in result.out


def test_with_a_backbone_the_share_of_its_bytes_is_shown(softprompt, trained, tiny_folder):
    prompt = trained / "runs" / "small" / "prompt"
    frozen = load_backbone(tiny_folder)
    n_bytes = (prompt / "prompt.safetensors").stat().st_size
    result = softprompt("inspect", prompt, "--backbone", tiny_folder)
    assert result.code == 0
    assert f"{100 * n_bytes / frozen.spec.n_bytes:.2g}% of its " in result.out


def test_soft_tokens_show_the_nearest_words(softprompt, tiny_folder, tmp_path):
    frozen = load_backbone(tiny_folder, device="cpu")
    prompt = prompt_tuning(frozen, initialization="text: the riverside")
    tokens = frozen.token_ids("the riverside")
    found = nearest_tokens(prompt, frozen, 2)
    assert [row[0][0] for row in found] == tokens
    assert [row[0][1] for row in found] == pytest.approx([1.0] * len(tokens))
    assert all(row[0][1] > row[1][1] for row in found)
    prompt.save(tmp_path / "p")
    alone = softprompt("inspect", tmp_path / "p")
    assert alone.code == 0 and "Nearest tokens: not shown, they need the backbone" in alone.out
    result = softprompt("inspect", tmp_path / "p", "--backbone", tiny_folder)
    assert result.code == 0
    assert f"{frozen.tokenizer.decode(tokens[:1])!r} 1.00" in result.out


def test_nearest_is_by_angle_and_not_by_length(tiny_folder):
    frozen = load_backbone(tiny_folder, device="cpu")
    prompt = prompt_tuning(frozen, initialization="text: riverside")
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter *= 0.01
    assert nearest_tokens(prompt, frozen, 1)[0][0][1] == pytest.approx(1.0)
