import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from softprompt.backbones.load import load_backbone
from support.tokenizer import byte_level


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    tokenizer = byte_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return load_backbone(LlamaForCausalLM(config), tokenizer)


@pytest.fixture
def t5():
    torch.manual_seed(0)
    tokenizer = byte_level(ends=True)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        # At T5's own scale of weights a tiny model writes the same thing whatever it reads.
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.4)
    return load_backbone(model, tokenizer)


@pytest.fixture
def bart():
    torch.manual_seed(0)
    tokenizer = byte_level(ends=True)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        init_std=0.3,
    )
    return load_backbone(BartForConditionalGeneration(config), tokenizer)
