"""GGUF conversion: a tiny GGUF file made from a known model gives that model back, number by number."""

from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from softprompt.backbones.loading.gguf import convert_gguf

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ Ġ", "h e", "Ġ he"]
TOKENS = CONTROL + sorted(ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in MERGES]
GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers.": "blk.",
}


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        # larger than the usual start, so that attention is far from uniform; numbers that bfloat16 holds,
        # so that nothing is rounded on the way
        parameter.data = torch.randn_like(parameter).mul(0.3).bfloat16().float()
    return model


@pytest.fixture(scope="module")
def converted(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    gguf_file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    config = original.config
    writer = GGUFWriter(gguf_file, "llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(100_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(TOKENS) - len(CONTROL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    for name, weight in original.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(*as_gguf(name, weight, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert_gguf(gguf_file, folder)
    return folder


def as_gguf(name: str, weight: torch.Tensor, config: LlamaConfig):
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for part, n_heads in heads.items():
        if part in name:
            # row 2i of a head takes its row i, row 2i + 1 the row i half a head further
            size = len(weight) // n_heads
            order = [
                head * size + pair + half * size // 2
                for head in range(n_heads)
                for pair in range(size // 2)
                for half in (0, 1)
            ]
            weight = weight[order]
    for theirs, ours in GGUF_NAMES.items():
        name = name.replace(theirs, ours)
    return name, weight.contiguous().numpy()


def test_every_weight_comes_back(original, converted):
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        converted, dtype=torch.float32, output_loading_info=True
    )
    model, report = loaded
    assert not any(report.values())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    theirs, ours = original.state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    ids = torch.randint(len(TOKENS), (2, 9))
    assert torch.equal(original.eval()(ids).logits, model(ids).logits)


def test_the_configuration_is_as_written(original, converted):
    config = AutoModelForCausalLM.from_pretrained(converted).config
    assert config.dtype == torch.bfloat16
    assert config.rms_norm_eps == 1e-5
    assert config.rope_parameters["rope_theta"] == 100_000
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 2)
    assert config.max_position_embeddings == 64


def test_the_tokenizer_splits_as_smollm_does(converted):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("he he  12<|im_end|>").input_ids)
    assert pieces == ["he", "Ġhe", "ĠĠ", "1", "2", "<|im_end|>"]
    for text in ("he  7, é 🙂\n\n8", " he", ""):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "he"}], tokenize=False) == "he"
    assert tokenizer.model_max_length == 64
