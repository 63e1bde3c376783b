"""Tiny configurations for every family that the installed transformers can build.

Most families need no line here: the numbers of a family's default configuration are made small by their
names. The tables below hold what one family asks for beyond that.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.integrations.heterogeneity.configuration_utils import AmbiguousGlobalPerLayerAttributeError

VOCAB = 99
LAYERS = 4
IMAGE = 90
"""The word that stands for a piece of a picture."""
SIDE = 28
"""Height and width of pictures in pixels."""

# By the attribute's name in the configuration.
SMALL: dict[str, Any] = {
    "vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "mask_token_id": 5,
    "cls_token_id": 1, "sep_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": None,
    "lang_id": 0,
    # width and depth
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "emb_dim": 32,
    "dim_model": 32,
    "model_dim": 32, "hidden_dim": 48, "embedding_size": 32, "word_embed_proj_dim": 32, "embed_size": 32,
    "intermediate_size": 48, "ffn_dim": 48, "d_ff": 48, "n_inner": 48, "dim_ff": 48, "ffn_hidden_size": 48,
    "d_inner": 48, "feed_forward_size": 48,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "intermediate_size_mlp": 48, "shared_intermediate_size": 16,
    "num_hidden_layers": LAYERS, "num_layers": LAYERS, "n_layer": LAYERS, "n_layers": LAYERS,
    "encoder_layers": 2,
    "decoder_layers": 2, "num_encoder_layers": 2, "num_decoder_layers": 2,
    # attention
    "num_attention_heads": 4, "num_heads": 4, "n_head": 4, "n_heads": 4, "num_key_value_heads": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "attention_heads": 4,
    "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "num_kv_heads": 2, "head_dim": 8,
    "d_kv": 8,
    "d_head": 8, "attention_head_dim": 8, "kv_channels": 8, "global_head_dim": 16,
    "sliding_window": 32, "attention_window_size": 32, "attention_chunk_size": 32, "local_attention": 64,
    "query_pre_attn_scalar": 8, "rotary_dim": 4,
    "q_lora_rank": 16, "kv_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
    "index_n_heads": 2, "index_head_dim": 8, "index_topk": 64,
    "max_position_embeddings": 256, "n_positions": 256, "n_ctx": 256, "max_seq_len": 256,
    "original_max_position_embeddings": 256, "max_target_positions": 256, "max_source_positions": 64,
    # experts
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_topk": 2,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "n_shared_experts": 1, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1, "decoder_sparse_step": 1,
    "moe_shared_expert_intermediate_size": 16,
    "expert_ffn_hidden_size": 16, "moe_num_experts": 4, "num_experts_per_token": 2, "moe_k": 2,
    # states
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_conv_kernel_dim": 4, "state_size": 8, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2,
    "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_chunk_size": 8, "mamba_d_ssm": 64,
    "mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 1, "chunk_size": 8,
    "use_mamba_kernels": False, "mamba_dt_rank": 4, "lru_width": 32, "conv_kernel": 4,
    # per-layer inputs and others
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB, "laurel_rank": 4,
    # pictures beside a text
    "image_token_id": IMAGE, "image_token_index": IMAGE, "video_token_id": 91, "video_token_index": 91,
    "vision_start_token_id": 92, "vision_end_token_id": 93, "image_start_token_id": 92,
    "image_end_token_id": 93, "boi_token_index": 92, "eoi_token_index": 93, "boi_token_id": 92,
    "eoi_token_id": 93, "audio_token_id": 94, "boa_token_id": 95, "eoa_token_id": 96, "eoa_token_index": 96,
    "image_size": SIDE, "patch_size": 14, "depth": 2, "out_hidden_size": 32, "mm_tokens_per_image": 4,
    "image_seq_length": 4, "projection_dim": 32, "temporal_patch_size": 2, "spatial_merge_size": 1,
    "fullatt_block_indexes": [1], "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    "window_size": SIDE,
}  # fmt: skip

OF_PICTURES: dict[str, Any] = {
    "image_size": 64, "patch_size": 16, "num_patches": 16, "mlp_dim": 48, "depths": 1, "hidden_sizes": 32,
    "embed_dims": 32, "encoder_hidden_size": 32, "num_labels": 3, "decoder_hidden_size": 32,
}  # fmt: skip
"""Beside those, of models that read pictures alone."""


def accepted(config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    """The attributes that a family's default configuration has, with their values."""
    config = config_class()
    names = set(config.to_dict()) | set(config_class.attribute_map)
    return {name: _value(config, name) for name in names}


