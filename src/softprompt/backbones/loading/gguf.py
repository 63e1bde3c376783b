"""Conversion of a GGUF file to a transformers checkpoint.

transformers reads GGUF too, but takes three times as long, refuses to save the model, and loses the
tokenizer's rule that each digit is a token (which changes how spaces before digits are split).
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones.loading.quiet import without_bars

DTYPE = torch.bfloat16
"""Precise enough for weights that were quantised to 4 bits, and half the size of float32."""

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL = 3  # the token type of special tokens in GGUF


def convert_gguf(gguf_file: Path, folder: Path) -> None:
    """Write a Llama-type GGUF model with tied embeddings as safetensors, configuration and tokenizer.

    Args:
        gguf_file: of architecture `llama`, with the byte-level `smollm` tokenizer.
        folder: an existing folder, into which the files are written.
    """
    from gguf import GGUFReader
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    reader = GGUFReader(gguf_file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    config = LlamaConfig(
        vocab_size=facts["llama.vocab_size"],
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        rms_norm_eps=_as_written(facts["llama.attention.layer_norm_rms_epsilon"]),
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype=DTYPE,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    heads, kv_heads = facts["llama.attention.head_count"], facts["llama.attention.head_count_kv"]
    weights = dict(_named_weights(reader, heads, kv_heads))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    with without_bars():
        model.save_pretrained(folder)
    # safetensors makes files that only the owner can read, but several users may share a cache.
    shutil.copymode(folder / "config.json", folder / "model.safetensors")
    _tokenizer(facts).save_pretrained(folder)


def _named_weights(reader: Any, n_heads: int, n_kv_heads: int) -> Iterator[tuple[str, torch.Tensor]]:
    from gguf.quants import dequantize

    rotated = {"attn_q": n_heads, "attn_k": n_kv_heads}
    for tensor in reader.tensors:
        stem = tensor.name.removesuffix(".weight")
        weight = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        if stem in _TOP:
            name = _TOP[stem]
        else:
            _, layer, part = stem.split(".")
            name = f"model.layers.{layer}.{_IN_LAYER[part]}"
            if part in rotated:
                weight = _in_halves(weight, rotated[part])
        yield f"{name}.weight", weight.to(DTYPE)


def _in_halves(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    # The two numbers of a rotary pair are neighbours in GGUF and half a head apart in transformers.
    rows, columns = weight.shape
    return weight.view(n_heads, rows // n_heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _as_written(number: float) -> float:
    # GGUF stores float32, in which 1e-05 is 9.999999747378752e-06.
    return float(f"{number:.6g}")


def _tokenizer(facts: dict[str, Any]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    # Without an unknown token, since every byte has a token.
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [
        t for t, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True) if kind == _CONTROL
    ]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        chat_template=facts["tokenizer.chat_template"],
        model_max_length=facts["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
