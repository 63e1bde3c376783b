"""GGUF conversion of Gemma 3: windows, norms around one, and pieces that merge by their order."""

from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

from softprompt.backbones.loading.gguf import convert_gguf
from softprompt.errors import BackboneError

CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
DEFINED = ["\n", "\n\n", "  "]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
# Earlier pieces merge first: of "abc" comes "ab" and "c", although "bc" is there.
PIECES = ["ab", "bc", "\u2581a", "\u2581ab", "a", "b", "c", "\u2581"]
TOKENS = CONTROL + DEFINED + BYTES + PIECES
TYPES = [3] * len(CONTROL) + [4] * len(DEFINED) + [6] * len(BYTES) + [1] * len(PIECES)
NAMES = {
    "post_feedforward_layernorm": "post_ffw_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "input_layernorm": "attn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "model.layers.": "blk.",
}


@pytest.fixture(scope="module")
def original() -> Gemma3ForCausalLM:
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(TOKENS), hidden_size=24, intermediate_size=32, num_hidden_layers=7,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16,
        max_position_embeddings=64, sliding_window=4,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    for parameter in model.parameters():
        # numbers that bfloat16 holds, also one more than they are
        parameter.data = torch.randn_like(parameter).mul(32).round().div(64)
    return model


@pytest.fixture(scope="module")
def converted(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    gguf_file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    config = original.config
    writer = GGUFWriter(gguf_file, "gemma3")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([-1000.0] * len(TOKENS))
    writer.add_token_types(TYPES)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    for name, weight in original.state_dict().items():
        if name == "lm_head.weight":
            continue
        held = weight + 1 if "norm" in name else weight
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, held.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert_gguf(gguf_file, folder)
    return folder


def test_every_weight_and_window_comes_back(original, converted):
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        converted, dtype=torch.float32, output_loading_info=True
    )
    model, report = loaded
    assert not any(report.values())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    theirs, ours = original.state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert model.config.layer_types == original.config.layer_types
    assert "full_attention" in model.config.layer_types
    ids = torch.randint(len(TOKENS), (2, 15))
    assert torch.equal(original(ids).logits, model(ids).logits)


def test_the_tokenizer_merges_earlier_pieces_first(converted):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    for text, pieces in {
        "abc": ["ab", "c"],
        "bc ab": ["bc", "\u2581ab"],
        "a\n\nb": ["a", "\n\n", "b"],
        "a  b": ["a", "\u2581\u2581", "b"],
        "\u00e9": ["<0xC3>", "<0xA9>"],
        "a<eos>": ["a", "<eos>"],
    }.items():
        ids = tokenizer(text).input_ids
        assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", *pieces]
        assert tokenizer.decode(ids[1:]) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 1, 0)


def test_another_architecture_is_refused(tmp_path):
    writer = GGUFWriter(tmp_path / "tiny.gguf", "rwkv7")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BackboneError, match="a GGUF file of rwkv7, expected one of llama, gemma3"):
        convert_gguf(tmp_path / "tiny.gguf", tmp_path)