def _value(config: PreTrainedConfig, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except (AttributeError, AmbiguousGlobalPerLayerAttributeError):  # the value differs from layer to layer
        return None


def tiny_config(
    config_class: type[PreTrainedConfig], sizes: Mapping[str, Any] = MappingProxyType({}), **changes: Any
) -> PreTrainedConfig:
    """The family's configuration with every size made small, also by `sizes`; `changes` come last."""
    defaults = accepted(config_class)
    values: dict[str, Any] = {}
    for name, small in {**SMALL, **sizes}.items():
        if name in defaults and name not in config_class.attribute_map:
            listed = isinstance(small, int) and isinstance(defaults[name], list | tuple)
            values[name] = [small] * len(defaults[name]) if listed else small
    kinds = defaults.get("layer_types")
    if kinds and "layer_types" not in _computed(config_class):
        values["layer_types"] = _kinds(list(kinds), values.get("num_hidden_layers", LAYERS))
    parts: Any = config_class.sub_configs
    for name, part in parts.items():
        if isinstance(defaults.get(name), PreTrainedConfig):
            part_class = type(defaults[name])
            values[name] = tiny_config(part_class, sizes, **OVERRIDES.get(part_class.model_type, {}))
        elif part is not AutoConfig:
            values[name] = tiny_config(part, sizes, **OVERRIDES.get(part.model_type, {}))
    values.update(changes)
    return config_class(**{name: value for name, value in values.items() if value is not DROP})


DROP = object()
"""In place of a value: the family's own default."""

_MLA = {"num_key_value_heads": 4, "head_dim": DROP}
_HYBRID = ["linear_attention", "full_attention"] * 2
_MROPE = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [1, 1, 2],
        "partial_rotary_factor": 1.0,
    },
}
"""Sections of rotary positions along time, height and width that fit small heads."""

_BERT = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip

