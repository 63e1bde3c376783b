"""What the benchmarks freeze: the backbone of most questions, and Llamas of random numbers for speed."""

from collections.abc import Callable
from typing import Any

import torch

import softprompt
from softprompt.backbones import Backbone

VOCABULARY = 49_152
"""Of SmolLM2's tokenizer, and so of everything that stands in for it."""


def smollm2(dtype: str = "bfloat16", device: str = "cpu") -> Backbone:
    """The backbone of most questions."""
    return softprompt.load_backbone("smollm2-135m", dtype=dtype, device=device)


def llama_1b(dtype: str, device: str) -> Backbone:
    """A Llama of 1.1 billion random numbers, for speed alone; its tokenizer is SmolLM2's."""
    from transformers import AutoTokenizer

    from softprompt.backbones.loading import bundled_folder, pull_bundled

    folder = bundled_folder("smollm2-135m") or pull_bundled("smollm2-135m")
    return _llama_1b(AutoTokenizer.from_pretrained(folder), dtype, device)


def llama_1b_bytes(dtype: str, device: str) -> Backbone:
    """The same Llama with a tokenizer of bytes, which needs no files: for rows of random tokens."""
    return _llama_1b(byte_tokenizer(), dtype, device)


def _llama_1b(tokenizer: Any, dtype: str, device: str) -> Backbone:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=VOCABULARY,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    return softprompt.load_backbone(model.eval(), tokenizer)


def tiny(dtype: str = "float32", device: str = "cpu") -> Backbone:
    """Two thin layers: to see that a benchmark runs, not how fast."""
    return thin(2, dtype, device)


def thin(layers: int = 16, dtype: str = "float32", device: str = "cpu") -> Backbone:
    """A deep Llama, 32 numbers wide, in which arithmetic costs next to nothing, and a tokenizer of bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(device, getattr(torch, dtype))
    return softprompt.load_backbone(model.eval(), tokenizer)


def byte_tokenizer() -> Any:
    """A tokenizer whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    symbols = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, [], unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


BACKBONES: dict[str, Callable[[str, str], Backbone]] = {
    "smollm2-135m": smollm2,
    "llama-1b": llama_1b,
    "llama-1b-bytes": llama_1b_bytes,
    "tiny": tiny,
}
