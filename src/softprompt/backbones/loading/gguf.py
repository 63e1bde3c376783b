"""Conversion of a GGUF file to a transformers checkpoint.

transformers reads GGUF too, but takes three times as long, refuses to save the model, and loses the rule of
SmolLM2's tokenizer that each digit is a token (which changes how spaces before digits are split).
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones.loading.gguf_tokenizers import byte_level, sentence_pieces
from softprompt.backbones.loading.quiet import without_bars
from softprompt.errors import BackboneError

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
_IN_GEMMA_LAYER = _IN_LAYER | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_LOCAL_ROPE = 10_000.0
"""Base of the rotary positions in Gemma 3's sliding windows, which GGUF leaves out and llama.cpp knows."""


@dataclass(frozen=True)
class _Family:
    """How one architecture of GGUF becomes a model of transformers.

    Args:
        in_layer: parts of a layer by their names in GGUF.
        model: makes the model without weights from the facts in the file.
        tokenizer: makes the tokenizer from the same facts.
        rotary_neighbours: whether the two numbers of a rotary pair are neighbours in GGUF.
        norms_from_one: whether transformers adds one to the weights of norms, which GGUF has added already.
    """

    in_layer: Mapping[str, str]
    model: Callable[[Mapping[str, Any]], Any]
    tokenizer: Callable[[Mapping[str, Any]], Any]
    rotary_neighbours: bool = False
    norms_from_one: bool = False


def convert_gguf(gguf_file: Path, folder: Path) -> None:
    """Write a GGUF model with tied embeddings as safetensors, configuration and tokenizer.

    Args:
        gguf_file: of architecture `llama`, with the byte-level `smollm` tokenizer, or `gemma3`.
        folder: an existing folder, into which the files are written.

    Raises:
        BackboneError: another architecture.
    """
    from gguf import GGUFReader
    from transformers import GenerationConfig

    reader = GGUFReader(gguf_file)
    # Scores of tokens only say their order again, and take seconds to read.
    facts = {name: field.contents() for name, field in reader.fields.items() if not name.endswith(".scores")}
    architecture = facts["general.architecture"]
    if architecture not in _FAMILIES:
        raise BackboneError(
            gguf_file.name, f"a GGUF file of {architecture}", f"one of {', '.join(_FAMILIES)}"
        )
    family = _FAMILIES[architecture]
    with torch.device("meta"):
        model = family.model(facts)
    weights = dict(_named_weights(reader, family, model.config))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(model.config)
    with without_bars():
        model.save_pretrained(folder)
    # safetensors makes files that only the owner can read, but several users may share a cache.
    shutil.copymode(folder / "config.json", folder / "model.safetensors")
    family.tokenizer(facts).save_pretrained(folder)


def _llama(facts: Mapping[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    rope = {"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]}
    shape = _shape(facts, "llama")
    return LlamaForCausalLM(LlamaConfig(vocab_size=facts["llama.vocab_size"], rope_parameters=rope, **shape))


def _gemma3(facts: Mapping[str, Any]) -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    size = facts["gemma3.attention.key_length"]
    bases = {"full_attention": facts["gemma3.rope.freq_base"], "sliding_attention": _LOCAL_ROPE}
    config = Gemma3TextConfig(
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        head_dim=size,
        query_pre_attn_scalar=size,
        sliding_window=facts["gemma3.attention.sliding_window"],
        rope_parameters={kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()},
        **_shape(facts, "gemma3"),
    )
    return Gemma3ForCausalLM(config)


def _shape(facts: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """The settings that all architectures have under the same names."""
    return {
        "hidden_size": facts[f"{architecture}.embedding_length"],
        "intermediate_size": facts[f"{architecture}.feed_forward_length"],
        "num_hidden_layers": facts[f"{architecture}.block_count"],
        "num_attention_heads": facts[f"{architecture}.attention.head_count"],
        "num_key_value_heads": facts[f"{architecture}.attention.head_count_kv"],
        "max_position_embeddings": facts[f"{architecture}.context_length"],
        "rms_norm_eps": _as_written(facts[f"{architecture}.attention.layer_norm_rms_epsilon"]),
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
        "tie_word_embeddings": True,
        "dtype": DTYPE,
    }


_FAMILIES = {
    "llama": _Family(_IN_LAYER, _llama, byte_level, rotary_neighbours=True),
    "gemma3": _Family(_IN_GEMMA_LAYER, _gemma3, sentence_pieces, norms_from_one=True),
}


def _named_weights(reader: Any, family: _Family, config: Any) -> Iterator[tuple[str, torch.Tensor]]:
    from gguf.quants import dequantize

    rotated = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in reader.tensors:
        stem = tensor.name.removesuffix(".weight")
        weight = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        if stem in _TOP:
            name = _TOP[stem]
        else:
            _, layer, part = stem.split(".")
            name = f"model.layers.{layer}.{family.in_layer[part]}"
            if family.rotary_neighbours and part in rotated:
                weight = _in_halves(weight, rotated[part])
        if family.norms_from_one and name.endswith("norm"):
            weight = weight - 1
        yield f"{name}.weight", weight.to(DTYPE)


def _in_halves(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    # The two numbers of a rotary pair are neighbours in GGUF and half a head apart in transformers.
    rows, columns = weight.shape
    return weight.view(n_heads, rows // n_heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _as_written(number: float) -> float:
    # GGUF stores float32, in which 1e-05 is 9.999999747378752e-06.
    return float(f"{number:.6g}")
