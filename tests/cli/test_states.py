"""A prompt of initial states through the commands: from a recipe to a generated text."""

import pytest
import torch
import yaml
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

from cli.conftest import recipe_of
from softprompt.files import read_card
from support.tokenizer import byte_level


@pytest.fixture(scope="module")
def hybrid_folder(tmp_path_factory):
    """A random Qwen3-Next with its tokenizer, as a folder that transformers loads."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny-hybrid"
    torch.manual_seed(0)
    tokenizer = byte_level()
    config = Qwen3NextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
        linear_num_key_heads=2, linear_num_value_heads=4, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, shared_expert_intermediate_size=16, max_position_embeddings=256,
        layer_types=["linear_attention", "full_attention"], initializer_range=0.2, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    Qwen3NextForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_train_inspect_and_generate(softprompt, hybrid_folder, tmp_path):
    # The recipe's own defaults: a start at examples, and a network for keys and values.
    recipe = recipe_of(tmp_path, hybrid_folder, method={"name": "prefix_tuning", "sites": "recurrent"})
    trained = softprompt("train", recipe)
    assert trained.code == 0, trained.err
    run = tmp_path / "runs" / "small"
    card = read_card(run / "prompt")
    assert (card.placement, card.sites, card.length) == ("states", {"recurrent": [0]}, 1)
    assert card.initialization == "examples:4" and card.reparameterization is None
    shown = softprompt("inspect", run / "prompt")
    assert "an initial state for each recurrent layer" in shown.out and "recurrent 0" in shown.out
    made = softprompt("generate", run / "prompt", "--backbone", hybrid_folder, "name : Mill 1")
    assert made.code == 0, made.err
    # The settings that a run keeps can be run again.
    kept = yaml.safe_load((run / "settings.yaml").read_text(encoding="utf-8"))
    assert kept["method"]["sites"] == ["recurrent"]
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump({**kept, "name": "again"}), encoding="utf-8")
    assert softprompt("train", again).code == 0


def test_a_backbone_without_recurrent_layers_is_named(softprompt, tiny_folder, tmp_path):
    recipe = recipe_of(tmp_path, tiny_folder, method={"name": "prefix_tuning", "sites": "recurrent"})
    refused = softprompt("train", recipe)
    assert refused.code != 0 and "keeps no recurrent state in its cache" in refused.err
    assert "Traceback" not in refused.err


def test_kept_activations_are_refused(softprompt, hybrid_folder, tmp_path):
    training = {"steps": 2, "batch_size": 2, "learning_rate": 0.01, "trunk_cache": {"store": "memory"}}
    method = {"name": "prefix_tuning", "sites": "recurrent"}
    refused = softprompt("train", recipe_of(tmp_path, hybrid_folder, method=method, training=training))
    assert refused.code != 0 and "initial states of recurrent layers" in refused.err
