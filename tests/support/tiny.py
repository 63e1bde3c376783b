"""Tiny random backbones of every family, in fp32, without any network."""

import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertModel,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DebertaConfig,
    DebertaModel,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertModel,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from support.templates import copies

VOCAB = 64
WINDOW = 6

_COMMON = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
ROPE = {
    **_COMMON, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
_ROPE = {**ROPE, "head_dim": 8}


def _gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(**_COMMON, n_embd=32, n_layer=3, n_head=4, n_positions=128))


def _llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_ROPE))


def worded_llama(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Llama for a tokenizer's words, with weights large enough that they differ in likelihood."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _qwen2() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**ROPE))


def _mistral() -> PreTrainedModel:
    return MistralForCausalLM(MistralConfig(**_ROPE, sliding_window=WINDOW))


def _gemma3() -> PreTrainedModel:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    return Gemma3ForCausalLM(Gemma3TextConfig(**_ROPE, sliding_window=WINDOW, layer_types=kinds))


def _t5() -> PreTrainedModel:
    config = T5Config(
        **_COMMON, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, decoder_start_token_id=0,
        relative_attention_num_buckets=8, relative_attention_max_distance=16,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def _bart() -> PreTrainedModel:
    config = BartConfig(
        **_COMMON, d_model=32, encoder_layers=3, decoder_layers=3, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128,
        decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config)


def _qwen3() -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**_ROPE))


_ENCODER = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip


def _bert() -> PreTrainedModel:
    return BertModel(BertConfig(**_ENCODER))


def _roberta() -> PreTrainedModel:
    return RobertaModel(RobertaConfig(**_ENCODER, pad_token_id=1))


def _electra() -> PreTrainedModel:
    return ElectraModel(ElectraConfig(**_ENCODER, embedding_size=16))


def _distilbert() -> PreTrainedModel:
    config = DistilBertConfig(
        vocab_size=VOCAB, dim=32, hidden_dim=48, n_layers=3, n_heads=4, max_position_embeddings=128
    )
    return DistilBertModel(config)


def _albert() -> PreTrainedModel:
    return AlbertModel(AlbertConfig(**_ENCODER, embedding_size=16))


def _albert_groups() -> PreTrainedModel:
    """Two groups of two layers each, every group run twice: eight depths."""
    shape = {**_ENCODER, "num_hidden_layers": 4}
    return AlbertModel(AlbertConfig(**shape, embedding_size=16, num_hidden_groups=2, inner_group_num=2))


def _modernbert() -> PreTrainedModel:
    config = ModernBertConfig(
        **_ENCODER, pad_token_id=0, bos_token_id=0, eos_token_id=1, cls_token_id=0, sep_token_id=1,
        local_attention=2 * WINDOW, global_attn_every_n_layers=3,
    )  # fmt: skip
    return ModernBertModel(config)


def _mpnet() -> PreTrainedModel:
    return MPNetModel(MPNetConfig(**_ENCODER))


def _deberta() -> PreTrainedModel:
    """Version 1, with every bias that it knows and with talking heads."""
    config = DebertaConfig(
        **_ENCODER, relative_attention=True, pos_att_type=["c2p", "p2c"], position_biased_input=True,
        talking_head=True, type_vocab_size=2,
    )  # fmt: skip
    return DebertaModel(config)


def _deberta_v2() -> PreTrainedModel:
    """Version 2, with its convolution; separate projections of positions."""
    config = DebertaV2Config(
        **_ENCODER, relative_attention=True, pos_att_type=["c2p", "p2c"], position_biased_input=False,
        conv_kernel_size=3, position_buckets=8, max_relative_positions=32,
    )  # fmt: skip
    return DebertaV2Model(config)


def _deberta_v3() -> PreTrainedModel:
    """Version 3: the positions use the content's projections."""
    config = DebertaV2Config(
        **_ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        share_att_key=True, norm_rel_ebd="layer_norm", position_buckets=8, max_relative_positions=-1,
        type_vocab_size=0,
    )  # fmt: skip
    return DebertaV2Model(config)


FAMILIES = {
    "gpt2": _gpt2, "llama": _llama, "qwen2": _qwen2, "qwen3": _qwen3, "mistral": _mistral,
    "gemma3": _gemma3, "t5": _t5, "bart": _bart, "bert": _bert, "roberta": _roberta, "electra": _electra,
    "distilbert": _distilbert, "albert": _albert, "albert_groups": _albert_groups,
    "modernbert": _modernbert, "mpnet": _mpnet, "deberta": _deberta, "deberta_v2": _deberta_v2,
    "deberta_v3": _deberta_v3,
}  # fmt: skip
DECODERS = ("gpt2", "llama", "qwen2", "qwen3", "mistral", "gemma3")
ENCODER_DECODERS = ("t5", "bart")
ENCODERS = (
    "bert", "roberta", "electra", "distilbert", "albert", "albert_groups", "modernbert", "mpnet", "deberta",
    "deberta_v2", "deberta_v3",
)  # fmt: skip
GENERATORS = DECODERS + ENCODER_DECODERS

_WITH_VOCABULARY_HEAD = {
    "bert": BertForMaskedLM, "roberta": RobertaForMaskedLM, "albert": AlbertForMaskedLM,
    "distilbert": DistilBertForMaskedLM, "modernbert": ModernBertForMaskedLM, "electra": ElectraForMaskedLM,
    "mpnet": MPNetForMaskedLM, "deberta_v2": DebertaV2ForMaskedLM,
}  # fmt: skip
MASKED_LMS = tuple(f"{family}_mlm" for family in _WITH_VOCABULARY_HEAD)


@copies
def tiny_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model whose weights are large enough for every part to matter."""
    torch.manual_seed(seed)
    model = _masked_lm(family) if family in MASKED_LMS else FAMILIES[family]()
    model = model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Default initialisation is so small that attention is almost uniform and errors hide.
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2 if "embed" in name or "wte" in name or "wpe" in name else 0.15)
    return model


@copies
def one_layer(seed: int = 0) -> PreTrainedModel:
    """A Llama of one narrow layer, for what takes many calls or is slow by itself."""
    torch.manual_seed(seed)
    shape = {**_ROPE, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(**shape, initializer_range=0.3)).eval()


def _masked_lm(family: str) -> PreTrainedModel:
    """The encoder's configuration with the head that fills blanks."""
    name = family.removesuffix("_mlm")
    model = _WITH_VOCABULARY_HEAD[name](FAMILIES[name]().config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases begin at 0, where nobody would miss them
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@copies
def tiny_backbone(family: str, seed: int = 0, attention: str | None = None) -> Backbone:
    """A frozen tiny backbone without a tokenizer."""
    return load_backbone(tiny_model(family, seed), attention=attention)


def ids(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random ordinary tokens, `[batch, seq]`."""
    return torch.randint(2, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))