_WAVES = {
    "conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (8, 8), "conv_bias": False,
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip

_SEAMLESS = {
    "speech_encoder_layers": 2, "speech_encoder_intermediate_size": 48, "speech_encoder_attention_heads": 4,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "max_source_positions": 64,
    "t2u_vocab_size": VOCAB, "unit_embed_dim": 16, "upsample_initial_channel": 16,
}  # fmt: skip

_VIBEVOICE = {"depths": [1, 1], "downsampling_ratios": [8], "num_filters": 4}

_WITHOUT_START = (
    "t5", "mt5", "umt5", "longt5", "switch_transformers", "t5gemma", "t5gemma2", "pop2piano",
)  # fmt: skip
"""Families whose decoder's first token a checkpoint names, and no default."""

OVERRIDES: dict[str, dict[str, Any]] = {
    "falcon": {"head_dim": DROP, "new_decoder_architecture": True},
    "bailing_hybrid": {**_MLA, "n_group": 1, "num_group": 1},
    "deepseek_v2": _MLA,
    "deepseek_v3": _MLA,
    "deepseek_v32": _MLA,
    "mistral4": _MLA,
    "glm4_moe_lite": _MLA,
    "glm_moe_dsa": _MLA,
    "kimi_linear": _MLA,
    "longcat_flash": {**_MLA, "head_dim": 4},
    "axk1": {**_MLA, "head_dim": 4},
    "axk2": {**_MLA, "head_dim": 4},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    },
    "dots3_note_text": {"num_key_value_heads": 4},
    "minicpm3": _MLA,
    "youtu": _MLA,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 32},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "bamba": {"attn_layer_indices": [1, 3]},
    "mamba2": {"num_heads": 4, "head_dim": 16, "expand": 2},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "altup_num_inputs": 2,
        "activation_sparsity_pattern": None,
        "intermediate_size": [48] * 4,
    },
    "gemma4_text": {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2},
    "bros": {"hidden_size": 64},
    "esmc": {"num_key_value_heads": 4},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6},
    "lilt": {"hidden_size": 48},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "neomme": {"head_dim": 16},
    # by class, where a family has models of several kinds
    "ReformerForMaskedLM": {
        "is_decoder": False,
        "axial_pos_embds": False,
        "attn_layers": ["local", "lsh"] * 2,
    },
    "T5GemmaEncoderModel": {"is_encoder_decoder": False},
    "T5GemmaForTokenClassification": {"is_encoder_decoder": False},
    "xmod": {"default_language": "en_XX", "languages": ["en_XX"]},
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local", "lsh"] * 2},
    "zaya": {"num_experts_per_tok": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "nemotron_h": {"layers_block_type": ["mamba", "attention", "mamba", "mlp"]},
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "hybrid_layer_ids": [1, 3],
        "num_mem_blocks": 1,
        "layer_types": DROP,
    },
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 2,
        "hc_lowrank": 8,
        "ple_embed_dim": 32,
        "ngram_vocab_size_base": 50,
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    **{family: {"decoder_start_token_id": 2, "num_layers": 2} for family in _WITHOUT_START},
    "led": {"attention_window": 8},
    "fsmt": {"src_vocab_size": VOCAB, "tgt_vocab_size": VOCAB},
    "seamless_m4t": _SEAMLESS,
    "seamless_m4t_v2": _SEAMLESS,
    "moonshine_streaming": {"num_key_value_heads": 4, "decoder_start_token_id": 1},
    "vibevoice_acoustic_tokenizer": _VIBEVOICE,
    "vibevoice_acoustic_tokenizer_encoder": _VIBEVOICE,
    "fun_asr_nano": {
        "adaptor_config": {
            "hidden_size": 32,
            "num_attention_heads": 4,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "projector_hidden_size": 32,
        }
    },
    "wav2vec2": _WAVES,
    "speecht5": {**_WAVES, "vocab_size": VOCAB, "decoder_start_token_id": 2},
    "speech-encoder-decoder": {
        "encoder": {
            "model_type": "wav2vec2",
            **_WAVES,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
        },
        "decoder": {"model_type": "bert", **_BERT, "is_decoder": True, "add_cross_attention": True},
        "decoder_start_token_id": 2,
        "pad_token_id": 0,
    },
    "encoder-decoder": {
        "encoder": {"model_type": "bert", **_BERT},
        "decoder": {"model_type": "bert", **_BERT, "is_decoder": True, "add_cross_attention": True},
        "decoder_start_token_id": 2,
        "pad_token_id": 0,
    },
    **{
        family: {"patch_size": DROP}
        for family in ("convnext", "convnextv2", "dinov3_convnext", "hiera", "poolformer", "mobilevitv2")
    },
    **{
        family: {"patch_size": 4, "window_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4]}
        for family in ("swin", "swinv2", "donut-swin", "maskformer-swin")
    },
    "swin2sr": {"patch_size": 1, "window_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]},
    "efficientnet": {"hidden_dim": 640, "width_coefficient": 0.5, "depth_coefficient": 0.3},
    "hgnet_v2": {"hidden_sizes": DROP, "depths": DROP},
    "textnet": {"hidden_sizes": DROP},
    "perceiver": {"num_latents": 8, "d_latents": 32, "num_blocks": 1, "num_self_attends_per_block": 1},
    "cvt": {"depth": [1, 1, 2]},
    "bit": {"embedding_size": 32, "num_groups": 8, "hidden_sizes": [32] * 4},
    "xlstm": {"num_heads": 2, "head_dim": DROP, "chunk_size": 8, "qk_dim_factor": 0.5},
    "qwen2_vl_text": _MROPE,
    "qwen2_5_vl_text": _MROPE,
    "qwen2_5_omni_text": _MROPE,
    "qwen3_omni_moe_text": _MROPE,
    "glm4v_text": _MROPE,
    "glm4v_moe_text": _MROPE,
    "glm_ocr_text": _MROPE,
    "hunyuan_vl_text": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 1, 1]}
    },
    "paddleocr_vl_text": _MROPE,
    "llava_next": {"image_grid_pinpoints": [[SIDE, SIDE]], "vision_feature_layer": -1},
    "llava_next_video": {"image_grid_pinpoints": [[SIDE, SIDE]], "vision_feature_layer": -1},
    "llava_onevision": {"image_grid_pinpoints": [[SIDE, SIDE]], "vision_feature_layer": -1},
    "vipllava": {"vision_feature_layers": [-1, -2]},
    "janus_vqgan": {
        "base_channels": 32,
        "num_embeddings": 64,
        "latent_channels": 32,
        "channel_multiplier": [1, 1],
    },
    "gemma4_unified_vision": {"mm_embed_dim": 32, "mm_posemb_size": 64, "output_proj_dims": 32},
    "muse_spark_text": {"moe_hidden_size": 32},
    "idefics2_perceiver": {"resampler_n_latents": 4},
    "aria": {"projector_patch_to_query_dict": {4: 4}},
    "llama4_vision_model": {
        "vision_output_dim": 32,
        "projector_input_dim": 32,
        "projector_output_dim": 32,
        "pixel_shuffle_ratio": 1.0,
    },
    "emu3": {"vocabulary_map": {"<image>": IMAGE, "<|extra_200|>": 91}},
    "chameleon": {"vocabulary_map": {"<image>": IMAGE, "<|extra_200|>": 91}},
    "florence_vision": {"patch_size": DROP},
}


def _computed(config_class: type[PreTrainedConfig]) -> set[str]:
    """What a configuration derives from others and does not take."""
    return {
        name
        for name in dir(config_class)
        if isinstance(getattr(config_class, name, None), property)
        and getattr(config_class, name).fset is None
    } | ({"layer_types"} if isinstance(getattr(config_class, "layers_block_type", None), property) else set())


def _kinds(kinds: list[str], count: int) -> list[str]:
    """As many layers as wanted, with every kind that the family has."""
    distinct = list(dict.fromkeys(kinds))
    return [distinct[index % len(distinct)] for index in range(count)]
